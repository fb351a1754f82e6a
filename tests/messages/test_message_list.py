"""The list of messages: narrowed by what stands in its address, paged behind a row, the same for a million."""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from messages.admin import narrowing
from messages.admin.display import roughly
from messages.admin.message_list import MessageList
from messages.models import Bulk, BulkItem, Message, SavedView
from tests import factories
from tests.plans import plan_of

pytestmark = pytest.mark.django_db

page = "/admin/messaging/message/"
NOON = datetime(2026, 11, 28, 12, 0, tzinfo=UTC)


@pytest.fixture
def rows() -> dict[str, Message]:
    """Messages of two routes, an hour apart, the last one just now."""
    shop, erp = factories.ApplicationFactory(name="Shop"), factories.ApplicationFactory(name="ERP")
    orders = factories.RouteFactory(name="Orders", source=shop, endpoint__application=erp)
    contacts = factories.RouteFactory(name="Contacts")
    made = {
        "refused": factories.MessageFactory(**at(1), failed=True, lane__route=orders, lane__key="customer-1"),
        "dead": factories.MessageFactory(**at(2), dead=True, lane__route=contacts, lane__key="customer-2"),
        "unmapped": factories.MessageFactory(**at(3), status="failed", lane__route=orders, lane__key="customer-2"),
        "done": factories.MessageFactory(**at(4), succeeded=True, lane__route=contacts, lane__key=""),
        "retrying": factories.MessageFactory(**at(5), retrying=True, lane__route=orders, lane__key="customer-3"),
        "fresh": factories.MessageFactory(lane__route=contacts, lane__key="customer-4"),
    }
    factories.ResultFactory(message=made["unmapped"], mapping_failed=True)
    factories.AttemptFactory(message=made["refused"], refused=True)
    factories.AttemptFactory(message=made["done"], status_code=201)
    factories.AttemptFactory(message=made["retrying"], status_code=503, detail="The destination answered 503.")
    return made


def at(hour: int) -> dict[str, Any]:
    moment = NOON + timedelta(hours=hour) - timedelta(days=30)
    return {"received_at": moment, "correlation_id": UUID(int=(int(moment.timestamp() * 1000) << 80) | hour)}


def shown(client: Client, **query: Any) -> list[Message]:
    return list(client.get(page, query).context["cl"].result_list)


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ({}, ["fresh", "retrying", "done", "unmapped", "dead", "refused"]),
        ({"status__exact": "failed"}, ["unmapped", "refused"]),
        ({"route__id__exact": "ORDERS"}, ["retrying", "unmapped", "refused"]),
        ({"application": "ERP"}, ["retrying", "unmapped", "refused"]),  # at either end of the route
        ({"application": "SHOP", "status__exact": "failed"}, ["unmapped", "refused"]),
        ({"key": "customer-2"}, ["unmapped", "dead"]),  # on every route
        ({"lane": "LANE"}, ["dead"]),
        ({"error": "destination-refused"}, ["dead", "refused"]),
        ({"error": "mapping-failed"}, ["unmapped"]),
        ({"http": "422"}, ["refused"]),
        ({"http": "503"}, ["retrying"]),
        ({"http": "201"}, ["done"]),
        ({"received": "hour"}, ["fresh"]),
        ({"from": "2026-10-29T14:00", "to": "2026-10-29T16:00"}, ["unmapped", "dead"]),
        ({"waiting": "15"}, ["retrying"]),
        ({"http": "nonsense"}, ["fresh", "retrying", "done", "unmapped", "dead", "refused"]),
    ],
)
def test_messages_are_narrowed(admin_client: Client, rows: dict[str, Message], query: Any, found: list[str]) -> None:
    route, dead = rows["refused"].route, rows["dead"]
    keys = {"ORDERS": route.pk, "SHOP": route.source_id, "ERP": route.endpoint.application_id, "LANE": dead.lane_id}

    answer = shown(admin_client, **{name: keys.get(value, value) for name, value in query.items()})

    assert answer == [rows[name] for name in found]


def test_page_says_what_is_shown_and_how_to_be_rid_of_it(admin_client: Client, rows: dict[str, Message]) -> None:
    text = admin_client.get(page, {"status__exact": "failed", "http": "422", "q": "4711"}).content.decode()

    assert 'aria-label="Remove the filter Status"' in text
    assert 'href="?http=422&amp;q=4711"' in text
    assert 'aria-label="Remove the search"' in text


def test_faults_of_a_filter_are_said_beside_it(admin_client: Client) -> None:
    text = admin_client.get(page, {"http": "99"}).content.decode()

    assert "greater than or equal to 100" in text
    assert '<details class="platform-filters" open>' in text


def test_rows_say_in_one_line_what_went_wrong(admin_client: Client, rows: dict[str, Message]) -> None:
    text = admin_client.get(page).content.decode()

    assert "The destination refused the message with 422." in text
    assert "The mapping could not make the outgoing message." in text
    assert "The destination answered 503." in text  # of the last attempt, since there is no result yet


def test_pages_go_on_behind_their_last_row(admin_client: Client) -> None:
    lane = factories.LaneFactory()
    made = [factories.MessageFactory(lane=lane) for _ in range(60)][::-1]

    first = admin_client.get(page, {"status__exact": "queued"})
    second = admin_client.get(page + first.context["cl"].older_url)
    third = admin_client.get(page + second.context["cl"].older_url)

    pages = [list(one.context["cl"].result_list) for one in (first, second, third)]
    assert [len(one) for one in pages] == [25, 25, 10]
    assert [row for one in pages for row in one] == made
    assert (first.context["cl"].newest_url, third.context["cl"].older_url) == ("", "")
    assert third.context["cl"].newest_url == "?status__exact=queued"
    assert first.context["cl"].result_count == third.context["cl"].result_count == 60


@pytest.mark.parametrize("query", [{"application": "SHOP"}, {"waiting": "1"}], ids=["routes", "statuses"])
def test_pages_of_several_routes_or_statuses_have_all_messages_in_order(
    admin_client: Client, monkeypatch: pytest.MonkeyPatch, query: dict[str, str]
) -> None:
    monkeypatch.setattr(MessageList, "list_per_page", 2)
    shop = factories.ApplicationFactory()
    one, other = factories.RouteFactory.create_batch(2, source=shop)
    made = [(one, {}), (other, {"retrying": True}), *[(one, {})] * 2, (one, {"retrying": True}), (other, {})]
    for hour, (route, trait) in enumerate([*made, (one, {}), (one, {})]):
        factories.MessageFactory(**at(hour), lane__route=route, **trait)
    query = {name: value.replace("SHOP", str(shop.pk)) for name, value in query.items()}

    pages, older = [], ""
    while page_ := shown(admin_client, **query, **({"older": older} if older else {})):
        pages.append([message.pk for message in page_])
        older = str(page_[-1].pk)

    assert [len(keys) for keys in pages] == [2, 2, 2, 2]
    assert [key for keys in pages for key in keys] == list(Message.objects.order_by("-pk").values_list("pk", flat=True))


def test_long_lane_is_read_by_the_index_of_its_route(
    admin_client: Client, rows: dict[str, Message], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(narrowing, "MOST_SORTED", 0)
    lane = rows["refused"].lane
    newer = factories.MessageFactory(lane=lane)

    assert shown(admin_client, lane=lane.pk) == [newer, rows["refused"]]
    assert shown(admin_client, key=lane.key) == [newer, rows["refused"]]


@pytest.mark.skipif(connection.vendor != "sqlite", reason="PostgreSQL chooses by what it knows of the rows")
def test_page_of_several_routes_begins_where_one_of_them_fills_it(admin_client: Client) -> None:
    shop = factories.ApplicationFactory()
    for route in factories.RouteFactory.create_batch(2, source=shop):
        factories.MessageFactory(lane__route=route)

    with CaptureQueriesContext(connection) as asked:
        shown(admin_client, application=shop.pk)

    plans = [plan_of(query["sql"]) for query in asked if "LIMIT 26" in query["sql"]]
    assert len(plans) == 1
    assert "message_route (route_id=? AND id>?)" in plans[0]


def test_whole_filter_is_selected_from_any_page(admin_client: Client) -> None:
    """Paging is no filter: what is selected on the second page is everything that fits."""
    lane = factories.LaneFactory()
    for _ in range(30):
        factories.MessageFactory(lane=lane)
    older = admin_client.get(page).context["cl"].older_url
    row = admin_client.get(page + older).context["cl"].result_list[0]

    form = {"action": "cancel_selected", "select_across": "1", "_selected_action": [row.pk]}
    admin_client.post(page + older, form)

    assert Bulk.objects.get().total == BulkItem.objects.count() == 30


def test_big_numbers_are_not_counted_out(admin_client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("messages.admin.paging.COUNTED", 26)
    monkeypatch.setattr("messages.admin.keyset.COUNTED", 26)
    lane = factories.LaneFactory()
    for _ in range(40):
        factories.MessageFactory(lane=lane)

    text = admin_client.get(page).content.decode()

    assert "more than 26 messages" in text
    assert "Select all more than 26 messages" in text


def test_every_row_of_the_page_costs_the_same_queries(admin_client: Client, rows: dict[str, Message]) -> None:
    for number in range(30):
        factories.AttemptFactory(message=factories.MessageFactory(retrying=True), number=number + 1)

    with CaptureQueriesContext(connection) as asked:
        admin_client.get(page)

    assert len(asked) <= 9


@pytest.mark.parametrize(
    ("span", "said"),
    [(timedelta(seconds=5), "5 s"), (timedelta(minutes=61), "1 h"), (timedelta(days=3), "3 d"), (-timedelta(1), "0 s")],
)
def test_ages_have_one_unit(span: timedelta, said: str) -> None:
    assert roughly(span) == said


# --- saved views -----------------------------------------------------------------------------------------------------

save = "/admin/messaging/savedview/save/"


def test_view_is_a_link_above_its_list(admin_client: Client) -> None:
    form = {"list": "message", "name": "<b>Failing", "query": "status__exact=failed&older=7&p=2"}

    answer = admin_client.post(save, form, follow=True)

    assert SavedView.objects.get().query == "status__exact=failed"
    text = answer.content.decode()
    assert '<a href="?status__exact=failed" aria-current="page"' in text
    assert "&lt;b&gt;Failing" in text
    assert "Failing" not in admin_client.get("/admin/messaging/lane/").content.decode()


def test_view_of_the_same_name_is_replaced(admin_client: Client) -> None:
    for query in ("status__exact=failed", "status__exact=dead"):
        admin_client.post(save, {"list": "message", "name": "Mine", "query": query})

    assert SavedView.objects.get().query == "status__exact=dead"


def test_views_are_their_owners_unless_shared(admin_client: Client) -> None:
    other = User.objects.create_superuser("other")
    mine = SavedView.objects.create(owner=other, list="lane", name="not yours")
    SavedView.objects.create(owner=other, list="lane", name="for all", shared=True)
    admin_client.force_login(User.objects.get(username="admin"))

    text = admin_client.get("/admin/messaging/lane/").content.decode()

    assert "for all" in text
    assert "not yours" not in text
    assert admin_client.get(reverse("admin:messaging_savedview_change", args=[mine.pk])).status_code == 302


@pytest.mark.parametrize("form", [{"list": "message", "name": ""}, {"list": "message", "name": "x" * 51}])
def test_view_without_a_name_is_refused(admin_client: Client, form: dict[str, str]) -> None:
    answer = admin_client.post(save, form, follow=True)

    assert "A view needs a name" in answer.content.decode()
    assert not SavedView.objects.exists()


@pytest.mark.parametrize("which", ["message", "lane", "user"])
def test_view_is_saved_only_of_what_somebody_may_see(which: str) -> None:
    client = Client()
    client.force_login(User.objects.create_user("nobody", is_staff=True))

    assert client.post(save, {"list": which, "name": "x"}).status_code == 403


def test_view_is_deleted_by_its_owner_alone(admin_client: Client) -> None:
    owner, other = User.objects.create_user("owner", is_staff=True), User.objects.create_user("other", is_staff=True)
    view = SavedView.objects.create(owner=owner, list="lane", name="mine", shared=True)
    url = reverse("admin:messaging_savedview_delete", args=[view.pk])

    for person, left in ((other, True), (owner, False)):
        client = Client()
        client.force_login(person)
        client.post(url, {"post": "yes"})
        assert SavedView.objects.exists() is left


@pytest.mark.parametrize("which", SavedView.List.values)
def test_who_deletes_a_view_is_back_on_its_list(admin_client: Client, admin_user: User, which: str) -> None:
    view = SavedView.objects.create(owner=admin_user, list=which, name="mine")

    answer = admin_client.post(reverse("admin:messaging_savedview_delete", args=[view.pk]), {"post": "yes"})

    assert answer.headers["Location"] == f"/admin/messaging/{which}/"


# --- the command palette ---------------------------------------------------------------------------------------------


def test_palette_finds_messages_by_what_people_have_at_hand(admin_client: Client) -> None:
    message = factories.SearchKeyFactory(name="order", value="AB-4711").message

    text = admin_client.get(reverse("admin:search"), {"s": "AB-4711", "extended": "1"}).content.decode()

    assert reverse("admin:messaging_message_change", args=[message.pk]) in text


def test_palette_finds_no_messages_for_who_may_not_see_them() -> None:
    factories.SearchKeyFactory(value="4711")
    client = Client()
    client.force_login(User.objects.create_user("nobody", is_staff=True))

    text = client.get(reverse("admin:search"), {"s": "4711", "extended": "1"}).content.decode()

    assert "/admin/messaging/message/" not in text


@pytest.mark.parametrize(
    "query",
    [{"from": "1960-01-01T00:00"}, {"to": "0002-11-28T12:00"}, {"waiting": "2000000000"}, {"older": "9" * 5000}],
)
def test_times_and_numbers_that_nothing_has_are_answered(
    admin_client: Client, rows: dict[str, Message], query: dict[str, str]
) -> None:
    assert admin_client.get(page, query).status_code == 200
