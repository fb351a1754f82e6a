"""The requests that the admin and the README give to senders, run in a real shell and checked by the scheme itself."""

import os
import re
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest

from connectors.admin.senders import request_in_shell, steps
from connectors.choices import Scheme
from connectors.models import Application, Credential
from connectors.signatures import SCHEMES, Request, Secret

README = Path(__file__).parents[2] / "README.md"
URL = "http://127.0.0.1:8000/webhooks/first"
PRINTED = r"""
curl() {
  while [ $# -gt 0 ]; do
    case "$1" in -H) printf 'H %s\n' "$2"; shift;; -d) printf 'D %s\n' "$2"; shift;; esac
    shift
  done
}
"""


def sent(script: str, secret: str) -> Request:
    """What curl would have sent."""
    environment = {"PATH": os.environ["PATH"], "SECRET": secret}
    command = ["/bin/bash", "-euo", "pipefail", "-c", PRINTED + script]
    done = subprocess.run(command, env=environment, capture_output=True, check=True, timeout=30)
    lines = done.stdout.splitlines()
    headers = dict(line[2:].split(b": ", 1) for line in lines if line.startswith(b"H "))
    (body,) = (line[2:] for line in lines if line.startswith(b"D "))
    return Request({name.decode().lower(): value for name, value in headers.items()}, body, time.time())


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"header": "X-Acme", "prefix": "sha256="},
        {"algorithm": "sha512", "encoding": "base64", "timestamp_header": "X-Time"},
        {"timestamp_header": "X-Time", "template": 'it\'s {timestamp} $HOME `id` "{body}" %s\\n'},
    ],
)
def test_request_of_a_signature_of_ones_own_fits(options: dict[str, Any]) -> None:
    credential = Credential(scheme=Scheme.HMAC, **options)

    request = sent(request_in_shell(credential, URL), "it's a secret")

    SCHEMES["hmac"]([Secret("it's a secret")], credential.options).verify(request)


@pytest.mark.parametrize("scheme", Scheme.values)
def test_readme_gives_the_requests_of_the_admin(scheme: str) -> None:
    own = {"timestamp_header": "X-Timestamp"} if scheme == Scheme.HMAC else {}
    credential = Credential(application=Application(slug="sender"), scheme=scheme, **own)

    assert f"```sh\n{request_in_shell(credential, URL)}\n```" in README.read_text()
    assert re.search(rf"`{{scheme: {scheme}, .*secret: ", README.read_text())
    assert steps(scheme)
