"""`manage.py start`: the whole platform in one terminal."""

import argparse
import contextlib
import errno
import logging
import os
import resource
import secrets
import socket
import sys
import time
import urllib.request
from collections.abc import Callable, Mapping
from http.client import HTTPException
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from django.conf import settings
from django.contrib.auth import get_user_model
from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import transaction

from connectors import audit
from connectors.configuration import apply_configuration
from connectors.models import Application, Endpoint
from integration_platform.environment import HOST
from integration_platform.supervisor import Child, Supervisor
from messages.database import UNREACHABLE, first_line

log = logging.getLogger(__name__)

DEMO_FILE = Path(__file__).resolve().parents[2] / "demo" / "demo.yaml"
DEMO_APPLICATION = "demo-erp"
GRACE_SECONDS = 13.0
WEB_GRACE_SECONDS = 8
MAX_REQUESTS_AT_ONCE = 16_384  # of a process; those on their way and those that wait for their answers included
PROBE_SECONDS = 1.0
PROBE_TIMEOUT_SECONDS = 2.0
PROBES_MISSED = 5  # in a row: a web server that hangs is replaced after 14 to 15 s
UP_WITHIN_SECONDS = 60.0
READY_WITHIN_SECONDS = 90.0


class Command(BaseCommand):
    help = "Runs the whole platform: database, administrator's account, web server, worker and demo."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--host", default="127.0.0.1", help="Address to listen on (default 127.0.0.1).")
        parser.add_argument("--port", type=port_number, default=8000, help="Port to listen on (default 8000).")
        parser.add_argument("--no-demo", action="store_true", help="Without the demo's applications and destination.")

    def handle(self, *, host: str, port: int, no_demo: bool, **options: Any) -> None:
        address = address_of(host, port)
        raise_open_files()
        log.info("Starting the integration platform …")
        try:
            call_command("migrate", interactive=False, verbosity=0)
        except UNREACHABLE as error:
            raise CommandError(f"DATABASE_URL: the database cannot be used. {first_line(error)}") from None
        account = ensure_administrator(self.say)
        demo_port = self.prepare_demo(port, wanted=not no_demo)
        probe = Probe(address, port)
        supervisor = Supervisor(children(host, address, port, demo_port, probe), grace_seconds=GRACE_SECONDS)
        supervisor.handle_signals()
        welcome = Welcome(self, probe, account, with_demo=not no_demo)
        supervisor.run(welcome.every_look)
        log.info("Stopped.")

    def prepare_demo(self, port: int, *, wanted: bool) -> int | None:
        """The port of the demo's destination, or None without the demo."""
        if wanted:
            return prepare_demo(port)
        if Application.objects.filter(slug=DEMO_APPLICATION).exists():
            self.say("The demo of an earlier start is still configured; without its destination, its routes fail.")
        return None

    def say(self, text: str) -> None:
        self.stdout.write(text)
        self.stdout.flush()


def port_number(text: str) -> int:
    if not text.isdecimal() or not 1 <= int(text) <= 65535:
        raise argparse.ArgumentTypeError("a port is a number from 1 to 65535")
    return int(text)


def address_of(host: str, port: int) -> str:
    """The IP address of `host`, since granian takes no names; IPv4 where a name has both, as most callers try it.

    Raises CommandError if there is none, or if somebody listens there already, before anything is changed.
    """
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        family, _, _, _, address = min(found, key=lambda one: one[0] != socket.AF_INET)
        with socket.socket(family, socket.SOCK_STREAM) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
    except (OSError, UnicodeError) as error:
        raise CommandError(f"Cannot listen on {host}:{port}: {reason_of(error)}. See --host and --port.") from None
    return str(address[0])


def reason_of(error: Exception) -> str:
    if isinstance(error, OSError) and error.errno == errno.EADDRINUSE:
        return "something listens there already"
    return (error.strerror if isinstance(error, OSError) else None) or str(error)


def raise_open_files() -> None:
    """Many connections at once need many descriptors; the hard limit is ours to use."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with contextlib.suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def ensure_administrator(say: Callable[[str], None]) -> str:
    """Makes the account `admin` if there is no superuser yet; returns what to tell about it later.

    A password is said before it is committed: one that nobody has read would lock everybody out.
    """
    users = get_user_model().objects
    existing = users.filter(is_superuser=True, is_active=True).order_by("pk").first()
    if existing is not None:
        return f"account {existing.get_username()}, with the password that it was given"
    given = os.environ.get("DJANGO_SUPERUSER_PASSWORD", "")
    password = given or secrets.token_urlsafe(12)
    with transaction.atomic():
        users.create_superuser("admin", "", password)
        if not given:
            say(f"The administrator: account admin, password {password} (shown this once)")
    return f"account admin, with the password {'in DJANGO_SUPERUSER_PASSWORD' if given else 'above'}"


def prepare_demo(port: int) -> int:
    """Loads the demo once; returns the port of its destination. What an administrator made of it is left alone.

    Endpoints that still call the demo's destination on another port of loopback follow it to this one.
    """
    demo_port = free_port(port + 1)
    base = f"http://127.0.0.1:{demo_port}"
    if not Application.objects.filter(slug=DEMO_APPLICATION).exists():
        environ = {**os.environ, "DEMO_DESTINATION": base}
        apply_configuration(DEMO_FILE.read_text(), environ=environ, by=audit.command_line())
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

    def __init__(self, address: str, port: int) -> None:
        shown = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(address, address)  # noqa: S104
        self.base = f"http://{f'[{shown}]' if ':' in shown else shown}:{port}"
        self._host = known_host()
        self._missed = 0
        self._next = 0.0
        self._answered_at = 0.0

    def answers(self, path: str, *, seconds: float) -> bool:
        request = urllib.request.Request(self.base + path, headers=self._host)  # noqa: S310 - our own address
        try:
            with urllib.request.urlopen(request, timeout=seconds) as response:  # noqa: S310
                answered = response.status == 200
        except (OSError, HTTPException):  # a status of 400 and more is an OSError, too
            return False
        if answered:
            self._answered_at = time.monotonic()
        return answered

    def sick(self, child: Child, now: float) -> str | None:
        """Why the web server should be replaced: it did not answer several times in a row, or has never done so."""
        if now < self._next:
            return None
        answered = self.answers("/health/live", seconds=PROBE_TIMEOUT_SECONDS)
        self._next = time.monotonic() + PROBE_SECONDS
        starting = self._answered_at < child.started_at
        self._missed = 0 if answered or starting else self._missed + 1
        if starting and now > child.started_at + UP_WITHIN_SECONDS:
            return "hangs: it has not come up"
        return "hangs: it does not answer" if self._missed >= PROBES_MISSED else None


def known_host() -> dict[str, str]:
    """A Host header that ALLOWED_HOSTS knows, for questions of our own at an address that it may not list."""
    listed = settings.ALLOWED_HOSTS[0] if settings.ALLOWED_HOSTS else "*"
    return {} if listed == "*" else {"Host": listed.removeprefix(".")}


def children(host: str, address: str, port: int, demo_port: int | None, probe: Probe) -> list[Child]:
    environment = {"LOG_FILES": "1", **shared_environment(demo_port), **allowed_hosts(host, address)}
    web = Child("web server", web_command(address, port), environment)
    web.sick = lambda now: probe.sick(web, now)
    manage = str(settings.BASE_DIR / "manage.py")
    found = [web, Child("worker", [sys.executable, manage, "worker"], environment)]
    if demo_port is not None:
        found.append(
            Child("demo destination", [sys.executable, "-m", "integration_platform.demo.destination", str(demo_port)])
        )
    return found


def allowed_hosts(host: str, address: str) -> Mapping[str, str]:
    """Whoever listens on an address of a network wants to be called by it, unless ALLOWED_HOSTS says otherwise."""
    if os.environ.get("ALLOWED_HOSTS", "").strip():
        return {}
    named = [f"[{name}]" if ":" in name else name for name in (host, address)]
    return {"ALLOWED_HOSTS": ",".join(dict.fromkeys([*settings.ALLOWED_HOSTS, *filter(HOST.fullmatch, named)]))}


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
    """Calls to copy, a line each; the order's number is the idempotency key, so it is made new at each call."""
    return [
        "A synchronous call: the answer is the destination's confirmation.",
        "",
        curl(f"{base}/webhooks/demo-orders/sync"),
        "",
        "An asynchronous call: accepted at once, the result is fetched by the correlation id.",
        "",
        curl(f"{base}/webhooks/demo-orders"),
        "",
        f"  curl -H 'X-API-Key: demo-shop-key' '{base}/results/CORRELATION_ID?wait=10'",
    ]


def curl(url: str) -> str:
    order = (
        """'{"id": "'$(date +%s%N)'", "customer": {"id": 7, "name": "Ada", "country": "Norway"}, """
        """"items": [{"sku": "TEA-1", "quantity": 2, "price": 19.90}]}'"""
    )
    return f"  curl -H 'X-API-Key: demo-shop-key' -H 'Content-Type: application/json' {url} -d {order}"
