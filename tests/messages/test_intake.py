import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from django.db import DataError, connection, transaction

from connectors.catalogue import RoutePlan
from messages import intake
from messages.accepting import Taking
from messages.exceptions import LaneUnavailable, Refused
from messages.intake import Incoming, uuid7
from messages.models import Lane, Message, SearchKey
from tests.messages.conftest import configure_route

pytestmark = pytest.mark.django_db


def take(plan: RoutePlan, body: bytes, key: str | None = None) -> Message:
    return intake.accept(plan, Incoming("async", body, "application/json", {"User-Agent": "t"}, key)).message


def test_bytes_are_kept_as_they_came() -> None:
    plan = configure_route()
    body = b'{ "b":1.10,\n"a" :"\\u00e9\xc3\xa9", "big":12345678901234567890123}'

    message = take(plan, body)

    message.refresh_from_db()
    assert bytes(message.body) == body
    assert message.headers == {"User-Agent": "t"}


@pytest.mark.parametrize(
    ("ordering", "body", "key"),
    [
        ({}, b"{}", ""),  # the whole route is one lane
        ({"ordering_key": "id"}, b'{"id":"A"}', "A"),
        ({"ordering_key": "id"}, b'{"id":12}', "12"),  # a number is the text of its digits
        ({"ordering_key": "id"}, b'{"id":1.50}', "1.50"),
        ({"ordering_key": "id"}, b'{"id":true}', "true"),
        ({"ordering_key": "=a & b"}, b'{"a":"x","b":"y"}', "xy"),  # an expression
    ],
)
def test_lane_of_a_message(ordering: dict[str, str], body: bytes, key: str) -> None:
    plan = configure_route(**ordering)

    take(plan, body)

    assert Lane.objects.get().key == key


@pytest.mark.parametrize(
    ("content_type", "body", "path"),
    [
        ("text/xml", b"<order><customer id='C-7'/></order>", "order.customer.@id"),
        ("application/xml", b"<order><line><no>C-7</no></line></order>", "order.line[0].no"),  # one, and always a list
        ("application/x-www-form-urlencoded", b"customer+id=C%2D7", "`customer id`"),
        ("text/csv", b"id;name\nC-7;Ann\n", "[0].id"),
        ("text/csv; header=absent; delimiter=|", b"C-7|Ann", "[0][0]"),
    ],
)
def test_other_formats_are_read_by_the_same_paths(content_type: str, body: bytes, path: str) -> None:
    plan = configure_route(ordering_key=path, idempotency_key=path, search_keys={"id": path}, force_list=["line"])

    message = intake.accept(plan, Incoming("async", body, content_type, {}, None)).message

    message.refresh_from_db()
    assert (Lane.objects.get().key, message.idempotency_key, SearchKey.objects.get().value) == ("C-7", "C-7", "C-7")
    assert (bytes(message.body), message.content_type) == (body, content_type)


def test_other_formats_are_checked_against_the_schema() -> None:
    plan = configure_route(schema={"properties": {"a": {"properties": {"b": {"maxLength": 1}}}}})

    with pytest.raises(Refused) as caught:
        intake.accept(plan, Incoming("async", b"<a><b>xx</b></a>", "text/xml", {}, None))

    assert (caught.value.slug, [error["path"] for error in caught.value.errors or []]) == ("invalid-payload", ["a.b"])


def test_messages_without_order_have_lanes_of_their_own() -> None:
    plan = configure_route(ordering="none")

    messages = [take(plan, b"{}") for _ in range(3)]

    assert {lane.key for lane in Lane.objects.all()} == {str(message.correlation_id) for message in messages}


def test_long_ordering_keys_stay_apart() -> None:
    plan = configure_route(ordering_key="id")

    for end in ("a", "b", "a"):
        take(plan, b'{"id":"%s"}' % (b"x" * 500 + end.encode()))

    assert sorted(lane.last_position for lane in Lane.objects.all()) == [1, 2]


@pytest.mark.parametrize(
    "body",
    [b"{}", b'{"id":null}', b'{"id":""}', b'{"id":{}}', b'{"id":[1]}', b'{"id":"a\\u0000b"}'],
)
def test_message_without_its_ordering_key_is_refused(body: bytes) -> None:
    plan = configure_route(ordering_key="id")

    with pytest.raises(Refused) as caught:
        take(plan, body)

    assert caught.value.slug == "invalid-payload"
    assert not Message.objects.exists()
    assert not Lane.objects.exists()


def test_repeat_finds_the_first_message() -> None:
    plan = configure_route(idempotency_key="id")
    incoming = Incoming("async", b'{"id":7}', "application/json", {}, None)

    first, second = intake.accept(plan, incoming), intake.accept(plan, incoming)

    assert second.replayed
    assert second.message.pk == first.message.pk
    assert Lane.objects.get().last_position == 1


@pytest.mark.skipif("connection.vendor != 'postgresql'", reason="SQLite keeps texts of any length")
def test_what_does_not_fit_is_refused_and_not_cut() -> None:
    """Two keys that share their beginning must not become one."""
    plan = configure_route()

    with pytest.raises(DataError), transaction.atomic():
        take(plan, b"{}", key="k" * 256)

    assert not Message.objects.exists()


def test_header_goes_before_the_routes_own_expression() -> None:
    plan = configure_route(idempotency_key="id")

    take(plan, b'{"id":7}', key="one")
    take(plan, b'{"id":7}', key="two")

    assert set(Message.objects.values_list("idempotency_key", flat=True)) == {"one", "two"}


def test_same_key_with_another_body_is_refused() -> None:
    plan = configure_route()
    take(plan, b"{}", key="k")

    with pytest.raises(Refused) as caught:
        take(plan, b"[]", key="k")

    assert caught.value.slug == "idempotency-mismatch"


def test_messages_without_a_key_never_repeat() -> None:
    plan = configure_route(idempotency_key="id")

    take(plan, b"{}")
    take(plan, b"{}")

    assert Message.objects.count() == 2


@pytest.mark.django_db(transaction=True)
def test_concurrent_repeats_make_one_message() -> None:
    plan = configure_route()

    def push(_: int) -> tuple[int, bool]:
        accepted = intake.accept(plan, Incoming("async", b"{}", "application/json", {}, "the-key"))
        connection.close()
        return accepted.message.pk, accepted.replayed

    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(push, range(16)))

    assert len({pk for pk, _ in found}) == 1
    assert sum(not replayed for _, replayed in found) == 1
    assert Lane.objects.get().last_position == Message.objects.count() == 1


def test_search_keys_are_what_is_there() -> None:
    plan = configure_route(
        search_keys={"order": "id", "sku": "lines[].sku", "mail": "customer.mail", "bad": "=$number(x)"}
    )

    take(plan, b'{"id":4711,"lines":[{"sku":"a"},{"sku":"b"},{"sku":"a"}],"x":"no number"}')

    assert sorted(str(key) for key in SearchKey.objects.all()) == ["order:4711", "sku:a", "sku:b"]


def test_schema_faults_are_named_by_path() -> None:
    plan = configure_route(schema={"type": "object", "required": ["id"], "properties": {"n": {"type": "integer"}}})

    with pytest.raises(Refused) as caught:
        take(plan, b'{"n":"x"}')

    assert caught.value.slug == "invalid-payload"
    assert {error["path"] for error in caught.value.errors or []} == {"id", "n"}


@pytest.mark.parametrize("hold", ["paused", "blocked"])
def test_sync_message_on_a_lane_that_stands_still_makes_no_message(hold: str) -> None:
    plan = configure_route()
    take(plan, b"{}")
    Lane.objects.update(hold=hold)

    with pytest.raises(LaneUnavailable):
        intake.accept(plan, Incoming("sync", b"[]", "application/json", {}, None), taking=Taking("web", 30))

    assert Message.objects.count() == Lane.objects.get().last_position == 1


def test_correlation_ids_are_version_7_and_sort_by_time() -> None:
    first = uuid7()
    time.sleep(0.002)
    second = uuid7()

    assert (first.version, first.variant) == (7, "specified in RFC 4122")
    assert first < second
    assert abs((first.int >> 80) / 1000 - time.time()) < 5
