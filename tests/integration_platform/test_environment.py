import os
import socket
import subprocess
import sys
from pathlib import Path

import psycopg
import pytest
from cryptography.fernet import Fernet

from integration_platform import environment
from tests.processes import environment_of_a_user
from tests.services import POSTGRESQL, need

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("DEBUG", "maybe"),
        ("DATABASE_URL", "mysql://x/y"),
        ("DATABASE_URL", "postgres://user@host:port/name"),
        ("BROKER_URL", "localhost:6379"),
        ("BROKER_URL", "redis://h:x/0"),
        ("BROKER_URL", "redis://h/zero"),
        ("BROKER_URL", "redis:///0"),
        ("DATA_DIR", "/proc/nope"),
        ("DATA_DIR", "manage.py"),
        ("ALLOWED_HOSTS", "http://x y/"),
        ("ALLOWED_HOSTS", "hub.example.com:443"),
        ("CSRF_TRUSTED_ORIGINS", "hub.example.com"),
        ("CSRF_TRUSTED_ORIGINS", "https://hub.example.com/"),
        ("ENCRYPTION_KEYS", "short"),
        ("TRUSTED_PROXIES", "10.0.0.0/40"),
        ("OUTBOUND_ALLOWED_NETWORKS", "10.0.0.0/8:http"),
        ("WEB_THREADS", "0"),
        ("QUEUE_WORKERS", "many"),
    ],
)
def test_bad_value_stops_the_start_and_names_its_variable(name: str, value: str, tmp_path: Path) -> None:
    given = {**environment_of_a_user(), "DEBUG": "1", "DATA_DIR": str(tmp_path), name: value}

    done = subprocess.run(
        [sys.executable, "manage.py", "check"], cwd=ROOT, env=given, capture_output=True, text=True, check=False
    )

    assert done.returncode != 0
    assert name in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    "url", ["redis://h:6379/0", "rediss://u:p@h", "redis://[::1]:6379/3", "unix:///run/redis.sock"]
)
def test_addresses_of_redis_are_taken_as_they_are(url: str) -> None:
    assert environment.broker(url) == url


def test_hosts_and_origins_are_read_as_django_writes_them() -> None:
    hosts = ["*", ".example.com", "hub-1.example.com", "10.0.0.7", "[::1]"]
    origins = ["https://hub.example.com", "http://127.0.0.1:8000", "https://*.example.com"]

    assert environment.hosts(", ".join(hosts)) == hosts
    assert environment.origins(", ".join(origins)) == origins


def test_secret_key_is_required_in_production(tmp_path: Path) -> None:
    given = {**environment_of_a_user(), "DATA_DIR": str(tmp_path)}

    done = subprocess.run(
        [sys.executable, "manage.py", "worker"], cwd=ROOT, env=given, capture_output=True, text=True, check=False
    )

    assert done.returncode != 0
    assert "SECRET_KEY" in done.stderr


def test_generated_value_is_made_once_and_kept_private(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "key"

    first = environment.kept_in(path, lambda: "one")
    second = environment.kept_in(path, lambda: "two")

    assert first == second == "one"
    assert path.stat().st_mode & 0o777 == 0o600
    assert list(path.parent.iterdir()) == [path]


def test_every_encryption_key_counts() -> None:
    keys = [Fernet.generate_key().decode() for _ in range(2)]

    assert environment.encryption_keys(", ".join(keys)) == keys


def test_database_host_that_never_answers_is_given_up() -> None:
    """It takes the connection and says nothing, as one behind a broken network does."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"postgres://user@127.0.0.1:{silent.getsockname()[1]}/name"
        options = environment.database(Path())(url)["OPTIONS"]

        with pytest.raises(psycopg.OperationalError, match="timeout"):
            psycopg.connect(url, **options).close()


@pytest.mark.postgresql
def test_connection_to_a_host_that_vanishes_ends() -> None:
    url = need(POSTGRESQL, "TEST_POSTGRESQL_URL")
    options = environment.database(Path())(url)["OPTIONS"]

    with psycopg.connect(url, **options) as connection, socket.socket(fileno=os.dup(connection.fileno())) as tcp:
        assert tcp.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) == 15_000
        assert tcp.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
        assert tcp.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE) == 5


def test_options_of_the_url_win() -> None:
    options = environment.database(Path())("postgres://user@host/name?connect_timeout=2")["OPTIONS"]

    assert (options["connect_timeout"], options["tcp_user_timeout"]) == (2, 15_000)
    assert "lock_timeout=5s" in options["options"]
