from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone
from django_q.models import Schedule

from connectors.catalogue import RoutePlan
from messages import steering, tasks
from messages.beats import VARIABLE, beat
from messages.choices import OutcomeKind
from messages.models import Attempt, Message, Rejection, Result, SearchKey
from tests.messages.conftest import claim, configure_route, finish, push


def grow_old(message: Message, days: int) -> None:
    Message.objects.filter(pk=message.pk).update(completed_at=timezone.now() - timedelta(days=days))


def test_payloads_are_removed_after_their_retention(db: None) -> None:
    plan = configure_route(ordering_key="lane", retention_days=7, search_keys={"lane": "lane"})
    old, young, open_one = (push(plan, name).message for name in "ABC")
    for taken in claim(plan, 2):
        finish(plan, taken)
    grow_old(old, days=8)
    grow_old(young, days=6)

    removed = tasks.remove_expired()

    assert removed == 1
    old.refresh_from_db()
    assert bytes(old.body) == b""
    assert (old.status, old.purged_at is not None) == ("succeeded", True)
    assert not Result.objects.filter(message=old).exists()
    assert not SearchKey.objects.filter(message=old).exists()
    assert Attempt.objects.filter(message=old).exists()
    assert all(bytes(message.body) for message in Message.objects.exclude(pk=old.pk))
    assert open_one.pk


def test_only_the_newest_rejections_are_kept(db: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tasks, "KEPT_REJECTIONS", 3)
    for number in range(5):
        Rejection.objects.create(reason=str(number), status_code=400, created_at=timezone.now())

    tasks.trim_rejections()

    assert sorted(Rejection.objects.values_list("reason", flat=True)) == ["2", "3", "4"]


def test_schedules_are_made_once_and_made_again(db: None) -> None:
    tasks.ensure_schedules()
    Schedule.objects.filter(name="messages.tasks.watch_lanes").delete()

    tasks.ensure_schedules()

    assert set(Schedule.objects.values_list("func", flat=True)) == set(tasks.SCHEDULES)


def test_watch_lets_healthy_lanes_be(plan: RoutePlan) -> None:
    push(plan)

    assert tasks.watch_lanes() == 0


def test_beats_touch_their_files(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, str(tmp_path))

    beat("worker")
    monkeypatch.setenv(VARIABLE, str(tmp_path / "gone"))
    beat("worker")

    assert [path.name for path in tmp_path.iterdir()] == ["worker"]


def test_message_that_was_retried_in_the_meantime_keeps_its_payload(plan: RoutePlan) -> None:
    message = push(plan).message
    finish(plan, claim(plan)[0], OutcomeKind.REFUSED)
    chosen = [message.pk]
    steering.retry(message.pk)

    tasks.purge(chosen)

    message.refresh_from_db()
    assert message.purged_at is None
    assert bytes(message.body)


def test_payload_that_retention_removed_is_not_retried(plan: RoutePlan) -> None:
    message = push(plan).message
    finish(plan, claim(plan)[0], OutcomeKind.REFUSED)
    tasks.purge([message.pk])

    assert steering.retry(message.pk) is None
