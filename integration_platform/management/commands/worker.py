"""`manage.py worker`: a supervised qcluster."""

import shutil
import sys
import tempfile
import time
from datetime import timedelta
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandParser
from django.db import DatabaseError, InterfaceError, connection

from connectors.management.database import is_migrated
from integration_platform.supervisor import Child, Supervisor, silent, unanswered
from messages.beats import ENDED, MONITOR, STOP, VARIABLE, WORKER
from messages.database import clock_reading
from messages.models import Worker
from messages.pump import owner_name
from messages.tasks import ensure_schedules

START_SECONDS = 60.0
HEARTBEAT_SECONDS = 10.0
FORGET_AFTER = timedelta(days=1)


class Command(BaseCommand):
    help = "Runs the queue: pumps that work due lanes, and ordinary tasks, each in a supervised qcluster."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--grace", type=float, default=12.0, help="Seconds that stopping may take (default 12).")

    def handle(self, *, grace: float, **options: Any) -> None:
        folder = Path(tempfile.mkdtemp(prefix="platform-beats-"))
        children = [
            _cluster(settings.LANES_CLUSTER, folder, settings.STALE_SECONDS),
            _cluster(str(settings.Q_CLUSTER["name"]), folder, settings.TASKS_STALE_SECONDS),
        ]
        supervisor = Supervisor(children, grace_seconds=grace)
        supervisor.handle_signals()
        try:
            if not self._wait_for_migrations(supervisor):
                return
            heartbeat = Heartbeat(children)
            supervisor.run(heartbeat.every_look)
            heartbeat.end()
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def _wait_for_migrations(self, supervisor: Supervisor) -> bool:
        """False if it was told to stop in the meantime."""
        said = ""
        while not supervisor.stopping:
            reason = _not_ready()
            if reason is None:
                return True
            if reason != said:
                self.stderr.write(f"worker: waiting: {reason}")
                said = reason
            time.sleep(1)
        return False


def _not_ready() -> str | None:
    try:
        if not is_migrated():
            return "migrations have not been applied (manage.py migrate)"
        ensure_schedules()
    except (DatabaseError, InterfaceError) as error:
        connection.close()
        return f"the database cannot be reached ({type(error).__name__})"
    return None


def _cluster(name: str, folder: Path, worker_seconds: float) -> Child:
    """A qcluster whose workers show themselves at least every `worker_seconds`, and whose monitor answers them."""
    beats = folder / name
    beats.mkdir()
    child = Child(
        name=f"qcluster {name}",
        command=[sys.executable, str(settings.BASE_DIR / "manage.py"), "qcluster"],
        environment={"Q_CLUSTER_NAME": name, VARIABLE: str(beats)},
    )

    def forget() -> None:
        """What the processes showed that have been killed says nothing about the next ones."""
        for path in beats.iterdir():
            path.unlink()

    def sick(now: float) -> str | None:
        return silent(
            beats / WORKER, seconds=worker_seconds, start_seconds=START_SECONDS, started_at=child.started_at
        ) or unanswered(beats / ENDED, beats / MONITOR, seconds=settings.STALE_SECONDS)

    child.before_start = forget
    child.before_stop = (beats / STOP).touch
    child.sick = sick
    return child


class Heartbeat:
    """Tells the database that this worker is well, as long as its children are."""

    def __init__(self, children: list[Child]) -> None:
        self._children = children
        self._name = owner_name()
        self._next = 0.0
        self._away = False

    def every_look(self) -> None:
        if time.monotonic() < self._next or not all(child.alive for child in self._children):
            return
        self._next = time.monotonic() + HEARTBEAT_SECONDS
        try:
            now = clock_reading()
            Worker.objects.update_or_create(
                name=self._name, defaults={"seen_at": now}, create_defaults={"seen_at": now, "started_at": now}
            )
            Worker.objects.filter(seen_at__lt=now - FORGET_AFTER).delete()
            self._away = False
        except (DatabaseError, InterfaceError) as error:
            connection.close()
            if not self._away:
                sys.stderr.write(f"worker: the database cannot be reached ({type(error).__name__}); going on.\n")
            self._away = True

    def end(self) -> None:
        try:
            Worker.objects.filter(name=self._name).delete()
        except (DatabaseError, InterfaceError):
            connection.close()
