"""`manage.py start`: the whole platform in one terminal."""

import contextlib
import os
import resource
import secrets
import socket
import sys
import time
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from django.conf import settings
from django.contrib.auth import get_user_model
from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandError, CommandParser

from connectors.configuration import apply_configuration
from connectors.models import Application, Endpoint
from integration_platform.supervisor import Child, Supervisor

DEMO_FILE = Path(__file__).resolve().parents[2] / "demo" / "demo.yaml"
DEMO_APPLICATION = "demo-erp"
GRACE_SECONDS = 13.0
WEB_GRACE_SECONDS = 8
MAX_REQUESTS_AT_ONCE = 16_384  # of a process; those on their way and those that wait for their answers included
PROBE_SECONDS = 5.0
PROBE_TIMEOUT_SECONDS = 5.0
PROBES_MISSED = 4
READY_WITHIN_SECONDS = 90.0


class Command(BaseCommand):
    help = "Runs the whole platform: database, administrator's account, web server, worker and demo."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--host", default="127.0.0.1", help="Address to listen on (default 127.0.0.1).")
        parser.add_argument("--port", type=int, default=8000, help="Port to listen on (default 8000).")
        parser.add_argument("--no-demo", action="store_true", help="Without the demo's applications and destination.")

    def handle(self, *, host: str, port: int, no_demo: bool, **options: Any) -> None:
        check_port(host, port)
        raise_open_files()
        call_command("migrate", interactive=False, verbosity=0)
        account = ensure_administrator()
        demo_port = None if no_demo else prepare_demo(port)
        probe = Probe(host, port)
        supervisor = Supervisor(children(host, port, demo_port, probe), grace_seconds=GRACE_SECONDS)
        supervisor.handle_signals()
        self.stdout.write("Starting the integration platform …")
        welcome = Welcome(self, probe, account, with_demo=not no_demo)
        supervisor.run(welcome.every_look)
        self.stdout.write("Stopped.")


def check_port(host: str, port: int) -> None:
    """Raises CommandError if somebody listens there already, before anything is changed."""
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        with socket.socket(family, socket.SOCK_STREAM) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((host, port))
    except (OSError, OverflowError) as error:
        raise CommandError(f"Cannot listen on {host}:{port}: {error}. Choose another one with --port.") from None


def raise_open_files() -> None:
    """Many connections at once need many descriptors; the hard limit is ours to use."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with contextlib.suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def ensure_administrator() -> str:
    """Makes the account `admin` if there is no superuser yet; returns what to tell about it."""
    users = get_user_model().objects
    existing = users.filter(is_superuser=True, is_active=True).order_by("pk").first()
    if existing is not None:
        return f"account {existing.get_username()}, with the password that it was given"
    given = os.environ.get("DJANGO_SUPERUSER_PASSWORD", "")
    password = given or secrets.token_urlsafe(12)
    users.create_superuser("admin", "", password)
    if given:
        return "account admin, with the password in DJANGO_SUPERUSER_PASSWORD"
    return f"account admin, password {password} (shown this once)"


def prepare_demo(port: int) -> int:
    """Loads the demo once; returns the port of its destination. What an administrator made of it is left alone.

    Endpoints that still call the demo's destination on another port of loopback follow it to this one.
    """
    demo_port = free_port(port + 1)
    base = f"http://127.0.0.1:{demo_port}"
    if not Application.objects.filter(slug=DEMO_APPLICATION).exists():
        apply_configuration(DEMO_FILE.read_text(), environ={**os.environ, "DEMO_DESTINATION": base})
    for endpoint in Endpoint.objects.filter(application__slug=DEMO_APPLICATION):
        parts = urlsplit(endpoint.url)
        if parts.hostname == "127.0.0.1" and parts.port != demo_port:
            endpoint.url = f"{base}{parts.path}"
            endpoint.save()
    return demo_port


def free_port(wanted: int) -> int:
    for port in (wanted, 0):
        with socket.socket() as probe, contextlib.suppress(OSError, OverflowError):
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(("127.0.0.1", port))
            return int(probe.getsockname()[1])
    raise CommandError("There is no free port for the demo's destination on 127.0.0.1.")


class Probe:
    """Asks the web server from time to time whether it still answers."""

    def __init__(self, host: str, port: int) -> None:
        shown = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(host, f"[{host}]" if ":" in host else host)  # noqa: S104
        self.base = f"http://{shown}:{port}"
        self._missed = 0
        self._next = 0.0

    def answers(self, path: str, *, seconds: float) -> bool:
        try:
            with urllib.request.urlopen(self.base + path, timeout=seconds) as response:  # noqa: S310 - our own address
                return bool(response.status == 200)
        except OSError:  # an HTTPError is one, too
            return False

    def sick(self, child: Child, now: float) -> str | None:
        """Why the web server should be replaced: it did not answer several times in a row."""
        if now < max(self._next, child.started_at + PROBE_SECONDS):
            return None
        self._missed = 0 if self.answers("/health/live", seconds=PROBE_TIMEOUT_SECONDS) else self._missed + 1
        self._next = time.monotonic() + PROBE_SECONDS
        if self._missed < PROBES_MISSED:
            return None
        self._missed = 0
        return "hangs: it does not answer"


def children(host: str, port: int, demo_port: int | None, probe: Probe) -> list[Child]:
    environment = shared_environment(demo_port)
    web = Child("web server", web_command(host, port), environment)
    web.sick = lambda now: probe.sick(web, now)
    manage = str(settings.BASE_DIR / "manage.py")
    found = [web, Child("worker", [sys.executable, manage, "worker"], environment)]
    if demo_port is not None:
        found.append(
            Child("demo destination", [sys.executable, "-m", "integration_platform.demo.destination", str(demo_port)])
        )
    return found


def shared_environment(demo_port: int | None) -> Mapping[str, str]:
    """The children call the demo's destination, which is a private address."""
    if demo_port is None:
        return {}
    listed = os.environ.get("OUTBOUND_ALLOWED_NETWORKS", "").strip()
    own = f"127.0.0.1/32:{demo_port}"
    return {"OUTBOUND_ALLOWED_NETWORKS": f"{listed},{own}" if listed else own}


def web_command(host: str, port: int) -> list[str]:
    return [
        *(sys.executable, "-m", "granian", "--interface", "rsgi"),
        *("--host", host, "--port", str(port)),
        *("--workers", str(settings.WEB_WORKERS), "--backpressure", str(MAX_REQUESTS_AT_ONCE)),
        *("--respawn-failed-workers", "--workers-kill-timeout", str(WEB_GRACE_SECONDS), "--log-level", "error"),
        "integration_platform.rsgi:application",
    ]


class Welcome:
    """Says where everything is, as soon as everything answers."""

    def __init__(self, command: BaseCommand, probe: Probe, account: str, *, with_demo: bool) -> None:
        self._command = command
        self._probe = probe
        self._base = probe.base
        self._account = account
        self._with_demo = with_demo
        self._give_up = time.monotonic() + READY_WITHIN_SECONDS
        self._next = 0.0
        self._said = False

    def every_look(self) -> None:
        now = time.monotonic()
        if self._said or now < self._next:
            return
        self._next = now + 0.5
        if self._probe.answers("/health/ready", seconds=1.0):
            self._said = True
            self._command.stdout.write(self.text())
            self._command.stdout.flush()
        elif now > self._give_up:
            self._said = True
            self._command.stderr.write(f"The platform is not ready yet; {self._base}/health/ready says why.")

    def text(self) -> str:
        lines = ["", f"Ready: {self._base}/admin/ ({self._account})"]
        if self._with_demo:
            lines += ["", *demo_lines(self._base)]
        return "\n".join([*lines, "", "Ctrl-C stops everything."])


def demo_lines(base: str) -> list[str]:
    """Calls to copy; the order's number is the idempotency key, so it is made new at each call."""
    return [
        "A synchronous call: the answer is the destination's confirmation.",
        *curl(f"{base}/webhooks/demo-orders/sync"),
        "",
        "An asynchronous call: accepted at once, the result is fetched by the correlation id.",
        *curl(f"{base}/webhooks/demo-orders"),
        "",
        f"  curl -H 'X-API-Key: demo-shop-key' '{base}/results/CORRELATION_ID?wait=10'",
    ]


def curl(url: str) -> list[str]:
    return [
        f"  curl -H 'X-API-Key: demo-shop-key' -H 'Content-Type: application/json' {url} \\",
        """    -d '{"id": "'$(date +%s%N)'", "customer": {"id": 7, "name": "Ada", "country": "Norway"},""",
        """         "items": [{"sku": "TEA-1", "quantity": 2, "price": 19.90}]}'""",
    ]
