from datetime import timedelta
from typing import Any

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import Permission, User
from django.test import Client
from django.utils import timezone

from connectors.catalogue import RoutePlan
from messages import operate
from messages.choices import Hold, OutcomeKind, Status
from messages.exceptions import NotPossible
from messages.models import Lane, Message, Result
from tests.messages.conftest import claim, finish, lane, push


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
    operate.retry_head(lane(), by=agent, reason="ERP is back")

    assert status_of(blocked[0]) == Status.QUEUED
    assert not Result.objects.exists()
    (taken,) = claim(plan)
    assert taken.done_position == 0
    assert finish(plan, taken).kept
    assert "Retried the head. ERP is back" in LogEntry.objects.get().get_change_message()


def test_skipped_head_lets_the_lane_go_on(plan: RoutePlan, blocked: list[Message], agent: User) -> None:
    operate.skip_head(lane(), by=agent, reason="entered by hand")

    assert status_of(blocked[0]) == Status.CANCELLED
    assert Result.objects.get().error["detail"] == "entered by hand"
    (taken,) = claim(plan)
    assert taken.done_position == 1


def test_skipping_the_last_message_leaves_an_idle_lane(plan: RoutePlan, agent: User) -> None:
    push(plan)

    operate.skip_head(lane(), by=agent, reason="r")

    assert (lane().depth, lane().due_at) == (0, None)


def test_head_in_a_workers_hand_is_not_skipped(plan: RoutePlan, agent: User) -> None:
    push(plan)
    claim(plan)

    with pytest.raises(NotPossible):
        operate.skip_head(lane(), by=agent, reason="r")

    assert Message.objects.get().status == Status.QUEUED


def test_worker_that_was_stopped_records_nothing_on_a_skipped_head(plan: RoutePlan, agent: User) -> None:
    push(plan)
    push(plan)
    (stopped,) = claim(plan)
    Lane.objects.update(lease_until=timezone.now() - timedelta(seconds=1))
    operate.skip_head(lane(), by=agent, reason="r")

    late = finish(plan, stopped)

    assert late.fenced
    assert lane().done_position == 1


def test_verbs_of_a_stale_page_lose(plan: RoutePlan, blocked: list[Message], agent: User) -> None:
    stale = lane()
    operate.retry_head(stale, by=agent, reason="first")

    with pytest.raises(NotPossible):
        operate.retry_head(stale, by=agent, reason="second")

    assert LogEntry.objects.count() == 1


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


def test_skipping_on_a_paused_lane_leaves_it_paused(plan: RoutePlan, agent: User) -> None:
    push(plan)
    push(plan)
    operate.pause(lane(), by=agent, reason="r")

    operate.skip_head(lane(), by=agent, reason="r")

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
        f"/admin/messaging/lane/{lane().pk}/skip_head/", {"_form_submitted": "on", "reason": reason}
    )

    assert status_of(blocked[0]) == status
