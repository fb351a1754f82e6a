"""The pages of support staff: a message is found by index, and its page tells what happened to it."""

import itertools
import re
from datetime import timedelta
from typing import Any

import pytest
from django.conf import settings
from django.contrib.auth.models import Permission, User
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from messages.admin import display, search
from messages.choices import Hold, Status
from messages.models import Attempt, Lane, Message, Rejection, Result, SearchKey, Worker
from tests import factories
from tests.plans import plan_of

pytestmark = pytest.mark.django_db

XSS = "<script>alert('x')</script>"
MODELS = ("attempt", "lane", "message", "rejection", "result", "searchkey", "worker")
FACTS = ("view_message", "view_attempt", "view_result", "view_rejection", "view_lane", "view_worker", "view_searchkey")
CANARIES = ("canary-received", "canary-sent", "canary-answered", "canary-told", "canary-header")
lanes_page = "/admin/messaging/lane/"
messages_page = "/admin/messaging/message/"


@pytest.fixture
def admin(admin_client: Client) -> Client:
    return admin_client


@pytest.fixture
def viewer() -> Client:
    """Sees lists and metadata, no payloads; the group of that name is to be like this."""
    user = User.objects.create_user("viewer", is_staff=True)
    user.user_permissions.set(Permission.objects.filter(codename__in=FACTS))
    client = Client()
    client.force_login(user)
    return client


@pytest.fixture
def told() -> Message:
    """A message that failed once and went through then, with hostile text wherever text comes from outside."""
    lane = factories.LaneFactory(key=XSS)
    message = factories.MessageFactory(
        lane=lane,
        status=Status.SUCCEEDED,
        attempts=2,
        completed_at=timezone.now(),
        body=b'{"canary-received": "<script>alert(1)</script>"}',
        headers={"X-Canary": "canary-header", "User-Agent": XSS},
        idempotency_key=XSS,
    )
    factories.ResultFactory(message=message, body=b'{"canary-told": 1}')
    factories.AttemptFactory(message=message, refused=True, detail=f"It said {XSS}", response_body=XSS.encode())
    factories.AttemptFactory(
        message=message,
        number=2,
        request_body=b'{"canary-sent": 1}',
        response_body=b'{"canary-answered": 1}',
        response_headers=[["X-Said", XSS]],
    )
    factories.SearchKeyFactory(message=message, value=XSS)
    factories.RejectionFactory(route=lane.route, detail=XSS, body=b'{"canary-received": 1}')
    factories.WorkerFactory(name=XSS)
    return message


def change_page(row: Any) -> str:
    return reverse(f"admin:messaging_{row._meta.model_name}_change", args=[row.pk])


def text_of(client: Client, address: str, **query: str) -> str:
    return client.get(address, query).content.decode()


@pytest.mark.parametrize("who", ["admin", "viewer"])
@pytest.mark.parametrize("model", MODELS)
def test_every_page_opens_and_takes_no_script_from_outside(
    told: Message, who: str, model: str, request: pytest.FixtureRequest
) -> None:
    client = request.getfixturevalue(who)
    tables = {table._meta.model_name: table for table in (Attempt, Lane, Message, Rejection, Result, SearchKey, Worker)}
    pages = [f"/admin/messaging/{model}/", *map(change_page, tables[model].objects.all())]

    answers = {address: client.get(address) for address in pages}

    assert len(answers) > 1
    for address, answer in answers.items():
        assert answer.status_code == 200, address
        assert "<script>alert" not in answer.content.decode(), address


@pytest.mark.parametrize("model", MODELS)
def test_nobody_can_add_change_or_delete_what_the_platform_writes(told: Message, admin: Client, model: str) -> None:
    row = {"message": told, "lane": told.lane, "result": told.result}.get(model) or next(
        table.objects.first() for table in (Attempt, Rejection, SearchKey, Worker) if table._meta.model_name == model
    )
    address = change_page(row)

    answers = [
        admin.get(f"/admin/messaging/{model}/add/"),
        admin.post(address, {}),
        admin.post(address.replace("change", "delete"), {"post": "yes"}),
    ]

    assert [answer.status_code for answer in answers] == [403, 403, 403]


def test_page_of_a_message_shows_payload_attempts_and_result(told: Message, admin: Client) -> None:
    text = text_of(admin, change_page(told))

    assert not [canary for canary in CANARIES if canary not in text]
    assert "Attempt 1" in text
    assert "HTTP 422" in text
    assert "It said &lt;script&gt;" in text
    assert text.index("Attempt 1") < text.index("Attempt 2")


@pytest.mark.parametrize("model", ["message", "attempt", "result", "rejection"])
def test_payloads_are_for_those_who_may_see_them(told: Message, viewer: Client, admin: Client, model: str) -> None:
    rows = {
        "message": told,
        "attempt": told.attempt_set.get(number=2),
        "result": told.result,
        "rejection": Rejection.objects.get(),
    }
    address = change_page(rows[model])

    assert "canary" in text_of(admin, address)
    assert "canary" not in text_of(viewer, address)
    assert viewer.get(reverse("admin:messaging_message_payload", args=[told.pk])).status_code == 403


@pytest.mark.parametrize("which", ["purged", "missing"])
def test_download_of_what_is_not_there_is_not_found(admin: Client, which: str) -> None:
    pk = factories.MessageFactory(purged=True).pk + (which == "missing")

    answer = admin.get(reverse("admin:messaging_message_payload", args=[pk]))

    assert answer.status_code == 404


def test_page_of_a_purged_message_says_so(admin: Client) -> None:
    assert "Retention removed it" in text_of(admin, change_page(factories.MessageFactory(purged=True)))


def test_failed_mapping_is_not_shown_as_if_the_payload_had_been_sent(admin: Client) -> None:
    message = factories.MessageFactory(status=Status.FAILED, attempts=1, body=b'{"id":"canary-received"}')
    factories.AttemptFactory(message=message, unsent=True, request_body=None, response_body=None)

    text = text_of(admin, change_page(message))

    assert "Nothing was sent" in text
    assert "Nothing came back" in text
    assert text.count("canary-received") == 1


def test_body_that_went_on_unchanged_is_shown_as_it_was_received(admin: Client) -> None:
    attempt = factories.AttemptFactory(message__body=b'{"id":"canary-received"}', request_body=None)

    assert text_of(admin, change_page(attempt.message)).count("canary-received") == 3  # received, sent, and as curl
    assert text_of(admin, change_page(attempt)).count("canary-received") == 1


def test_only_the_newest_attempt_brings_its_contents(admin: Client) -> None:
    message = factories.MessageFactory(retrying=True)
    attempts = [
        factories.AttemptFactory(message=message, number=number, request_body=b'{"sent":"canary-%d"}' % number)
        for number in range(1, 6)
    ]

    text = text_of(admin, change_page(message))

    assert set(re.findall(r"canary-\d", text)) == {"canary-5"}
    assert all(change_page(attempt) in text for attempt in attempts)


def test_open_message_says_what_went_wrong_last(admin: Client) -> None:
    message = factories.MessageFactory(retrying=True)
    factories.AttemptFactory(message=message, number=1, detail="first trouble")
    factories.AttemptFactory(message=message, number=2, detail="newest trouble")

    text = text_of(admin, change_page(message))

    assert text.index("newest trouble") < text.index("first trouble")  # among the facts, above the attempts


@pytest.mark.parametrize(
    ("state", "shown"),
    [("processing", "processing"), ("retrying", "retrying"), ("dead", "dead"), ("cancelled", "cancelled")],
)
def test_status_is_told_in_words_on_list_and_page(admin: Client, state: str, shown: str) -> None:
    message = factories.MessageFactory(**{state: True})

    for text in (text_of(admin, messages_page), text_of(admin, change_page(message))):
        assert re.search(rf"<span class=\"[^\"]*rounded[^\"]*\"\s*>\s*{shown}\s*</span>", text)


# --- lists -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("address", "make"),
    [
        (messages_page, lambda: factories.SearchKeyFactory(message__succeeded=True)),
        (f"{lanes_page}?work=all", factories.LaneFactory),
        (lanes_page, lambda: factories.MessageFactory(dead=True)),
        ("/admin/messaging/rejection/", factories.RejectionFactory),
        ("/admin/messaging/worker/", factories.WorkerFactory),
        ("/admin/messaging/attempt/", factories.AttemptFactory),
        ("/admin/messaging/result/", factories.ResultFactory),
        ("/admin/messaging/searchkey/", factories.SearchKeyFactory),
    ],
)
def test_lists_ask_the_same_few_queries_at_any_size_and_load_no_bodies(admin: Client, address: str, make: Any) -> None:
    make()
    with CaptureQueriesContext(connection) as few:
        admin.get(address)
    for _ in range(30):
        make()

    with CaptureQueriesContext(connection) as many:
        answer = admin.get(address)

    assert answer.context["cl"].result_count == 31
    assert len(few) <= len(many) <= len(few) + 1 <= 9  # a full page of messages is counted, to a bound
    assert not [query["sql"] for query in many if re.search(r'"(request_|response_)?body"', query["sql"])]


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ({"status__exact": "dead"}, ["dead"]),
        ({"route__id__exact": "{route}"}, ["other"]),
        ({"lane": "{lane}"}, ["other"]),  # the link on a lane's page
    ],
)
def test_messages_are_filtered(admin: Client, query: dict[str, str], found: list[str]) -> None:
    rows = {"dead": factories.MessageFactory(dead=True), "other": factories.MessageFactory()}
    other = rows["other"]
    filled = {name: value.format(route=other.route_id, lane=other.lane_id) for name, value in query.items()}

    answer = admin.get(messages_page, filled)

    assert list(answer.context["cl"].queryset) == [rows[name] for name in found]


@pytest.mark.parametrize("lookup", ["body", "pattern", "content_type", "status__regex", "result__body", "id__gt"])
def test_address_cannot_look_for_what_has_no_index(admin: Client, lookup: str) -> None:
    assert admin.get(messages_page, {lookup: "abc"}).status_code == 400


@pytest.mark.parametrize("query", [{"_facets": "True"}, {"status__exact": "nonsense"}, {"lane": "x"}, {"p": "391"}])
def test_odd_addresses_of_the_list_are_harmless(admin: Client, query: dict[str, str]) -> None:
    factories.MessageFactory()

    answer = admin.get(messages_page, query, follow=True)

    assert answer.status_code == 200
    assert not answer.context["cl"].add_facets


@pytest.mark.parametrize("which", ["rejection", "hourlycount", "attempt", "message"])
def test_list_that_is_not_narrowed_offers_no_way_to_all_of_it(admin: Client, which: str) -> None:
    {
        "rejection": factories.RejectionFactory,
        "hourlycount": factories.HourlyCountFactory,
        "attempt": factories.AttemptFactory,
        "message": factories.MessageFactory,
    }[which]()

    assert "Show all" not in admin.get(f"/admin/messaging/{which}/").content.decode()


def test_newest_message_is_first_and_no_other_order_is_offered(admin: Client) -> None:
    first, second = factories.MessageFactory(), factories.MessageFactory()

    answer = admin.get(messages_page, {"o": "3"})  # by a column, which would sort all rows

    assert list(answer.context["cl"].queryset) == [second, first]


# --- search ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("term", "found"),
    [
        ("0198f2aa-1111-7000-8000-000000000001", "first"),
        ("0198F2AA111170008000000000000001", "first"),  # as some copy it
        ("0198f2aa-1111", "first"),
        ("0198f2aa", "first"),
        ("0198f2a", None),  # too short to be a beginning
        ("order:4711", "first"),
        ("order: 4711", "first"),
        ("4711", "first"),
        ("471", None),  # a key is meant as a whole
        ("email:4711", None),
        ("urn:sku:7", "second"),  # a value with colons of its own
        ("deadbeef", "second"),  # reads like the beginning of an id, and is a key
        ("20260101", "second"),  # a number is a key before it is the beginning of an id …
        ("12345678", "third"),  # … and may be that
        ("it's", None),
        ("%", None),
    ],
)
def test_message_is_found_by_id_or_search_key(admin: Client, term: str, found: str | None) -> None:
    ids = {
        "first": "0198f2aa-1111-7000-8000-000000000001",
        "second": "0198f2ab-1111-7000-8000-000000000001",
        "third": "12345678-1111-7000-8000-000000000001",
        "fourth": "20260101-1111-7000-8000-000000000001",
    }
    rows = {name: factories.MessageFactory(correlation_id=value) for name, value in ids.items()}
    factories.SearchKeyFactory(message=rows["first"], name="order", value="4711")
    for value in ("urn:sku:7", "deadbeef", "20260101"):
        factories.SearchKeyFactory(message=rows["second"], name="sku", value=value)

    answer = admin.get(messages_page, {"q": term})

    assert list(answer.context["cl"].queryset) == ([rows[found]] if found else [])


@pytest.mark.skipif(not settings.DATABASE_IS_SQLITE, reason="on PostgreSQL the plan of a small table is a scan")
@pytest.mark.parametrize("term", ["0198f2aa-1111", "order:4711", "4711"])
def test_search_goes_by_index_and_sorts_nothing(term: str) -> None:
    factories.SearchKeyFactory()
    with CaptureQueriesContext(connection) as asked:
        list(search.find(Message.objects.all(), term)[:25])

    for query in asked.captured_queries:
        assert not re.search("^(SCAN|USE TEMP)", plan_of(query["sql"]), re.MULTILINE), query["sql"]


def test_lane_is_found_by_its_whole_key(admin: Client) -> None:
    lane = factories.LaneFactory(key="Zoë's shop 7")
    factories.LaneFactory(key="Zoë's shop")

    assert list(admin.get(lanes_page, {"q": "Zoë's shop 7"}).context["cl"].queryset) == [lane]
    assert not admin.get(lanes_page, {"q": "shop"}).context["cl"].queryset


# --- lanes -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("state", "standing", "verbs"),
    [
        ({"succeeded": True}, "idle", {"pause"}),
        ({}, "waiting", {"pause", "skip_head"}),
        ({"processing": True}, "working", {"pause"}),
        ({"retrying": True}, "backing off", {"pause", "skip_head", "try_now"}),
        ({"lane__paused": True}, "paused", {"resume", "skip_head"}),
        ({"dead": True}, "blocked", {"pause", "retry_head", "skip_head"}),
    ],
)
def test_lane_says_how_it_stands_and_offers_what_can_be_done(
    admin: Client, viewer: Client, state: dict[str, Any], standing: str, verbs: set[str]
) -> None:
    lane = factories.MessageFactory(**state).lane
    any_verb = rf"lane/{lane.pk}/(pause|resume|retry_head|skip_head|try_now)/"

    text = text_of(admin, change_page(lane))

    assert re.search(rf">\s*{standing}\s*</span>", text)
    assert set(re.findall(any_verb, text)) == verbs
    assert not re.findall(any_verb, text_of(viewer, change_page(lane)))
    assert re.search(rf">\s*{standing}\s*</span>", text_of(admin, lanes_page, work="all"))


def test_lane_shows_its_head_depth_and_messages(admin: Client) -> None:
    head = factories.MessageFactory(dead=True, received_at=timezone.now() - timedelta(hours=2, minutes=5))
    factories.MessageFactory(lane=head.lane)

    text = text_of(admin, change_page(head.lane))

    assert change_page(head) in text
    assert "(2 h 5 min ago)" in text
    assert f"{messages_page}?lane={head.lane_id}" in text


@pytest.mark.parametrize(("work", "found"), [("waiting", 2), ("held", 1), ("leased", 1)])
def test_lanes_are_filtered_by_their_work(admin: Client, work: str, found: int) -> None:
    factories.MessageFactory(succeeded=True)
    factories.MessageFactory(dead=True)
    factories.MessageFactory(processing=True)

    assert len(admin.get(lanes_page, {"work": work}).context["cl"].queryset) == found


@pytest.mark.parametrize("verb", ["retry_head", "skip_head", "pause", "resume", "try_now"])
@pytest.mark.parametrize("lane", ["999", "nonsense"])
def test_verb_on_a_lane_that_is_not_there_is_not_found(admin: Client, lane: str, verb: str) -> None:
    answer = admin.post(f"{lanes_page}{lane}/{verb}/", {"_form_submitted": "on", "reason": "r"})

    assert answer.status_code == 404


@pytest.mark.parametrize("verb", ["retry_head", "skip_head", "pause", "resume", "try_now"])
def test_looking_at_a_verb_changes_nothing(admin: Client, verb: str) -> None:
    lane = factories.MessageFactory(dead=True).lane
    before = Lane.objects.values().get()

    admin.get(f"{lanes_page}{lane.pk}/{verb}/")

    assert Lane.objects.values().get() == before
    assert before["hold"] == Hold.BLOCKED


def test_silent_worker_is_told_from_one_that_is_well(admin: Client) -> None:
    factories.WorkerFactory(name="fine")
    factories.WorkerFactory(name="gone", stale=True)

    text = text_of(admin, "/admin/messaging/worker/")

    assert [len(re.findall(rf">\s*{state}\s*</span>", text)) for state in ("well", "silent")] == [1, 1]


# --- bodies ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "content_type", "shown"),
    [
        (None, "", "empty"),
        (b"", "", "empty"),
        (b'{"b":19.90,"a":[1e2]}', "application/json", "{\n  &quot;b&quot;: 19.90,\n  &quot;a&quot;: ["),  # as written
        ('{"name":"Zoë 李"}'.encode(), "", "Zoë 李"),
        (b"{nope", "application/json", "{nope"),  # what is no JSON is shown as it came
        (b"a < b & c", "text/plain", "a &lt; b &amp; c"),
        (b"<a><b>x</b></a>", "text/xml", "&lt;a&gt;\n  &lt;b&gt;x&lt;/b&gt;\n&lt;/a&gt;"),
        (b"<!DOCTYPE a><a/>", "text/xml", "&lt;!DOCTYPE a&gt;&lt;a/&gt;"),  # refused at the door, and shown as it came
        (b"a=Zo%C3%AB+%3C", "application/x-www-form-urlencoded", "&quot;a&quot;: &quot;Zoë &lt;&quot;"),
        ("a;b\r\nZoë;1".encode("utf-16"), "text/csv", "a;b\r\nZoë;1"),
        ("Zoë".encode("latin-1"), "text/plain; charset=iso-8859-1", "Zoë"),
        (b"\xff\xfe\x00", "application/octet-stream", "//4A"),
        (b"\xff\xfe\x00", "application/octet-stream", "3 bytes that are no text, in base64."),
        (memoryview(b"1"), "", ">1<"),  # as PostgreSQL gives it
    ],
)
def test_bodies_are_shown_for_people(body: Any, content_type: str, shown: str) -> None:
    assert shown in display.payload(body, content_type)


@pytest.mark.parametrize(
    ("headers", "found"),
    [
        (None, ""),
        ({}, ""),
        ([["content-type", "text/xml"]], "text/xml"),
        ({"Content-Type": "a/b"}, "a/b"),
        ([["A", "b"]], ""),
    ],
)
def test_content_type_of_stored_headers(headers: Any, found: str) -> None:
    assert display.content_type(headers) == found


@pytest.mark.parametrize(
    ("body", "note"),
    [
        (b'"' + b"x" * 100_000 + b'"', "The first 65,536 of 100,002 characters."),
        (b"[" + b"1," * 1_000_000 + b"1]", "The first 65,536 of 2,000,003 bytes, as they came."),
        (b"x" + "ë".encode() * 1_000_000, "as they came"),  # a letter lies across the cut
        (b"\xff" * 2_000_000, "They are no text and stand here in base64."),
    ],
)
def test_long_bodies_are_cut_and_say_so(body: bytes, note: str) -> None:
    shown = display.payload(body, "text/plain")

    assert note in shown
    assert "\N{REPLACEMENT CHARACTER}" not in shown
    assert len(shown) < 100_000


def test_page_with_five_megabytes_is_small(admin: Client) -> None:
    body = b"[" + b",".join(itertools.repeat(b'{"sku":"TEA-1","quantity":2}', 180_000)) + b"]"
    attempt = factories.AttemptFactory(message__body=body, request_body=body, response_body=b"{}")

    answer = admin.get(change_page(attempt.message))

    assert len(body) > 5_000_000
    assert len(answer.content) < 500_000


@pytest.mark.parametrize(
    ("span", "shown"),
    [
        (None, "–"),
        (timedelta(milliseconds=18), "18 ms"),
        (timedelta(seconds=3.21), "3.2 s"),
        (timedelta(seconds=61), "1 min 1 s"),
        (timedelta(hours=1, minutes=5), "1 h 5 min"),
        (timedelta(days=2, hours=3), "2 d 3 h"),
    ],
)
def test_durations_have_two_units(span: timedelta | None, shown: str) -> None:
    assert display.duration(span) == shown
