import logging
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime

import pytest
from django.db import DatabaseError, connection
from django.test.utils import CaptureQueriesContext

from connectors.models import Credential, Revision
from messages.last_use import LastUses
from tests.factories import CredentialFactory

pytestmark = pytest.mark.django_db(transaction=True)
NOW = 1_700_000_000.0


def moment(seconds: float) -> datetime:
    return datetime.fromtimestamp(NOW + seconds, tz=UTC)


def until(done: Callable[[], bool]) -> None:
    end = time.monotonic() + 20
    while not done():
        assert time.monotonic() < end
        time.sleep(0.01)


def test_uses_are_written_together_behind_the_callers_back() -> None:
    first, second = CredentialFactory.create_batch(2)
    uses = LastUses(delay_seconds=0.05)

    with CaptureQueriesContext(connection) as asked:
        uses.note(first.pk, NOW)
        uses.note(second.pk, NOW + 1)

    assert len(asked) == 0
    until(lambda: Credential.objects.filter(last_used_at=None).count() == 0)
    assert set(Credential.objects.values_list("last_used_at", flat=True)) == {moment(0), moment(1)}


def test_use_is_no_change_of_the_configuration() -> None:
    row = CredentialFactory()
    before = Revision.current()

    Credential.note_uses({row.pk: moment(0)})

    assert Credential.objects.get().last_used_at == moment(0)
    assert Revision.current() == before


@pytest.mark.parametrize(("seconds", "kept"), [(59, 0), (60, 60), (-3600, 0)])
def test_last_use_is_written_once_a_minute_whoever_sees_it(seconds: int, kept: int) -> None:
    """Also by several processes, and by one whose clock is behind."""
    row = CredentialFactory(last_used_at=moment(0))

    Credential.note_uses({row.pk: moment(seconds)})

    assert Credential.objects.get().last_used_at == moment(kept)


def test_uses_within_a_minute_start_no_further_write(monkeypatch: pytest.MonkeyPatch) -> None:
    written: list[dict[int, datetime]] = []
    monkeypatch.setattr(Credential, "note_uses", written.append)
    uses = LastUses(delay_seconds=0)

    for seconds, writes in [(0, 1), (30, 1), (59.9, 1), (60, 2)]:
        uses.note(7, NOW + seconds)
        until(lambda writes=writes: len(written) >= writes)  # type: ignore[misc]
        uses._timer = None if uses._timer is None else uses._timer.join()  # type: ignore[func-returns-value]

    assert written == [{7: moment(0)}, {7: moment(60)}]


def test_use_that_cannot_be_written_is_logged_and_forgotten(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def away(_: object) -> None:
        raise DatabaseError("away")

    monkeypatch.setattr(Credential, "note_uses", away)
    LastUses(delay_seconds=0).note(7, NOW)

    until(lambda: "could not be written" in caplog.text)
    assert caplog.records[-1].levelno == logging.ERROR


def test_cleared_uses_are_not_written() -> None:
    row = CredentialFactory()
    uses = LastUses(delay_seconds=30)
    uses.note(row.pk, NOW)

    uses.clear()

    assert not [thread for thread in threading.enumerate() if isinstance(thread, threading.Timer)]
    assert Credential.objects.get().last_used_at is None
