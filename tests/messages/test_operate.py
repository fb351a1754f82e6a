from datetime import timedelta
from typing import Any

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import Permission, User
from django.db import IntegrityError, transaction
from django.test import Client
from django.utils import timezone

from connectors.catalogue import RoutePlan
from messages import lanes, operate
from messages.choices import Hold, OutcomeKind, Status
from messages.claims import Finished
from messages.database import clock_reading
from messages.exceptions import NotPossible, Refused
from messages.models import Lane, Message, Result
from messages.pump import policy_of
from tests.factories import MessageFactory
from tests.messages.conftest import claim, configure_route, expire, finish, head, lane, outcome, push


@pytest.fixture
def agent(db: None) -> User:
    return User.objects.create_user("agent", is_staff=True)


@pytest.fixture
def blocked(plan: RoutePlan) -> list[Message]:
    """A dead head and two messages behind it."""
    messages = [push(plan).message for _ in range(3)]
    finish(plan, claim(plan)[0], OutcomeKind.REFUSED)
    return messages


def status_of(message: Message) -> str:
    message.refresh_from_db()
    return message.status


def test_retried_head_keeps_its_place(plan: RoutePlan, blocked: list[Message], agent: User) -> None:
    operate.retry_head(lane(), position=lane().head_position, by=agent, reason="ERP is back")

    assert status_of(blocked[0]) == Status.QUEUED
    assert not Result.objects.exists()
    (taken,) = claim(plan)
    assert taken.done_position == 0
    assert finish(plan, taken).kept
    told = [entry.get_change_message() for entry in LogEntry.objects.order_by("pk")]
    assert told == ["Retried the head. ERP is back", "Retried as the head of its lane. ERP is back"]


def test_skipped_head_lets_the_lane_go_on(plan: RoutePlan, blocked: list[Message], agent: User) -> None:
    operate.skip_head(lane(), position=lane().head_position, by=agent, reason="entered by hand")

    assert status_of(blocked[0]) == Status.CANCELLED
    assert Result.objects.get().error["detail"] == "entered by hand"
    (taken,) = claim(plan)
    assert taken.done_position == 1


def test_skipping_the_last_message_leaves_an_idle_lane(plan: RoutePlan, agent: User) -> None:
    push(plan)

    operate.skip_head(lane(), position=lane().head_position, by=agent, reason="r")

    assert (lane().depth, lane().due_at) == (0, None)


def test_head_in_a_workers_hand_is_not_skipped(plan: RoutePlan, agent: User) -> None:
    push(plan)
    claim(plan)

    with pytest.raises(NotPossible):
        operate.skip_head(lane(), position=lane().head_position, by=agent, reason="r")

    assert Message.objects.get().status == Status.QUEUED


def test_worker_that_was_stopped_records_nothing_on_a_skipped_head(plan: RoutePlan, agent: User) -> None:
    push(plan)
    push(plan)
    (stopped,) = claim(plan)
    late = Finished(stopped, head(stopped), outcome(), policy_of(plan))
    expire()
    operate.skip_head(lane(), position=lane().head_position, by=agent, reason="r")

    lanes.finish([late], now=timezone.now())

    assert late.fenced
    assert lane().done_position == 1


def test_verbs_of_a_stale_page_lose(plan: RoutePlan, blocked: list[Message], agent: User) -> None:
    stale = lane()
    operate.retry_head(stale, position=stale.head_position, by=agent, reason="first")

    with pytest.raises(NotPossible):
        operate.retry_head(stale, position=stale.head_position, by=agent, reason="second")

    assert LogEntry.objects.count() == 2  # of the lane and of the message, by the first


def test_paused_lane_holds_and_resumes_in_order(plan: RoutePlan, agent: User) -> None:
    operate_on = push(plan).message.lane
    operate.pause(operate_on, by=agent, reason="r")
    push(plan)

    held = claim(plan)
    with pytest.raises(NotPossible):
        operate.pause(operate_on, by=agent, reason="r")
    operate.resume(operate_on, by=agent, reason="r")

    assert held == []
    assert [one.done_position for one in claim(plan)] == [0]
    with pytest.raises(NotPossible):
        operate.resume(operate_on, by=agent, reason="r")


@pytest.mark.parametrize("paused_while_sending", [True, False])
def test_pause_does_not_shorten_a_back_off(plan: RoutePlan, agent: User, paused_while_sending: bool) -> None:
    push(plan)
    (taken,) = claim(plan)
    if paused_while_sending:
        operate.pause(lane(), by=agent, reason="r")
    finish(plan, taken, OutcomeKind.FAILED)
    if not paused_while_sending:
        operate.pause(lane(), by=agent, reason="r")
    due = lane().due_at

    operate.resume(lane(), by=agent, reason="r")

    assert due is not None
    assert due > clock_reading() + timedelta(seconds=20)
    assert (lane().hold, lane().due_at) == (Hold.NONE, due)
    assert claim(plan) == []


def test_back_off_that_ended_under_a_pause_is_over_when_resumed(plan: RoutePlan, agent: User) -> None:
    push(plan)
    finish(plan, claim(plan)[0], OutcomeKind.FAILED)
    operate.pause(lane(), by=agent, reason="r")
    Lane.objects.update(due_at=clock_reading() - timedelta(hours=1))

    operate.resume(lane(), by=agent, reason="r")

    due = lane().due_at
    assert due is not None
    assert due > clock_reading() - timedelta(minutes=1), "it has not been waiting for anybody"
    assert len(claim(plan)) == 1


def test_skipping_on_a_paused_lane_leaves_it_paused(plan: RoutePlan, agent: User) -> None:
    push(plan)
    push(plan)
    operate.pause(lane(), by=agent, reason="r")

    operate.skip_head(lane(), position=lane().head_position, by=agent, reason="r")

    assert (lane().hold, lane().done_position, lane().due_at) == (Hold.PAUSED, 1, None)


@pytest.mark.parametrize(
    ("permitted", "method", "reason", "status"),
    [
        (True, "post", "by hand", Status.CANCELLED),
        (True, "post", "", Status.DEAD),  # a reason is required
        (True, "get", "by hand", Status.DEAD),  # looking changes nothing
        (False, "post", "by hand", Status.DEAD),
    ],
)
def test_verbs_on_the_page_need_a_permission_a_post_and_a_reason(
    blocked: list[Message], agent: User, permitted: bool, method: str, reason: str, status: str
) -> None:
    names = ["view_lane", "operate_lane"] if permitted else ["view_lane"]
    agent.user_permissions.set(Permission.objects.filter(codename__in=names))
    client: Any = Client(raise_request_exception=False)
    client.force_login(agent)

    getattr(client, method)(
        f"/admin/messaging/lane/{lane().pk}/skip_head/", {"_form_submitted": "on", "position": "1", "reason": reason}
    )

    assert status_of(blocked[0]) == status


def test_head_that_backs_off_is_tried_now_once_and_with_the_attempts_it_has_left(plan: RoutePlan, agent: User) -> None:
    push(plan)
    (taken,) = claim(plan)
    finish(plan, taken, OutcomeKind.FAILED)
    assert not lanes.any_due()

    operate.try_now(lane(), by=agent, reason="The ERP is back.")

    assert lanes.any_due()
    assert Message.objects.get().attempts == 1
    assert [entry.get_change_message() for entry in LogEntry.objects.all()] == ["Tried its head now. The ERP is back."]
    with pytest.raises(NotPossible):
        operate.try_now(lane(), by=agent, reason="again")


@pytest.mark.parametrize("state", [{}, {"processing": True}, {"dead": True}, {"retrying": True, "lane__paused": True}])
def test_lane_that_does_not_wait_for_an_attempt_cannot_be_hurried(agent: User, state: dict[str, Any]) -> None:
    found = MessageFactory(**state).lane

    with pytest.raises(NotPossible):
        operate.try_now(found, by=agent, reason="r")


def test_paused_lane_whose_head_dies_stays_paused_and_is_blocked_when_resumed(plan: RoutePlan, agent: User) -> None:
    push(plan)
    (taken,) = claim(plan)
    operate.pause(lane(), by=agent, reason="r")
    finish(plan, taken, OutcomeKind.REFUSED)
    assert lane().hold == Hold.PAUSED

    operate.resume(lane(), by=agent, reason="r")

    assert (lane().hold, lane().due_at) == (Hold.BLOCKED, None)


def test_head_retried_under_a_pause_waits_for_the_resume(plan: RoutePlan, blocked: list[Message], agent: User) -> None:
    operate.pause(lane(), by=agent, reason="r")
    operate.retry_head(lane(), position=1, by=agent, reason="r")
    assert (lane().hold, claim(plan)) == (Hold.PAUSED, [])

    operate.resume(lane(), by=agent, reason="r")

    assert [one.done_position for one in claim(plan)] == [0]


def test_retry_of_a_dead_message_has_all_attempts_of_its_policy(plan: RoutePlan, agent: User) -> None:
    message = push(plan).message
    for _ in range(3):
        Lane.objects.update(due_at=timezone.now())
        finish(plan, claim(plan)[0], OutcomeKind.FAILED)
    assert status_of(message) == Status.DEAD

    effect = operate.retry(message, by=agent, reason="ERP is back")

    assert "kept its place" in effect
    ends = []
    for _ in range(3):
        Lane.objects.update(due_at=timezone.now())
        finish(plan, claim(plan)[0], OutcomeKind.FAILED)
        ends.append(status_of(message))
    assert ends == [Status.RETRYING, Status.RETRYING, Status.DEAD]
    assert list(message.attempt_set.values_list("number", flat=True)) == [1, 2, 3, 4, 5, 6]


def test_message_whose_lane_went_on_is_retried_at_its_end(agent: User) -> None:
    plan = configure_route(ordering_key="lane", on_failure="skip")
    failed, second, third = (push(plan).message for _ in range(3))
    (taken,) = claim(plan)
    finish(plan, taken, OutcomeKind.REFUSED, let_go=True)

    effect = operate.retry(failed, by=agent, reason="fixed")

    assert "end of its lane" in effect
    assert "end of its lane" in LogEntry.objects.get().get_change_message()
    sent = []
    while taken_now := claim(plan):
        sent.append(head(taken_now[0]).message_id)
        finish(plan, taken_now[0], let_go=True)
    assert sent == [second.pk, third.pk, failed.pk]
    assert status_of(failed) == Status.SUCCEEDED
    assert (lane().depth, lane().due_at) == (0, None)


def test_retry_wakes_an_idle_lane(agent: User) -> None:
    plan = configure_route(ordering_key="lane", on_failure="skip")
    failed = push(plan).message
    finish(plan, claim(plan)[0], OutcomeKind.REFUSED)
    assert lane().due_at is None

    operate.retry(failed, by=agent, reason="r")

    assert [one.done_position for one in claim(plan)] == [1]


def test_succeeded_message_is_not_retried(plan: RoutePlan, agent: User) -> None:
    message = push(plan).message
    finish(plan, claim(plan)[0])

    with pytest.raises(NotPossible):
        operate.retry(message, by=agent, reason="r")


def test_cancelled_message_is_passed_over_when_its_turn_comes(plan: RoutePlan, agent: User) -> None:
    messages = [push(plan).message for _ in range(4)]
    operate.cancel(messages[1], by=agent, reason="wrong order")
    operate.cancel(messages[2], by=agent, reason="wrong order")

    (taken,) = claim(plan)
    finish(plan, taken, let_go=True)
    (taken,) = claim(plan)
    assert lanes.read_ahead([taken], 10) == {taken.lane_id: []}
    lanes.release([taken])

    (taken,) = claim(plan)
    assert head(taken).message_id == messages[3].pk
    finish(plan, taken)
    assert [status_of(message) for message in messages] == [
        Status.SUCCEEDED, Status.CANCELLED, Status.CANCELLED, Status.SUCCEEDED,
    ]  # fmt: skip


def test_cancelled_end_of_a_lane_leaves_it_idle(plan: RoutePlan, agent: User) -> None:
    messages = [push(plan).message for _ in range(2)]
    operate.cancel(messages[1], by=agent, reason="r")

    operate.cancel(messages[0], by=agent, reason="r")

    assert (lane().depth, lane().due_at) == (0, None)


def test_worker_learns_that_what_it_read_ahead_was_cancelled(plan: RoutePlan, agent: User) -> None:
    messages = [push(plan).message for _ in range(3)]
    (taken,) = claim(plan)
    ahead = lanes.read_ahead([taken], 3)[taken.lane_id]
    operate.cancel(messages[1], by=agent, reason="r")

    entry = Finished(taken, ahead[0], outcome(), policy_of(plan))
    lanes.finish([entry], now=timezone.now())

    assert entry.kept
    assert entry.changes != taken.changes


def test_waiting_message_that_was_cancelled_can_be_called_back(plan: RoutePlan, agent: User) -> None:
    messages = [push(plan).message for _ in range(2)]
    operate.cancel(messages[1], by=agent, reason="r")

    operate.retry(messages[1], by=agent, reason="it was right after all")

    finish(plan, claim(plan)[0], let_go=True)
    assert [head(one).message_id for one in claim(plan)] == [messages[1].pk]


def test_skip_of_a_head_that_is_another_one_by_now_does_nothing(
    plan: RoutePlan, blocked: list[Message], agent: User
) -> None:
    operate.skip_head(lane(), position=1, by=agent, reason="first person")

    with pytest.raises(NotPossible):
        operate.skip_head(lane(), position=1, by=agent, reason="second person")

    assert status_of(blocked[1]) == Status.QUEUED


def test_edited_payload_is_a_new_linked_message_at_the_end(
    plan: RoutePlan, blocked: list[Message], agent: User
) -> None:
    made = operate.resubmit(blocked[0], b'{"lane":"A","number":7}', by=agent, reason="wrong number")

    assert made.resubmission_of == blocked[0]
    assert (made.position, made.status, bytes(made.body)) == (4, Status.QUEUED, b'{"lane":"A","number":7}')
    assert status_of(blocked[0]) == Status.CANCELLED
    assert lane().hold == Hold.NONE
    assert str(made) in Result.objects.get(message=blocked[0]).error["detail"]
    assert LogEntry.objects.count() == 2


def test_edited_payload_goes_where_its_ordering_key_says(plan: RoutePlan, blocked: list[Message], agent: User) -> None:
    made = operate.resubmit(blocked[0], b'{"lane":"B"}', by=agent, reason="r")

    assert (made.lane.key, made.position) == ("B", 1)


def test_resubmission_has_an_idempotency_key_of_its_own(agent: User) -> None:
    plan = configure_route(ordering_key="lane", idempotency_key="number")
    message = push(plan).message
    finish(plan, claim(plan)[0])

    made = operate.resubmit(message, bytes(message.body), by=agent, reason="lost at the other side")

    assert made.idempotency_key is None
    assert status_of(message) == Status.SUCCEEDED


def test_edit_that_the_route_refuses_changes_nothing(plan: RoutePlan, blocked: list[Message], agent: User) -> None:
    with pytest.raises(Refused):
        operate.resubmit(blocked[0], b'{"number":', by=agent, reason="r")

    assert (status_of(blocked[0]), lane().hold) == (Status.DEAD, Hold.BLOCKED)
    assert (Message.objects.count(), LogEntry.objects.count()) == (3, 0)


def test_message_in_a_workers_hand_is_neither_cancelled_nor_replaced(plan: RoutePlan, agent: User) -> None:
    message = push(plan).message
    claim(plan)

    with pytest.raises(NotPossible):
        operate.cancel(message, by=agent, reason="r")
    with pytest.raises(NotPossible):
        operate.resubmit(message, b'{"lane":"A"}', by=agent, reason="r")

    assert Message.objects.get().status == Status.QUEUED
    assert not LogEntry.objects.exists()


def test_verb_whose_entry_cannot_be_written_is_not_done(plan: RoutePlan, blocked: list[Message], agent: User) -> None:
    class Nobody:
        pk = None

    with pytest.raises(IntegrityError), transaction.atomic():
        operate.cancel(blocked[1], by=Nobody(), reason="r")

    assert status_of(blocked[1]) == Status.QUEUED


def test_resubmission_stays_in_the_trace_of_its_message(blocked: list[Message], agent: User) -> None:
    trace = {"traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"}
    blocked[0].headers = {"User-Agent": "shop", **trace}

    made = operate.resubmit(blocked[0], b'{"lane":"A"}', by=agent, reason="fixed")

    assert made.headers == trace
