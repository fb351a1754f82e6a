"""The README's way to connect an application, from nothing to a first accepted message, in a real shell."""

import base64
import hmac
import http.client
import json
import os
import re
import secrets
import socket
import subprocess
import time
from pathlib import Path

import pytest

from connectors.choices import Scheme
from tests.flows.conftest import ON_SQLITE, Platform, free_port

pytestmark = [pytest.mark.processes, pytest.mark.timeout(180)]
README = (Path(__file__).parents[2] / "README.md").read_text()
STEPS = re.findall(r"\n### .+?\n\n`(\{scheme: (\w+),.+?\})`\n.+?```sh\n(.+?)```", README, re.DOTALL)
SECRETS = {
    scheme: f"whsec_{base64.b64encode(secrets.token_bytes(32)).decode()}"
    if scheme == Scheme.STANDARD_WEBHOOKS
    else secrets.token_hex(16)
    for scheme in Scheme.values
}
USED = """
from connectors.models import Credential
print(Credential.objects.filter(application__slug="sender", name="api-key").exclude(last_used_at=None).exists())
"""


@pytest.fixture(scope="module")
def sender(platform: Platform) -> Platform:
    """The README's file, with the lines of all schemes, each with a secret of its own."""
    lines = [line.replace("{", "{name: " + scheme.replace("_", "-") + ", ", 1).replace("${SECRET}", SECRETS[scheme])
             for line, scheme, _ in STEPS]  # fmt: skip
    (file,) = re.findall(r"   ```yaml\n(.+?)   ```", README, re.DOTALL)
    written = re.search(r"         - (\{.+\})\n", file)
    assert written is not None
    file = file.replace(written[1], "\n         - ".join(lines)).replace("demo-erp-stock", "plain")
    unicode = "\n         - {name: letters, scheme: api_key, secret: schlüssel-ключ}\n"
    platform.apply(file.replace("   routes:", f"{unicode}   routes:", 1))
    return platform


def test_readme_has_every_scheme() -> None:
    assert [scheme for _, scheme, _ in STEPS] == Scheme.values


@ON_SQLITE
@pytest.mark.parametrize(("scheme", "script"), [(scheme, script) for _, scheme, script in STEPS])
def test_commands_of_the_readme_lead_to_an_accepted_message(sender: Platform, scheme: str, script: str) -> None:
    script = script.replace("http://127.0.0.1:8000", sender.base)

    def answer(secret: str) -> dict[str, object]:
        command = ["/bin/bash", "-euo", "pipefail", "-c", script]
        environment = {"PATH": os.environ["PATH"], "SECRET": secret}
        done = subprocess.run(command, env=environment, capture_output=True, check=True, timeout=60)
        found: dict[str, object] = json.loads(done.stdout)
        return found

    assert answer(SECRETS[scheme])["status"] == "queued"
    other = "whsec_" + base64.b64encode(b"another secret that nobody knows").decode()
    assert answer(other)["type"] == "/problems/authentication-failed"


def status(port: int, *headers: tuple[str, bytes]) -> int:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    connection.putrequest("POST", "/webhooks/first")
    for name, value in (("Content-Type", b"application/json"), ("Content-Length", b"2"), *headers):
        connection.putheader(name, value)
    connection.endheaders(b"{}")
    answer = connection.getresponse().status
    connection.close()
    return answer


@ON_SQLITE
def test_several_lines_of_one_header_arrive(sender: Platform) -> None:
    signature = hmac.new(SECRETS["github"].encode(), b"{}", "sha256").hexdigest().encode()
    wrong, right = (("X-Hub-Signature-256", b"sha256=" + value) for value in (b"0" * 64, signature))

    assert status(sender.port, wrong, right) == 202
    assert status(sender.port, wrong, wrong) == 401


@ON_SQLITE
def test_key_beyond_ascii_fits_where_the_server_hands_it_over(sender: Platform) -> None:
    """Granian hands over an empty value instead, whatever arrives (its issue 335)."""
    port = free_port()
    sender.run("-m", "gunicorn", "--bind", f"127.0.0.1:{port}", "--no-control-socket", "integration_platform.wsgi")
    end = time.monotonic() + 30
    while not is_open(port):
        assert time.monotonic() < end, sender.log()
        time.sleep(0.1)

    assert status(port, ("X-API-Key", "schlüssel-ключ".encode())) == 202
    assert status(port, ("X-API-Key", "schlüssel-лук".encode())) == 401
    assert status(port, ("X-API-Key", b"\xff\xfe")) == 401
    assert status(sender.port, ("X-API-Key", "schlüssel-ключ".encode())) == 401


def is_open(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


@ON_SQLITE
def test_last_use_is_written_by_the_web_server(sender: Platform) -> None:
    assert sender.push("/webhooks/first", {}, X_API_Key=SECRETS["api_key"]).status_code == 202
    end = time.monotonic() + 30

    while "True" not in sender.manage("shell", "-v", "0", "-c", USED):
        assert time.monotonic() < end
