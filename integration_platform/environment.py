"""Values from the environment: read once, checked, and a bad one names its variable."""

import contextlib
import errno
import ipaddress
import os
import re
import secrets
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit

import environ
from cryptography.fernet import Fernet, MultiFernet
from django.core.exceptions import ImproperlyConfigured
from redis.connection import parse_url

T = TypeVar("T")
Network = ipaddress.IPv4Network | ipaddress.IPv6Network

BASE_DIR = Path(__file__).resolve().parent.parent
if (BASE_DIR / ".env").is_file():
    environ.Env.read_env(BASE_DIR / ".env")


def read(name: str, convert: Callable[[str], T], default: str) -> T:
    """The variable `name` through `convert`; an unset or empty one counts as `default`.

    Raises ImproperlyConfigured with the variable's name and the reason, never with the value: it may be a secret.
    """
    text = os.environ.get(name, "").strip() or default
    try:
        return convert(text)
    except ImproperlyConfigured:
        raise
    except (ValueError, TypeError) as error:
        raise ImproperlyConfigured(f"{name}: {error}") from error


def boolean(text: str) -> bool:
    if text.lower() in ("1", "true", "yes", "on"):
        return True
    if text.lower() in ("", "0", "false", "no", "off"):
        return False
    raise ValueError("write 1 or 0.")


def words(text: str) -> list[str]:
    return [word.strip() for word in text.split(",") if word.strip()]


def number_between(low: int, high: int) -> Callable[[str], int]:
    def convert(text: str) -> int:
        try:
            number = int(text)
        except ValueError:
            raise ValueError(f"write a whole number from {low} to {high}.") from None
        if not low <= number <= high:
            raise ValueError(f"write a whole number from {low} to {high}.")
        return number

    return convert


def database(data_dir: Path) -> Callable[[str], dict[str, Any]]:
    """DATABASE_URL: empty is the embedded SQLite file in `data_dir`."""

    def convert(text: str) -> dict[str, Any]:
        if not text:
            with naming_data_dir():
                data_dir.mkdir(parents=True, exist_ok=True)
                check_writable(data_dir)
            return sqlite(str(data_dir / "platform.sqlite3"))
        scheme = text.partition(":")[0]
        if scheme not in ("postgres", "postgresql", "sqlite"):
            raise ValueError("write postgres://user:password@host:port/name.")
        try:
            config = environ.Env.db_url_config(text)
        except (ValueError, TypeError, ImproperlyConfigured):
            raise ValueError("write postgres://user:password@host:port/name.") from None
        if scheme == "sqlite":
            return sqlite(config["NAME"])
        if not config.get("NAME"):
            raise ValueError("the name of the database is missing.")
        return postgresql(config)

    return convert


def sqlite(name: str) -> dict[str, Any]:
    """WAL, and synced at each commit: what was acknowledged survives a power cut, too."""
    return {
        "ENGINE": "django.db.backends.sqlite3",
        "NAME": name,
        "CONN_MAX_AGE": None,
        "OPTIONS": {
            "timeout": 20,
            "transaction_mode": "IMMEDIATE",
            "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; PRAGMA cache_size=-16000;",
        },
    }


# A host that vanishes says nothing: without these a thread would wait for minutes, or hours while it only listens.
VANISHED_HOST = {
    "connect_timeout": 5,  # seconds, the server's answer included
    "tcp_user_timeout": 15_000,  # milliseconds, for what was sent and nobody acknowledged
    "keepalives_idle": 5,  # seconds of silence before it is asked whether it lives
    "keepalives_interval": 5,
    "keepalives_count": 3,
}


def postgresql(config: dict[str, Any]) -> dict[str, Any]:
    """A worker that is stopped inside a transaction must not block accepting: its session is ended, its locks freed.

    Options of the URL's query win over ours.
    """
    session = "-c idle_in_transaction_session_timeout=10s -c lock_timeout=5s"
    options = {**VANISHED_HOST, **config.get("OPTIONS", {})}
    options["options"] = f"{options.get('options', '')} {session}".strip()
    return {
        **config,
        "ENGINE": "integration_platform.postgresql",
        "CONN_MAX_AGE": None,
        "CONN_HEALTH_CHECKS": True,
        "OPTIONS": options,
    }


def networks(text: str) -> list[Network]:
    """Comma-separated CIDRs."""
    return [ipaddress.ip_network(word, strict=False) for word in words(text)]


def broker(text: str) -> str:
    """BROKER_URL, which django-q2 gives to redis-py; what that cannot read, or reads as something else, is refused."""
    if not text:
        return text
    fault = ValueError("write redis://host:port/0.")
    try:
        parts = urlsplit(text)
        found = parse_url(text)
    except ValueError:
        raise fault from None
    number = parts.path.removeprefix("/")
    if not (found.get("path") if parts.scheme == "unix" else found.get("host") and (not number or number.isdecimal())):
        raise fault
    return text


HOST = re.compile(r"\*|\.?[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*\.?|\[[0-9A-Fa-f:.]+\]")


def hosts(text: str) -> list[str]:
    """ALLOWED_HOSTS: names and addresses as they stand in a Host header, without a scheme or a port."""
    found = words(text)
    for host in found:
        if not HOST.fullmatch(host):
            raise ValueError("write names or addresses such as hub.example.com,.example.org,10.0.0.7,[::1].")
    return found


def origins(text: str) -> list[str]:
    """CSRF_TRUSTED_ORIGINS: scheme and host, as browsers write them."""
    found = words(text)
    for origin in found:
        scheme, separator, host = origin.partition("://")
        if scheme not in ("http", "https") or not separator or not host or set(host) & set("/ ?#@"):
            raise ValueError("write origins such as https://hub.example.com.")
    return found


def encryption_keys(text: str) -> list[str]:
    keys = words(text)
    if not keys:
        raise ValueError("at least one Fernet key is needed.")
    try:
        MultiFernet([Fernet(key) for key in keys])
    except (ValueError, TypeError):
        raise ValueError(
            "each key is 32 bytes in url-safe base64 (cryptography.fernet.Fernet.generate_key())."
        ) from None
    return keys


def kept_in(path: Path, make: Callable[[], str]) -> str:
    """The generated value in `path`, made with mode 0600 if it is missing; two processes that race agree on one."""
    with naming_data_dir():
        with contextlib.suppress(FileNotFoundError):
            return path.read_text().strip()
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}")  # mkstemp makes it 0600
        try:
            with os.fdopen(descriptor, "w") as file:
                file.write(make())
                file.flush()
                os.fsync(file.fileno())
            with contextlib.suppress(FileExistsError):
                os.link(temporary, path)
        finally:
            Path(temporary).unlink()
        return path.read_text().strip()


def log_file(data_dir: Path) -> str:
    """Where LOG_FILES writes; its folder is made."""
    folder = data_dir / "logs"
    with naming_data_dir():
        folder.mkdir(parents=True, exist_ok=True)
        check_writable(folder)
    return str(folder / "platform.log")


@contextlib.contextmanager
def naming_data_dir() -> Iterator[None]:
    """What goes wrong with a file or folder in there is the variable's fault."""
    try:
        yield
    except OSError as error:
        raise ImproperlyConfigured(f"DATA_DIR: {error.filename}: {error.strerror}.") from error


def check_writable(folder: Path) -> None:
    """SQLite writes beside its file, too; of a folder that forbids it, it only says that it cannot open something."""
    if not os.access(folder, os.W_OK | os.X_OK):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(folder))


def secret_key(data_dir: Path, *, debug: bool) -> str:
    """SECRET_KEY, or the one that `manage.py start` generated; required in production."""
    given = os.environ.get("SECRET_KEY", "").strip()
    if given:
        return given
    path = data_dir / "secret_key"
    if path.is_file() or debug or started_here():
        return kept_in(path, lambda: secrets.token_urlsafe(50))
    raise ImproperlyConfigured(
        "SECRET_KEY: it is required when DEBUG=0. Set it, or run `manage.py start` once: it generates one."
    )


def started_here() -> bool:
    return len(sys.argv) > 1 and sys.argv[1] == "start"


def new_encryption_key() -> str:
    return Fernet.generate_key().decode("ascii")
