"""The first page: numbers that lead to what they count, what is in trouble, and the first steps."""

import re
from datetime import timedelta
from uuid import UUID

import pytest
from django.contrib.auth.models import Permission, User
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from connectors.models import Revision
from messages.admin import home, overview
from messages.admin.periods import since
from messages.choices import OutcomeKind
from messages.models import Message, Worker
from tests import factories

pytestmark = pytest.mark.django_db

HOME = "/admin/"


@pytest.fixture
def operator() -> Client:
    client = Client()
    client.force_login(User.objects.create_superuser("operator"))
    return client


def test_each_number_leads_to_the_messages_that_it_counts(operator: Client) -> None:
    hours_ago = UUID(int=int((timezone.now() - timedelta(hours=5)).timestamp() * 1000) << 80)
    factories.MessageFactory(failed=True, correlation_id=hours_ago)
    factories.MessageFactory.create_batch(3, failed=True)
    factories.MessageFactory(succeeded=True)

    page = operator.get(HOME).content.decode()
    counted = {url.replace("&amp;", "&"): text for url, text in re.findall(r'href="([^"]+)">([\d,+]+)</a>', page)}

    messages = reverse("admin:messaging_message_changelist")
    assert counted[f"{messages}?status__exact=failed&received=hour"] == "3"
    assert counted[f"{messages}?status__exact=failed&received=day"] == "4"
    for url, text in counted.items():
        assert operator.get(url).context["cl"].result_count == int(text), url


def test_nothing_received_in_a_period_is_nothing_listed() -> None:
    factories.MessageFactory()

    assert not since(Message.objects.all(), timezone.now() + timedelta(minutes=1)).exists()


def test_numbers_above_the_bound_say_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(overview, "COUNTED", 2)
    factories.MessageFactory.create_batch(4, succeeded=True)

    assert overview.numbers().received["day"]["succeeded"] == 3
    assert home.cell(3, "messaging_message", bound=2)["text"] == "2+"


def test_troubles_are_named_with_their_places(operator: Client) -> None:
    dead = factories.MessageFactory(dead=True)
    factories.MessageFactory(lane=dead.lane)
    factories.AttemptFactory(message=dead, outcome=OutcomeKind.FAILED, started_at=timezone.now())
    Worker.objects.create(name="gone:1", started_at=timezone.now(), seen_at=timezone.now() - timedelta(minutes=5))

    context = operator.get(HOME).context

    assert [lane.pk for _, lane in context["lanes"]["rows"]] == [dead.lane_id]
    assert [(row["route"], row["dead"]["text"]) for row in context["troubles"]] == [(dead.route, "1")]
    assert [(row["endpoint"], row["failed"]) for row in context["failing"]] == [(dead.route.endpoint, 1)]
    assert "silent" in context["workers"][0]["state"]
    assert context["waiting"]["oldest"]


def test_paused_routes_and_endpoints_are_not_forgotten(operator: Client) -> None:
    route = factories.RouteFactory(paused=True, endpoint__paused=True)

    assert [name for _, name in operator.get(HOME).context["paused"]] == [
        f"Route {route}",
        f"Endpoint {route.endpoint}",
    ]


def test_first_steps_show_what_is_next_and_go_when_a_message_came(operator: Client) -> None:
    assert not Revision.objects.exists()
    assert [step["next"] for step in operator.get(HOME).context["checklist"]] == [True, *[False] * 5]

    factories.ApplicationFactory()
    assert [step["done"] for step in operator.get(HOME).context["checklist"]] == [True, *[False] * 5]

    factories.MessageFactory()
    assert "checklist" not in operator.get(HOME).context


def test_parts_are_for_those_who_may_see_what_they_are_about() -> None:
    person = User.objects.create_user("person", is_staff=True)
    person.user_permissions.add(Permission.objects.get(codename="view_lane"))
    factories.MessageFactory(dead=True)
    client = Client()
    client.force_login(person)

    context = client.get(HOME).context

    assert "lanes" in context
    assert [
        name for name in ("totals", "troubles", "failing", "workers", "paused", "checklist") if name in context
    ] == []


def test_page_asks_ten_queries_at_any_size_and_scans_no_messages(operator: Client) -> None:
    for status in ("failed", "dead", "succeeded"):
        factories.MessageFactory.create_batch(10, **{status: True})
    factories.AttemptFactory.create_batch(10)

    with CaptureQueriesContext(connection) as asked:
        operator.get(HOME)

    assert len(asked) <= 10
    if connection.vendor == "sqlite":
        plans = "\n".join(plan_of(query["sql"]) for query in asked)
        assert not re.search(r"SCAN [UV]0", plans)
        assert plans.count("SCAN messaging_message") <= 1  # whether there is one at all: it stops at the first


def plan_of(sql: str) -> str:
    with connection.cursor() as cursor:
        cursor.execute(f"EXPLAIN QUERY PLAN {sql}")
        return "\n".join(row[-1] for row in cursor.fetchall())
