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

from connectors.admin.base import page_of
from connectors.models import Revision
from messages.admin import home, overview
from messages.admin.chart import Hour, chart
from messages.admin.lane import SILENT_AFTER
from messages.choices import OutcomeKind
from messages.counting import BOUNDS, Tally, hour_of
from messages.models import HourlyCount, Message
from messages.periods import since
from tests import factories
from tests.plans import plan_of

pytestmark = pytest.mark.django_db

HOME = "/admin/"


@pytest.fixture
def operator() -> Client:
    client = Client()
    client.force_login(User.objects.create_superuser("operator"))
    return client


def test_each_number_leads_to_the_messages_that_it_counts(operator: Client) -> None:
    day_ago = timezone.now() - timedelta(hours=25)
    old = UUID(int=int(day_ago.timestamp() * 1000) << 80)
    factories.MessageFactory(failed=True, correlation_id=old, received_at=day_ago)
    factories.MessageFactory.create_batch(3, failed=True)
    factories.MessageFactory(succeeded=True)

    tiles = {tile["title"]: tile for tile in operator.get(HOME).context["tiles"]}

    assert tiles["Received, 24 h"]["text"] == "4"
    assert tiles["Failed, 24 h"]["text"] == "3"
    for title in ("Received, 24 h", "Failed, 24 h"):
        assert operator.get(tiles[title]["url"]).context["cl"].result_count == int(tiles[title]["text"])


def test_oldest_that_waits_is_named_and_late_after_a_quarter_of_an_hour(operator: Client) -> None:
    assert "nothing waits" in operator.get(HOME).content.decode()
    oldest = factories.MessageFactory(retrying=True, received_at=timezone.now() - timedelta(minutes=16))
    factories.MessageFactory()

    context = operator.get(HOME).context

    assert context["tiles"][3]["url"] == page_of(oldest)
    assert [trouble["url"] for trouble in context["troubles"]].count(page_of(oldest)) == 1


def test_time_to_delivery_and_chart_come_from_counts_and_the_minutes_after_them(operator: Client) -> None:
    now = timezone.now()
    route = factories.RouteFactory()
    hour = hour_of(now) - timedelta(hours=2)
    tally = Tally(received=70, succeeded=20, failed=50)
    tally.latencies[BOUNDS.index(10.0)] = 20  # between 5 and 10 s
    counts = {"received": 70, "succeeded": 20, "failed": 50, "latencies": tally.latencies}
    HourlyCount.objects.create(route=route, hour=hour, counted_until=now - timedelta(minutes=2), **counts)
    factories.MessageFactory(lane__route=route, failed=True)

    context = operator.get(HOME).context

    assert context["tiles"][2]["text"] == "9.8 s"
    rows = [(row["received"], row["failed"]) for row in context["chart"]["rows"]]
    assert len(rows) == 24
    assert rows[-3] == ("70", "50")
    assert rows[-1] == ("1", "1")
    assert [row["failed"]["text"] for row in context["failing_routes"]] == ["50"]


def test_counts_that_are_far_behind_are_not_made_up_for_by_reading_messages(operator: Client) -> None:
    route = factories.RouteFactory()
    hour = hour_of(timezone.now()) - timedelta(hours=2)
    HourlyCount.objects.create(route=route, hour=hour, counted_until=hour + timedelta(minutes=1), received=1)
    factories.MessageFactory(lane__route=route)

    assert [row["received"] for row in operator.get(HOME).context["chart"]["rows"]][-3:] == ["1", "0", "0"]


@pytest.mark.parametrize(
    ("count", "top"), [(0, 4), (1, 4), (4, 4), (5, 8), (9, 20), (81, 100), (101, 200), (1_000_001, 2_000_000)]
)
def test_chart_ends_at_a_round_number(count: int, top: int) -> None:
    drawn = chart([Hour(timezone.now(), count, 0)])

    assert drawn["lines"][-1]["text"] == f"{top:,}"
    assert float(drawn["bars"][0]["received"]["y"]) >= 0


def test_one_of_very_many_is_still_seen() -> None:
    hours = [Hour(timezone.now(), 1_000_000, 1)]

    assert float(chart(hours)["bars"][0]["failed"]["height"]) >= 1


def test_nothing_received_in_a_period_is_nothing_listed() -> None:
    factories.MessageFactory()

    assert not since(Message.objects.all(), timezone.now() + timedelta(minutes=1)).exists()


def test_numbers_above_the_bound_say_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(overview, "COUNTED", 2)
    factories.MessageFactory.create_batch(4, failed=True)

    assert overview.numbers(silent_after=SILENT_AFTER, counted_until=timezone.now()).failed == 3
    assert home.cell(3, "messaging_message", bound=2)["text"] == "2+"


def test_all_is_well_when_it_is(operator: Client) -> None:
    factories.MessageFactory(succeeded=True)
    factories.WorkerFactory()

    page = operator.get(HOME)

    assert page.context["troubles"] == []
    assert "All is well" in page.content.decode()


def test_troubles_are_named_with_their_places(operator: Client) -> None:
    dead = factories.MessageFactory(dead=True)
    factories.MessageFactory(lane=dead.lane)
    factories.AttemptFactory(message=dead, outcome=OutcomeKind.FAILED, started_at=timezone.now())
    circuit = factories.CircuitFactory(open=True, endpoint=dead.route.endpoint)
    factories.WorkerFactory(stale=True)
    factories.RejectionFactory(reason="malformed-body")

    context = operator.get(HOME).context

    troubles = {trouble["text"]: trouble["url"] for trouble in context["troubles"]}
    assert troubles["1 message is dead"] == "/admin/messaging/message/?status__exact=dead"
    assert troubles["1 lane stands still"] == "/admin/messaging/lane/?work=held"
    assert troubles[f"The circuit of {dead.route.endpoint} is Open: 20 of 30 calls failed"] == page_of(circuit)
    assert f"1 of the last 1 calls of {dead.route.endpoint} failed" in troubles
    assert "No worker gives a sign of life: messages are accepted and wait" in troubles
    assert [(row["lane"].pk, row["why"]) for row in context["lanes"]["rows"]] == [
        (dead.lane_id, "The destination refused the message with 422.")
    ]
    assert context["rejections"]["last"].startswith("malformed-body, ")


def test_all_lanes_that_stand_still_are_counted_and_the_first_are_shown(operator: Client) -> None:
    factories.MessageFactory.create_batch(overview.SHOWN_LANES + 2, dead=True)

    context = operator.get(HOME).context

    assert len(context["lanes"]["rows"]) == overview.SHOWN_LANES
    assert f"{overview.SHOWN_LANES + 2} lanes stand still" in {trouble["text"] for trouble in context["troubles"]}


def test_calls_of_the_last_hour_are_counted_by_endpoint(operator: Client) -> None:
    message = factories.MessageFactory()
    now = timezone.now()
    for outcome, when in (
        (OutcomeKind.FAILED, now - timedelta(minutes=61)),
        (OutcomeKind.FAILED, now),
        (OutcomeKind.SUCCEEDED, now),
        (OutcomeKind.UNKNOWN, now),
        (OutcomeKind.MAPPING_FAILED, now),  # nobody was called
    ):
        factories.AttemptFactory(message=message, outcome=outcome, started_at=when)

    failing = operator.get(HOME).context["failing"]

    assert [(row["endpoint"], row["failed"], row["total"]) for row in failing] == [(message.route.endpoint, 2, 3)]


def test_paused_routes_and_endpoints_are_not_forgotten(operator: Client) -> None:
    factories.WorkerFactory()
    route = factories.RouteFactory(paused=True, endpoint__paused=True)

    assert [(trouble["text"], trouble["url"]) for trouble in operator.get(HOME).context["troubles"]] == [
        (f"Endpoint {route.endpoint} is paused", page_of(route.endpoint)),
        (f"Route {route} is paused", page_of(route)),
    ]


def steps(client: Client) -> dict[str, tuple[str, bool, bool]]:
    return {step["title"]: (step["url"], step["done"], step["next"]) for step in client.get(HOME).context["checklist"]}


def test_first_steps_lead_to_where_they_are_done_until_the_first_success(operator: Client) -> None:
    assert not Revision.objects.exists()
    assert steps(operator)["An application"] == ("/admin/connectors/application/add/", False, True)

    application = factories.ApplicationFactory()
    assert steps(operator)["An application"][1:] == (True, False)
    assert steps(operator)["A credential"] == (page_of(application), False, True)

    factories.CredentialFactory(application=application)
    route = factories.RouteFactory(source=application, endpoint__application=application)
    factories.MappingFactory()  # no route uses it
    assert steps(operator)["A mapping in a route"] == ("/admin/connectors/mapping/add/", False, False)
    assert steps(operator)["A first success"] == (reverse("admin:messaging_route_test", args=[route.pk]), False, True)

    factories.MessageFactory(failed=True, lane__route=route)
    assert "checklist" in operator.get(HOME).context

    factories.MessageFactory(succeeded=True, lane__route=route)
    assert "checklist" not in operator.get(HOME).context


def test_each_step_opens(operator: Client) -> None:
    factories.MessageFactory()

    assert [operator.get(url).status_code for url, *_ in steps(operator).values()] == [200] * 6


def test_parts_are_for_those_who_may_see_what_they_are_about() -> None:
    person = User.objects.create_user("person", is_staff=True)
    person.user_permissions.add(Permission.objects.get(codename="view_lane"))
    factories.MessageFactory(dead=True)
    client = Client()
    client.force_login(person)

    context = client.get(HOME).context

    assert "lanes" in context
    assert [name for name in ("tiles", "chart", "troubles", "failing", "workers", "checklist") if name in context] == []


def test_page_asks_ten_queries_at_most() -> None:
    person = User.objects.create_user("person", is_staff=True)
    person.user_permissions.set(Permission.objects.filter(codename__startswith="view_"))
    client = Client()
    client.force_login(person)
    for status in ("failed", "dead", "succeeded"):
        factories.MessageFactory.create_batch(10, **{status: True})
    factories.AttemptFactory.create_batch(10)
    factories.CircuitFactory(open=True, endpoint=Message.objects.first().route.endpoint)
    factories.WorkerFactory()
    client.get(HOME)

    with CaptureQueriesContext(connection) as asked:
        client.get(HOME)

    assert len(asked) <= 10, "\n".join(query["sql"][:200] for query in asked)


@pytest.mark.skipif(connection.vendor != "sqlite", reason="on PostgreSQL the plan of a small table is a scan")
def test_page_scans_no_messages(operator: Client) -> None:
    factories.MessageFactory.create_batch(3, failed=True)
    now = timezone.now()
    numbers = Revision.objects.annotate(**overview._counts(now, now), **overview._oldest()).values()

    with CaptureQueriesContext(connection) as asked:
        operator.get(HOME)

    plans = [plan_of(query["sql"]) for query in asked]
    assert "SCAN messaging_message" not in "\n".join(plans)
    assert not re.search("SCAN [UV]0", numbers.explain())
