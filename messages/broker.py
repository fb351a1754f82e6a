"""django-q2's side: what wakes the pump.

For `LaneBroker` the due lanes are the tasks. There is no wake-up row that could be lost, doubled or out of date.
"""

from time import monotonic, sleep
from typing import Any

from django.db import InterfaceError, OperationalError, connection
from django.utils import timezone
from django_q.brokers.orm import ORM
from django_q.brokers.redis_broker import Redis
from django_q.conf import Conf
from django_q.humanhash import uuid
from django_q.signals import post_execute
from django_q.signing import SignedPackage

from messages.beats import beat
from messages.database import clock
from messages.models import Lane

BEAT_SECONDS = 3.0  # the supervisor takes a role that is silent for thirty for one that hangs
AWAY_SECONDS = 0.5  # between two looks while the database is away
SETTLE_SECONDS = 0.02  # a woken worker's time to claim, before the same lanes are seen due again

Tasks = list[tuple[Any, str]]


def package(function: str) -> tuple[Any, str]:
    """A task without a row: nothing to acknowledge, nothing to come back."""
    name, identifier = uuid()
    task = {
        "id": identifier,
        "name": name,
        "func": function,
        "args": (),
        "kwargs": {},
        "started": timezone.now(),
        "ack_failure": True,
    }
    return None, SignedPackage.dumps(task)


def monitor_beat(**_: object) -> None:
    beat("monitor")


# q2 says in its monitor process that a task is finished: the only way to see that this process still works. Connected
# here, since a cluster makes its broker before it starts its processes, so that each of them has this module.
post_execute.connect(monitor_beat, dispatch_uid="messages.broker.monitor_beat")


class Beating:
    """Adds a task that only shows that worker and monitor are alive; the supervisor looks for their beats."""

    _beaten_at = 0.0

    def dequeue(self) -> Tasks:
        tasks: Tasks = super().dequeue() or []  # type: ignore[misc]
        if monotonic() - self._beaten_at >= BEAT_SECONDS:
            self._beaten_at = monotonic()
            tasks.append(package("messages.tasks.show_life"))
        return tasks


class DueLanes(ORM):
    """Gives out a pump whenever a lane is due, and looks ten times a second: one cheap read each."""

    def dequeue(self) -> Tasks:
        try:
            due = Lane.objects.due(clock()).exists()
        except (OperationalError, InterfaceError):
            # a connection that broke stays broken; q2 would ask each time whether it is well, and then wait 10 s
            connection.close()
            sleep(AWAY_SECONDS)
            return []
        if due:
            sleep(SETTLE_SECONDS)
            return [package("messages.pump.pump")]
        sleep(Conf.POLL)
        return []


class LaneBroker(Beating, DueLanes):
    pass


class DatabaseTaskBroker(Beating, ORM):
    """Ordinary tasks and schedules in the database."""


class RedisTaskBroker(Beating, Redis):
    """Ordinary tasks in Redis. They may be lost there; schedules, which live in the database, make them again."""
