"""One verb over many messages: frozen, confirmed once, in order, and finished by whoever is next."""

from contextlib import nullcontext
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import User
from django.utils import timezone
from django_q.models import OrmQ

from messages import bulk, operate, tasks
from messages.choices import BulkState, BulkVerb, ItemState, OutcomeKind, Status
from messages.exceptions import NotPossible
from messages.models import Bulk, BulkItem, Lane, Message
from tests.messages.conftest import claim, configure_route, finish, lane, push


@pytest.fixture
def agent(db: None) -> User:
    return User.objects.create_user("agent", is_staff=True)


@pytest.fixture
def failed(db: None) -> list[Message]:
    """Six failed messages, in turn on lane A and lane B, whose lanes have gone on."""
    plan = configure_route(ordering_key="lane", on_failure="skip")
    messages = [push(plan, "AB"[number % 2]).message for number in range(6)]
    while taken := claim(plan):
        for one in taken:
            finish(plan, one, OutcomeKind.REFUSED, let_go=True)
    return messages


def prepared(agent: User, verb: BulkVerb = BulkVerb.RETRY) -> Bulk:
    return bulk.prepare(verb, Message.objects.filter(status=Status.FAILED), by=agent, selection="failed")


def run(made: Bulk) -> Bulk:
    bulk.work(budget_seconds=60)
    made.refresh_from_db()
    return made


def test_messages_are_retried_oldest_first_in_each_lane(failed: list[Message], agent: User) -> None:
    made = prepared(agent)
    assert bulk.start(made, by=agent, reason="ERP is back")

    run(made)

    assert (made.state, made.total, made.done, made.refused, made.left) == (BulkState.FINISHED, 6, 6, 0, 0)
    for key, expected in (("A", failed[0::2]), ("B", failed[1::2])):
        waiting = Message.objects.filter(lane=lane(key), status=Status.QUEUED).order_by("position")
        assert list(waiting) == expected
    assert LogEntry.objects.filter(user=agent).count() == 7  # its start, and each message
    assert f"ERP is back (bulk action {made.pk})" in LogEntry.objects.first().get_change_message()  # type: ignore[union-attr]
    assert set(BulkItem.objects.values_list("note", flat=True)) == {operate.AT_THE_END}


def test_deeds_are_those_of_whoever_confirmed_them(failed: list[Message], agent: User) -> None:
    """One person selects, another one starts and stops: the history names the one who did it."""
    other = User.objects.create_user("other", is_staff=True)
    made = prepared(agent)

    bulk.start(made, by=other, reason="ERP is back")
    bulk.start(made, by=agent, reason="too late")
    run(made)

    told = [entry.get_change_message() for entry in LogEntry.objects.filter(content_type__model="bulk")]
    assert (made.made_by, made.started_by) == (agent, other)
    assert set(LogEntry.objects.values_list("user__username", flat=True)) == {"other"}
    assert told == ["Started: Retry 6 messages, failed. ERP is back"]


def test_stop_is_in_the_history(failed: list[Message], agent: User) -> None:
    made = prepared(agent)
    bulk.start(made, by=agent, reason="go")

    bulk.stop(made, by=agent, reason="wrong filter")
    bulk.stop(made, by=agent, reason="once more")

    told = [entry.get_change_message() for entry in LogEntry.objects.order_by("pk")]
    assert told[1:] == ["Stopped. wrong filter"]


def test_selection_is_frozen(failed: list[Message], agent: User) -> None:
    made = prepared(agent)
    late = push(configure_route(ordering_key="lane", on_failure="skip"), "C").message
    Message.objects.filter(pk=late.pk).update(status=Status.FAILED)
    bulk.start(made, by=agent, reason="r")

    run(made)

    assert Message.objects.get(pk=late.pk).status == Status.FAILED


def test_nothing_is_touched_before_it_is_confirmed(failed: list[Message], agent: User) -> None:
    made = run(prepared(agent))

    assert made.state == BulkState.PREPARED
    assert not Message.objects.open().exists()


def test_selection_that_is_stopped_while_it_is_written_down_stays_stopped(
    failed: list[Message], agent: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    def somebody_stops_it() -> Any:
        Bulk.objects.filter(state=BulkState.COLLECTING).update(state=BulkState.STOPPED)
        return nullcontext()

    monkeypatch.setattr(bulk, "write", somebody_stops_it)

    made = prepared(agent)

    assert (made.state, Bulk.objects.get().state) == (BulkState.STOPPED, BulkState.STOPPED)


def test_second_click_starts_nothing(failed: list[Message], agent: User) -> None:
    made = prepared(agent)

    assert [bulk.start(made, by=agent, reason="r"), bulk.start(made, by=agent, reason="r")] == [True, False]


@pytest.mark.django_db(transaction=True)
def test_confirmation_wakes_the_queue() -> None:
    agent = User.objects.create_user("agent")
    push(configure_route())
    made = bulk.prepare(BulkVerb.CANCEL, Message.objects.all(), by=agent, selection="all")

    bulk.start(made, by=agent, reason="r")

    assert OrmQ.objects.count() == 1


def test_work_goes_on_where_it_was_left(failed: list[Message], agent: User, monkeypatch: pytest.MonkeyPatch) -> None:
    """The worker dies in the middle of a step: the step is undone as a whole, the one before it stays."""
    monkeypatch.setattr(bulk, "STEP", 2)
    made = prepared(agent)
    bulk.start(made, by=agent, reason="r")
    original, calls = operate.retry, []

    def dies(*arguments: Any, **options: Any) -> str:
        calls.append(arguments)
        if len(calls) == 4:
            raise MemoryError
        return original(*arguments, **options)

    monkeypatch.setattr(operate, "retry", dies)
    with pytest.raises(MemoryError):
        bulk.work(budget_seconds=60)
    made.refresh_from_db()
    assert (made.done, Message.objects.open().count()) == (2, 2)

    run(made)

    assert (made.state, made.done) == (BulkState.FINISHED, 6)
    assert BulkItem.objects.filter(state=ItemState.DONE).count() == 6
    assert LogEntry.objects.filter(content_type__model="message").count() == 6


def test_message_that_the_verb_does_not_fit_any_more_is_told(failed: list[Message], agent: User) -> None:
    made = prepared(agent)
    operate.retry(failed[0], by=agent, reason="somebody was faster")
    bulk.start(made, by=agent, reason="r")

    run(made)

    assert (made.done, made.refused, made.state) == (5, 1, BulkState.FINISHED)
    assert BulkItem.objects.get(state=ItemState.REFUSED).message == failed[0]


def test_stopped_action_touches_nothing_more(failed: list[Message], agent: User) -> None:
    made = prepared(agent)
    bulk.start(made, by=agent, reason="r")

    assert [bulk.stop(made, by=agent, reason="r"), bulk.stop(made, by=agent, reason="r")] == [True, False]
    run(made)

    assert (made.state, made.done) == (BulkState.STOPPED, 0)


def test_waiting_messages_are_cancelled_together(agent: User) -> None:
    plan = configure_route(ordering_key="lane")
    for _ in range(45):
        push(plan)
    made = bulk.prepare(BulkVerb.CANCEL, Message.objects.open(), by=agent, selection="waiting")
    bulk.start(made, by=agent, reason="wrong import")

    assert tasks.work_bulks() == 45

    assert set(Message.objects.values_list("status", flat=True)) == {Status.CANCELLED}
    assert (lane().depth, lane().due_at) == (0, None)


def test_too_many_and_none_are_refused(failed: list[Message], agent: User, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bulk, "MAX_MESSAGES", 5)

    with pytest.raises(NotPossible, match="narrow the filter"):
        prepared(agent)
    with pytest.raises(NotPossible, match="No message"):
        bulk.prepare(BulkVerb.RETRY, Message.objects.none(), by=agent, selection="")
    assert not Bulk.objects.exists()


def test_what_nobody_confirms_is_given_up(failed: list[Message], agent: User) -> None:
    made = prepared(agent)
    Bulk.objects.update(made_at=timezone.now() - timedelta(hours=25))

    tasks.work_bulks()

    made.refresh_from_db()
    assert made.state == BulkState.STOPPED
    assert Lane.objects.with_work().count() == 0
