"""Lanes for people: what is in trouble comes first, why it stands still is said, and one sees it drain."""

from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from connectors.admin.base import page_of
from messages import operate
from messages.choices import Hold, Status
from messages.models import Lane, Message
from tests import factories

pytestmark = pytest.mark.django_db
lanes_page = "/admin/messaging/lane/"


@pytest.fixture
def operator() -> User:
    return User.objects.create_superuser("operator")


@pytest.fixture
def admin(operator: User) -> Client:
    client = Client()
    client.force_login(operator)
    return client


def listed(client: Client, **query: Any) -> list[Lane]:
    return list(client.get(lanes_page, query).context["cl"].result_list)


def test_what_stands_still_comes_first_and_idle_lanes_are_left_out(admin: Client) -> None:
    lanes = [
        factories.MessageFactory(**state).lane
        for state in ({}, {"lane__paused": True}, {"succeeded": True}, {"dead": True})
    ]
    waiting, paused, idle, blocked = lanes

    assert listed(admin) == [blocked, paused, waiting]
    assert listed(admin, work="all") == [blocked, idle, paused, waiting]


def test_lane_that_is_asked_for_is_shown_idle_or_not(admin: Client) -> None:
    idle = factories.MessageFactory(succeeded=True).lane

    assert listed(admin, q=idle.key) == [idle]
    assert listed(admin, route__id__exact=idle.route_id) == [idle]


@pytest.mark.skipif(connection.vendor != "sqlite", reason="on PostgreSQL the plan of a small table is a scan")
def test_busy_lanes_are_found_by_index() -> None:
    with CaptureQueriesContext(connection) as asked:
        list(Lane.objects.busy().order_by("-is_blocked", "due_at")[:25])

    with connection.cursor() as cursor:
        cursor.execute(f"EXPLAIN QUERY PLAN {asked.captured_queries[0]['sql']}")
        plan = "\n".join(row[-1] for row in cursor.fetchall())
    assert "SCAN messaging_lane" not in plan


def test_list_says_why_a_lane_stands_still_and_how_old_its_head_is(admin: Client, operator: User) -> None:
    factories.MessageFactory(dead=True, received_at=timezone.now() - timedelta(hours=2))
    paused = factories.MessageFactory().lane
    operate.pause(paused, by=operator, reason="the ERP moves house")

    page = admin.get(lanes_page).content.decode()

    assert "The destination refused the message with 422." in page
    assert "operator: the ERP moves house" in page
    assert "2 h 0 min" in page


def test_page_shows_the_head_its_error_and_what_waits_behind_it(admin: Client) -> None:
    dead = factories.MessageFactory(dead=True)
    behind = factories.MessageFactory(lane=dead.lane)
    cancelled = factories.MessageFactory(lane=dead.lane)
    Message.objects.filter(pk=cancelled.pk).update(status=Status.CANCELLED)

    standing = admin.get(page_of(dead.lane)).context["standing"]

    assert standing["why"] == "The destination refused the message with 422."
    assert [row["message"] for row in standing["waiting"]] == [dead, behind]


def test_page_renews_itself_while_the_lane_has_work(admin: Client) -> None:
    lane = factories.MessageFactory().lane
    idle = factories.MessageFactory(succeeded=True).lane

    assert f'hx-get="{page_of(lane)}?standing=free-work"' in admin.get(page_of(lane)).content.decode()
    assert "data-renews" not in admin.get(page_of(idle)).content.decode()


@pytest.mark.parametrize(
    ("change", "is_loaded_anew"), [({}, False), ({"hold": Hold.PAUSED}, True), ({"done_position": 1}, True)]
)
def test_page_is_loaded_anew_when_its_verbs_are_others(
    admin: Client, change: dict[str, Any], is_loaded_anew: bool
) -> None:
    lane = factories.MessageFactory().lane
    Lane.objects.update(**change)

    answer = admin.get(page_of(lane), {"standing": "free-work"}, headers={"HX-Request": "true"})

    assert ("HX-Refresh" in answer.headers) == is_loaded_anew


@pytest.mark.parametrize(("verb", "is_for_good"), [("retry_head", False), ("skip_head", True)])
def test_dialog_names_the_message_and_its_error(admin: Client, verb: str, is_for_good: bool) -> None:
    dead = factories.MessageFactory(dead=True)

    dialog = admin.get(f"{lanes_page}{dead.lane_id}/{verb}/").content.decode()

    assert str(dead) in dialog
    assert "The destination refused the message with 422." in dialog
    assert ("platform-for-good" in dialog) == is_for_good


@pytest.mark.parametrize(("verb", "is_for_good"), [("retry", False), ("cancel", True)])
def test_dialog_of_a_message_names_it_and_its_error(admin: Client, verb: str, is_for_good: bool) -> None:
    dead = factories.MessageFactory(dead=True)

    dialog = admin.get(f"/admin/messaging/message/{dead.pk}/{verb}/").content.decode()

    assert str(dead) in dialog
    assert "The destination refused the message with 422." in dialog
    assert ("platform-for-good" in dialog) == is_for_good


def test_dialog_of_an_empty_lane_says_so(admin: Client) -> None:
    lane = factories.LaneFactory()

    assert "There is no message at its head." in admin.get(f"{lanes_page}{lane.pk}/skip_head/").content.decode()


def test_page_of_a_lane_asks_at_most_ten_queries(admin: Client, operator: User) -> None:
    dead = factories.MessageFactory(dead=True)
    factories.MessageFactory.create_batch(5, lane=dead.lane)
    operate.pause(dead.lane, by=operator, reason="r")
    admin.get(page_of(dead.lane))

    with CaptureQueriesContext(connection) as asked:
        admin.get(page_of(dead.lane))

    assert len(asked) <= 10
