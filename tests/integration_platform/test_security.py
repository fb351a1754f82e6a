"""What keeps the admin safe in a browser: its policy, its cookies, and that looking changes nothing."""

import subprocess
import sys
from pathlib import Path

import pytest
from django.test import Client
from django.urls import reverse

from tests.processes import environment_of_a_user

ROOT = Path(__file__).parents[2]
PRODUCTION = {
    "DEBUG": "0",
    "HTTPS_ONLY": "1",
    "SECRET_KEY": "".join(chr(33 + number) for number in range(60)),
    "ALLOWED_HOSTS": "hub.example.com",
}


def check_deploy(folder: Path, **changed: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "manage.py", "check", "--deploy", "--fail-level", "WARNING"],
        cwd=ROOT, env={**environment_of_a_user(), **PRODUCTION, "DATA_DIR": str(folder), **changed},
        capture_output=True, text=True, check=False,
    )  # fmt: skip


def test_production_passes_the_check_for_deployment(tmp_path: Path) -> None:
    done = check_deploy(tmp_path)

    assert done.returncode == 0, done.stdout + done.stderr


def test_check_for_deployment_sees_plain_http(tmp_path: Path) -> None:
    done = check_deploy(tmp_path, HTTPS_ONLY="0")

    assert done.returncode != 0
    assert "SESSION_COOKIE_SECURE" in done.stderr


@pytest.mark.django_db
def test_admin_takes_scripts_from_its_own_files_only() -> None:
    policy = Client().get(reverse("admin:login"))["Content-Security-Policy"]

    directives = {part.split()[0]: part.split()[1:] for part in policy.split(";")}
    assert directives["default-src"] == ["'none'"]
    assert directives["script-src"] == ["'self'", "'unsafe-eval'"]
    assert directives["frame-ancestors"] == ["'none'"]


@pytest.mark.django_db
def test_sessions_are_out_of_reach_of_scripts_and_other_sites(admin_user: object) -> None:
    client = Client()

    answer = client.post(reverse("admin:login"), {"username": "admin", "password": "password"})

    assert answer["Location"] == reverse("admin:index")
    cookie = client.cookies["sessionid"]
    assert cookie["httponly"]
    assert cookie["samesite"] == "Lax"
    assert cookie["max-age"] == 12 * 60 * 60
