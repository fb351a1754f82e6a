"""Whoever locks several rows does it in one order: nobody waits for somebody who waits for him (PostgreSQL)."""

import threading
import time
from collections.abc import Callable, Iterable
from datetime import timedelta

import pytest
from django.contrib.auth.models import User
from django.db import connection, transaction
from django.db.models import Model
from django.utils import timezone

from messages import bulk, operate
from messages.choices import BulkVerb, OutcomeKind, Status
from messages.models import Lane, Message
from messages.tasks import purge
from tests.factories import UserFactory
from tests.messages.conftest import claim, configure_route, finish, lane, push

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.skipif("connection.vendor != 'postgresql'", reason="SQLite has one lock"),
]


@pytest.fixture
def agent() -> User:
    return UserFactory()


def meet(first: int, second: int, rows: type[Model], other: Callable[[], object]) -> list[Exception]:
    """Somebody locks `first`, `other` begins and waits for him, then he locks `second`; returns what anybody raised."""
    raised: list[Exception] = []

    def begin() -> None:
        try:
            other()
        except Exception as error:  # noqa: BLE001 - it is what the test is about
            raised.append(error)
        finally:
            connection.close()

    thread = threading.Thread(target=begin)
    try:
        with transaction.atomic():
            lock(rows, [first])
            thread.start()
            wait_until_somebody_waits()
            lock(rows, [second])
    except Exception as error:  # noqa: BLE001
        raised.append(error)
    thread.join(20)
    return raised


def lock(rows: type[Model], pks: Iterable[int]) -> None:
    list(rows._default_manager.select_for_update().filter(pk__in=pks).values_list("pk"))


def wait_until_somebody_waits() -> None:
    """For this session."""
    end = time.monotonic() + 10
    with connection.cursor() as cursor:
        while True:
            cursor.execute(
                "SELECT count(*) FROM pg_locks WHERE NOT granted AND pg_backend_pid() = ANY(pg_blocking_pids(pid))"
            )
            if cursor.fetchone()[0]:
                return
            assert time.monotonic() < end
            time.sleep(0.01)


def test_resubmission_to_a_younger_lane_waits_for_whoever_records_both(agent: User) -> None:
    plan = configure_route(ordering_key="lane")
    old = push(plan, "A").message
    push(plan, "B")

    raised = meet(
        lane("A").pk, lane("B").pk, Lane, lambda: operate.resubmit(old, b'{"lane":"B"}', by=agent, reason="r")
    )

    assert raised == []
    assert lane("B").last_position == 2


def test_bulk_action_and_retention_wait_for_each_other(agent: User) -> None:
    """The younger message is in the older lane, which has its turn first."""
    plan = configure_route(ordering_key="lane", on_failure="skip")
    for name in "ABA":
        push(plan, name)
    while taken := claim(plan):
        for one in taken:
            finish(plan, one, OutcomeKind.REFUSED, let_go=True)
    first, second, third = Message.objects.order_by("pk")
    first.delete()
    made = bulk.prepare(BulkVerb.RETRY, Message.objects.filter(status=Status.FAILED), by=agent, selection="all")
    bulk.start(made, by=agent, reason="r")

    raised = meet(second.pk, third.pk, Message, lambda: bulk.work(budget_seconds=10))

    assert raised == []
    assert Message.objects.open().count() == 2


def test_retention_locks_messages_in_their_order(agent: User) -> None:
    """Rows lie in another order on disk: those that were written again lie behind."""
    plan = configure_route(on_failure="skip")
    for _ in range(2):
        push(plan)
        (taken,) = claim(plan)
        finish(plan, taken)
    first, second = Message.objects.order_by("pk").values_list("pk", flat=True)
    Message.objects.filter(pk=first).update(completed_at=timezone.now() - timedelta(days=1))

    assert meet(first, second, Message, lambda: purge([second, first])) == []
