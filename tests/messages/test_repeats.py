from uuid import uuid4

import pytest

from messages import repeats as module
from messages.models import Message
from messages.repeats import Repeats


def message(key: str | None = "one", route: int = 1) -> Message:
    return Message(route_id=route, idempotency_key=key, correlation_id=uuid4(), body_digest=b"digest")


def test_message_is_remembered_under_its_route_and_key() -> None:
    repeats, first = Repeats(), message()
    repeats.note(first)

    found = repeats.first_of(1, "one")

    assert found is not None
    assert (found.correlation_id, found.body_digest) == (first.correlation_id, b"digest")
    assert repeats.first_of(2, "one") is None
    assert repeats.first_of(1, "two") is None


def test_message_without_a_key_is_not_remembered() -> None:
    repeats = Repeats()

    repeats.note(message(None))

    assert not repeats._firsts


def test_oldest_is_forgotten_for_the_newest(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "KEPT", 2)
    repeats = Repeats()
    for key in ("one", "two", "one", "three"):
        repeats.note(message(key))

    assert [repeats.first_of(1, key) is not None for key in ("one", "two", "three")] == [True, False, True]


def test_what_was_noted_long_ago_is_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "SECONDS", -1.0)
    repeats = Repeats()
    repeats.note(message())

    assert repeats.first_of(1, "one") is None
