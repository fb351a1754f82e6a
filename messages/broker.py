"""django-q2's side: what wakes the pump.

For `LaneBroker` the due lanes are the tasks. There is no wake-up row that could be lost, doubled or out of date.
"""

import contextlib
import logging
from time import monotonic, sleep
from typing import Any

import redis
from django.conf import settings
from django.db import connection
from django.utils import timezone
from django_q.brokers.orm import ORM
from django_q.brokers.redis_broker import Redis
from django_q.conf import Conf
from django_q.humanhash import uuid
from django_q.signals import post_execute, post_execute_in_worker
from django_q.signing import SignedPackage
from redis.backoff import NoBackoff
from redis.retry import Retry

from connectors.catalogue import catalogue
from messages.beats import MONITOR, beat, task_ended
from messages.database import UNREACHABLE, first_line
from messages.lanes import any_due

log = logging.getLogger(__name__)

BEAT_SECONDS = 3.0  # the supervisor takes a role that is silent for thirty for one that hangs
AWAY_SECONDS = 0.5  # between two looks while the database or Redis is away
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


def worker_ended_a_task(**_: object) -> None:
    task_ended()


def monitor_heard_of_it(**_: object) -> None:
    beat(MONITOR)


# q2 says in a worker that a task has ended, and then in its monitor process: the only way to see that the latter still
# works. Connected here, since a cluster makes its broker before it starts its processes, so that each has this module.
post_execute_in_worker.connect(worker_ended_a_task, dispatch_uid="messages.broker.worker_ended_a_task")
post_execute.connect(monitor_heard_of_it, dispatch_uid="messages.broker.monitor_heard_of_it")


class Beating:
    """Adds a task that only shows that worker and monitor are alive; the supervisor looks for their beats."""

    _beaten_at = 0.0

    def dequeue(self) -> Tasks:
        tasks: Tasks = super().dequeue() or []  # type: ignore[misc]
        if monotonic() - self._beaten_at >= BEAT_SECONDS:
            self._beaten_at = monotonic()
            tasks.append(package("messages.tasks.show_life"))
        return tasks


class Patient:
    """Waits for a queue that is away, and says so once. q2 would wait 10 s and then start another process."""

    unreachable: tuple[type[Exception], ...] = UNREACHABLE
    list_key: str
    _away = False

    def ping(self) -> bool:
        """A cluster asks before it starts its processes, and would end if this raised: they wait instead."""
        try:
            return bool(super().ping())  # type: ignore[misc]
        except self.unreachable as error:
            self._say_away(error)
            return False

    def dequeue(self) -> Tasks:
        try:
            tasks: Tasks = super().dequeue() or []  # type: ignore[misc]
        except self.unreachable as error:
            self._say_away(error)
            connection.close()  # one that broke stays broken
            sleep(AWAY_SECONDS)
            return []
        if self._away:
            log.warning("The queue %s is there again.", self.list_key)
        self._away = False
        return tasks

    def _say_away(self, error: Exception) -> None:
        if not self._away:
            log.warning("The queue %s cannot be reached; waiting for it (%s).", self.list_key, first_line(error))
        self._away = True


class DueLanes(ORM):
    """Gives out a pump whenever a lane is due that can be worked, looking ten times a second: one cheap read each."""

    def dequeue(self) -> Tasks:
        if self._is_wanted():
            sleep(SETTLE_SECONDS)
            return [package("messages.pump.pump")]
        sleep(Conf.POLL)
        return []

    @staticmethod
    def _is_wanted() -> bool:
        """Lanes of endpoints that cannot be called stay due until somebody mends these: a pump would do nothing."""
        if not any_due():
            return False
        unusable = catalogue.unusable()
        return not unusable or any_due(unusable)


class LaneBroker(Beating, Patient, DueLanes):
    pass


class DatabaseTaskBroker(Beating, Patient, ORM):
    """Ordinary tasks and schedules in the database."""

    def delete(self, task_id: int) -> None:
        """A finished task whose row cannot be removed comes once more after `retry`; q2's monitor would end here."""
        try:
            super().delete(task_id)
        except UNREACHABLE as error:
            log.warning("Task %s stays in the queue and comes again (%s).", task_id, first_line(error))
            connection.close()


class RedisQueue(Redis):
    """Ordinary tasks in Redis. They may be lost there; schedules, which live in the database, make them again."""

    @staticmethod
    def get_connection(list_key: str | None = None) -> redis.Redis:
        """With short time-outs: q2's scheduler asks inside a transaction, and an administrator's click waits, too.

        The one retry is for a connection that broke while nobody used it.
        """
        return redis.Redis.from_url(
            settings.BROKER_URL, socket_connect_timeout=2, socket_timeout=3, retry=Retry(NoBackoff(), 1)
        )

    def ping(self) -> bool:
        """Without q2's line at ERROR: who asks says it."""
        return bool(self.connection.ping())

    def set_stat(self, key: str, value: str, timeout: int) -> None:
        """Figures for q2's own monitor, twice a second: a Redis that is away is told of elsewhere."""
        with contextlib.suppress(redis.RedisError):
            super().set_stat(key, value, timeout)


class RedisTaskBroker(Beating, Patient, RedisQueue):
    unreachable = (redis.RedisError,)
