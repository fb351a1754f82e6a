from base64 import b64encode
from typing import Any

import pytest

from connectors.catalogue import catalogue
from integration_platform import arrivals
from integration_platform.arrivals import NOTHING, SMALL_BYTES, Allowance, Room, Rooms, allowance
from messages.problems import Problem
from tests.factories import CredentialFactory
from tests.messages.conftest import KEY, configure_route

MEBIBYTE = 1024 * 1024
BASIC = "Basic " + b64encode(b"shop:pass:word").decode()


def environ(method: str = "POST", path: str = "/webhooks/orders", **headers: str) -> dict[str, Any]:
    named = {f"HTTP_{name.upper()}": value for name, value in headers.items()}
    return {"REQUEST_METHOD": method, "PATH_INFO": path, "REMOTE_ADDR": "198.51.100.7", **named}


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        (environ(x_api_key=KEY), Allowance(5000, known=True)),
        (environ(path="/webhooks/orders/sync/", authorization=f"Bearer {KEY}"), Allowance(5000, known=True)),
        (environ(authorization=BASIC), Allowance(5000, known=True)),
        (environ(x_hub_signature_256="sha256=00"), Allowance(5000, known=False)),  # the body will tell
        (environ(), NOTHING),  # whoever proves nothing
        (environ(x_api_key="another"), NOTHING),
        (environ(x_api_key="strangers-key"), NOTHING),  # … or to be somebody else's source
        (environ(stripe_signature="t=1,v1=00"), NOTHING),  # no scheme of this source
        (environ("PUT", x_api_key=KEY), NOTHING),
        (environ(path="/webhooks/nowhere", x_api_key=KEY), NOTHING),
        (environ(path="/webhooks/orders/other", x_api_key=KEY), NOTHING),
        (environ(path="/results/0198f2", x_api_key=KEY), NOTHING),
        (environ(path="/nowhere", x_api_key=KEY), NOTHING),
        (environ(path="/admin/login/"), Allowance(SMALL_BYTES)),
        (environ(path="/admin/login/", cookie="sessionid=x"), Allowance(2_621_440)),
        (environ(path="/admin/login/", cookie="=;;\x00"), Allowance(SMALL_BYTES)),
    ],
)
def test_allowance(asked: dict[str, Any], expected: Allowance) -> None:
    plan = configure_route(max_body_bytes=5000)
    CredentialFactory(application_id=plan.source_id, name="hub", scheme="github", secret="secret-of-the-hub")
    catalogue.by_slug("orders")

    assert allowance(asked) == expected


@pytest.mark.django_db
@pytest.mark.parametrize("change", [{"enabled": False}, {"slug": "orders", "max_body_bytes": 1}])
def test_allowance_goes_by_what_is_remembered_and_asks_nobody(django_assert_num_queries: Any, change: Any) -> None:
    configure_route(**change)

    with django_assert_num_queries(0):
        remembered = allowance(environ(x_api_key=KEY)).limit
        catalogue.clear()
        unknown = allowance(environ(x_api_key=KEY))

    assert remembered == change.get("max_body_bytes", 0)
    assert unknown == NOTHING


def test_an_address_alone_gets_half_of_a_room_and_others_get_of_what_is_left() -> None:
    room = Room(100)

    assert [room.take("a", 10) for _ in range(6)] == [True] * 5 + [False]
    assert [room.take("b", 5) for _ in range(6)] == [True] * 5 + [False]
    assert room.take("c", 5)


def test_what_is_given_back_is_free_again() -> None:
    room = Room(100)
    room.take("a", 50)

    room.give_back("a", 50)

    assert room.take("a", 50)


def grown(rooms: Rooms, count: int, *, known: bool, address: str = "198.51.100.7") -> Any:
    arrival = rooms.arrival({"REMOTE_ADDR": address}, known=known)
    arrival.grow(count)
    return arrival


def test_large_bodies_of_strangers_leave_room_for_small_ones_and_for_known_senders() -> None:
    rooms = Rooms()
    grown(rooms, 32 * MEBIBYTE, known=False)

    with pytest.raises(Problem) as refused:
        grown(rooms, 32 * MEBIBYTE, known=False)

    assert (refused.value.slug, refused.value.headers) == ("unavailable", {"Retry-After": "5"})
    grown(rooms, SMALL_BYTES, known=False)
    grown(rooms, 32 * MEBIBYTE, known=True)
    grown(rooms, 24 * MEBIBYTE, known=False, address="203.0.113.9")


def test_body_that_grows_leaves_the_room_for_small_ones() -> None:
    rooms = Rooms()

    with rooms.arrival({"REMOTE_ADDR": "198.51.100.7"}, known=False) as arrival:
        arrival.grow(SMALL_BYTES)
        small = rooms._others[0]._total
        arrival.grow(1)

        assert (small, arrival.size) == (SMALL_BYTES, SMALL_BYTES + 1)
        assert [room._total for room in rooms._others] == [0, SMALL_BYTES + 1]
    assert [room._total for room in rooms._others] == [0, 0]


def test_rooms_hold_what_a_process_may_spend_on_bodies() -> None:
    sizes = [room._size for room in (*Rooms()._known, *Rooms()._others)]

    assert sum(sizes) == 256 * MEBIBYTE
    assert arrivals.ROOM_FOR_OTHERS // 2 > 32 * MEBIBYTE  # the largest body fits
