"""PostgreSQL's plans of the queue's own statements, which are kept while tables fill up."""

import pytest
from django.db import connection
from django.utils import timezone

from connectors.catalogue import RoutePlan
from connectors.models import Route
from messages import database
from messages.choices import OPEN_STATUSES, Status
from messages.database import execute_in_server
from messages.filling import fill
from messages.models import Lane, Message
from tests.messages.conftest import claim, finish, push

pytestmark = [
    pytest.mark.django_db,
    pytest.mark.skipif("connection.vendor != 'postgresql'", reason="SQLite has no plan for any value"),
]
LOOK = "SELECT token FROM messaging_lane WHERE id = %(pk)s"


@pytest.fixture(autouse=True)
def prepared_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(database, "PREPARED_AFTER", 0)


def analyze(table: str) -> None:
    """As PostgreSQL does by itself every minute or so."""
    with connection.cursor() as cursor:
        cursor.execute(f"ANALYZE {table}")


def kept_plan(beginning: str) -> str:
    """The one for any value, of the statement that begins so."""
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL plan_cache_mode = force_generic_plan")
        cursor.execute(
            "SELECT name, cardinality(parameter_types) FROM pg_prepared_statements WHERE statement LIKE %s",
            [f"{beginning}%"],
        )
        name, count = cursor.fetchone()
        cursor.execute(f"EXPLAIN EXECUTE {name} ({', '.join(['NULL'] * count)})")
        return "\n".join(line for (line,) in cursor.fetchall())


def test_record_goes_by_keys_however_many_messages_wait(plan: RoutePlan) -> None:
    push(plan)
    for _ in fill(3000, now=timezone.now(), into_real_data=True):
        pass
    Message.objects.filter(status__in=OPEN_STATUSES).exclude(route=plan.id).update(status=Status.CANCELLED)
    analyze("messaging_message")  # it learns that next to none wait, and will still think so after an outage
    finish(plan, claim(plan, 1)[0])

    plan_of_record = kept_plan("WITH entry")

    assert "messaging_message_pkey" in plan_of_record
    assert "message_status" not in plan_of_record


def test_plan_that_was_made_for_a_small_table_is_not_kept(plan: RoutePlan, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(database, "REPLANNED_AFTER_SECONDS", 0.0)
    push(plan)
    analyze("messaging_lane")
    for _ in range(10):  # by then the server has one plan for any value, and no reason to make another
        execute_in_server(LOOK, {"pk": 1})
    route = Route.objects.get()
    Lane.objects.bulk_create(Lane(route=route, key=f"L{number}") for number in range(3000))

    execute_in_server(LOOK, {"pk": 1})

    assert kept_plan("SELECT token").startswith("Index Scan")
