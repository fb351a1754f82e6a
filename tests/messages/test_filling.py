"""A filled database looks as if its messages had been worked, and is never somebody's real one."""

from datetime import timedelta

import pytest
from django.core.management import CommandError, call_command
from django.db.models import F
from django.test import Client
from django.utils import timezone

from connectors.admin.base import page_of
from messages import filling
from messages.choices import FINAL_STATUSES, Hold, Status
from messages.database import clock
from messages.models import Attempt, HourlyCount, Lane, Message, Result, SearchKey
from tests import factories

pytestmark = pytest.mark.django_db
COUNT = 1_000


@pytest.fixture
def filled() -> None:
    call_command("fill", COUNT, verbosity=0)


def test_rows_fit_together_as_after_a_real_story(filled: None) -> None:
    assert Message.objects.count() == COUNT
    assert not Lane.objects.filter(done_position__gt=F("last_position")).exists()
    assert set(Message.objects.values_list("status", flat=True).distinct()) == set(Status)
    for lane in Lane.objects.all():
        messages = list(Message.objects.filter(lane=lane).order_by("position"))
        assert [message.position for message in messages] == list(range(1, lane.last_position + 1))
        behind = messages[lane.done_position :]
        assert all(message.status in FINAL_STATUSES for message in messages[: lane.done_position])
        assert (lane.hold == Hold.BLOCKED) == bool(behind and behind[0].status == Status.DEAD)
        assert (lane.due_at is not None) == bool(behind and not lane.hold)
    final = Message.objects.final()
    assert Result.objects.count() == final.count()
    assert not final.filter(completed_at=None).exists()
    assert SearchKey.objects.count() == 2 * COUNT
    assert sum(Message.objects.values_list("attempts", flat=True)) == Attempt.objects.count()


def test_nothing_of_it_is_ever_sent(filled: None) -> None:
    assert Lane.objects.with_work().exists()
    assert not Lane.objects.due(clock()).exists()


def test_pages_of_what_was_filled_open_and_new_messages_come_behind_it(filled: None, admin_client: Client) -> None:
    newest = Message.objects.order_by("-pk").first()
    assert newest is not None
    one_of_each = [Message.objects.filter(status=status).first() for status in Status]

    assert [admin_client.get(page_of(message)).status_code for message in one_of_each if message] == [200] * 6
    assert HourlyCount.objects.filter(received__gt=0).exists()
    assert factories.MessageFactory().pk > newest.pk


def test_database_is_filled_a_second_time(filled: None) -> None:
    call_command("fill", 100, verbosity=0)

    assert Message.objects.count() == COUNT + 100


def test_messages_lie_within_the_days_and_lanes_that_were_asked_for() -> None:
    call_command("fill", 300, days=1, per_lane=2, verbosity=0)

    day = timezone.now() - timedelta(days=1, minutes=1)
    assert Message.objects.filter(received_at__gte=day).count() == 300
    assert Lane.objects.count() == 150
    assert Lane.objects.held().count() == 2


@pytest.mark.parametrize("wrong", [{"days": 0}, {"per_lane": 0}])
def test_nothing_is_filled_into_no_time_and_no_lane(wrong: dict[str, int]) -> None:
    with pytest.raises(CommandError, match="At least one"):
        call_command("fill", 10, **wrong)


def test_real_data_is_left_alone_unless_somebody_means_it() -> None:
    factories.ApplicationFactory(slug="shop")

    with pytest.raises(CommandError, match="no test database"):
        call_command("fill", 10)
    assert not Message.objects.exists()

    call_command("fill", 10, into_real_data=True, verbosity=0)
    assert Message.objects.count() == 10


def test_same_seed_makes_the_same_messages() -> None:
    now = timezone.now()
    for _ in filling.fill(20, now=now, seed=3):
        pass
    for _ in filling.fill(20, now=now, seed=3):
        pass

    bodies = [bytes(body) for body in Message.objects.order_by("pk").values_list("body", flat=True)]
    assert bodies[:20] == bodies[20:]
