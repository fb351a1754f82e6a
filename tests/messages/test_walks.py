"""Thousands of steps in random order, by workers that die, lag and repeat themselves: what must always hold, holds."""

import random
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta

import pytest
from django.db.models import Count, F
from django.utils import timezone

from connectors.catalogue import RoutePlan
from messages import lanes, steering
from messages.accepting import Taking
from messages.choices import FINAL_STATUSES, Hold, OutcomeKind, Status
from messages.claims import Claim, Finished, Work
from messages.models import Attempt, Lane, Message, Result
from messages.pump import policy_of
from tests.messages.conftest import LEASE, claim, configure_route, outcome, push

pytestmark = pytest.mark.django_db
KINDS = [OutcomeKind.SUCCEEDED] * 6 + [OutcomeKind.FAILED] * 2 + [OutcomeKind.REFUSED, OutcomeKind.MAPPING_FAILED]


class Walk:
    """One run. `hands` are all claims that any worker believes in, rightly or not, with what it read ahead."""

    def __init__(self, plan: RoutePlan, chance: random.Random) -> None:
        self.plan = plan
        self.chance = chance
        self.hands: list[tuple[Claim, list[Work]]] = []
        self.entries: list[Finished] = []
        self.steps: list[Callable[[], object]] = [
            self.accept, self.accept, self.accept_sync, self.claim, self.claim, self.claim, self.finish, self.finish,
            self.finish, self.repeat, self.release, self.renew, self.let_time_pass, self.lose_lease, self.operate,
        ]  # fmt: skip

    def step(self) -> None:
        self.chance.choice(self.steps)()

    def accept(self) -> None:
        push(self.plan, self.chance.choice("ABC"))

    def accept_sync(self) -> None:
        key = self.chance.choice("ABC")
        if Lane.objects.filter(key=key).exclude(hold=Hold.NONE).exists():
            return
        accepted = push(self.plan, key, pattern="sync", taking=Taking("web", LEASE))
        if accepted.claim is not None and accepted.work is not None:
            self.hands.append((accepted.claim, [accepted.work]))

    def claim(self) -> None:
        for one in claim(self.plan, self.chance.randint(1, 3), alone=True):
            self.read_on(one)

    def read_on(self, one: Claim) -> None:
        """As the pump does: a lane whose head has been cancelled is given back."""
        ahead = lanes.read_ahead([one], 3)[one.lane_id]
        if ahead:
            self.hands.append((one, ahead))
        else:
            lanes.release([one])

    def finish(self) -> None:
        """A hand reports; whoever keeps a lane goes on with what it has read ahead, unless that is out of date."""
        if not self.hands:
            return
        taken, ahead = self.hands.pop(self.chance.randrange(len(self.hands)))
        kind = self.chance.choice(KINDS)
        entry = Finished(taken, ahead[0], outcome(kind), policy_of(self.plan), let_go=self.chance.random() < 0.3)
        lanes.finish([entry], now=timezone.now())
        self.entries.append(replace(entry, claim=replace(taken)))
        if entry.kept:
            taken.done_position += 1
            if entry.changes == taken.changes and ahead[1:]:
                self.hands.append((taken, ahead[1:]))
            else:
                taken.changes = entry.changes
                self.read_on(taken)

    def repeat(self) -> None:
        """A worker did not hear that its outcome was committed."""
        if not self.entries:
            return
        attempts = Attempt.objects.count()
        lanes.finish([self.chance.choice(self.entries)], now=timezone.now())
        assert Attempt.objects.count() == attempts

    def release(self) -> None:
        if self.hands:
            taken, _ = self.hands.pop()
            lanes.release([taken])

    def renew(self) -> None:
        lanes.renew([taken for taken, _ in self.hands], lease_seconds=LEASE)

    def let_time_pass(self) -> None:
        Lane.objects.filter(due_at__isnull=False).update(due_at=timezone.now())

    def lose_lease(self) -> None:
        """The worker sleeps, or is dead; it may still come back with its outcome."""
        Lane.objects.filter(key=self.chance.choice("ABC"), lease_until__isnull=False).update(
            lease_until=timezone.now() - timedelta(seconds=1), strikes=F("strikes") % 2
        )

    def operate(self) -> None:
        lane = Lane.objects.filter(key=self.chance.choice("ABC")).first()
        if lane is None:
            return
        message = self.chance.choice(list(Message.objects.filter(lane=lane)))
        match self.chance.choice(["hold", "unhold", "unhold", "retry", "cancel", "cancel"]):
            case "hold":
                steering.hold(lane.pk)
            case "unhold":
                steering.unhold(lane.pk)
            case "retry":
                steering.retry(message.pk)
            case "cancel":
                steering.cancel(message.pk, reason="r", now=timezone.now())

    def drain(self) -> None:
        """People and workers bring everything to its end."""
        for lane in Lane.objects.all():
            steering.unhold(lane.pk)
        for dead in Message.objects.filter(status=Status.DEAD, lane__hold=Hold.BLOCKED):
            steering.retry(dead.pk)
        Lane.objects.filter(lease_until__isnull=False).update(lease_until=timezone.now() - timedelta(seconds=1))
        self.let_time_pass()
        self.hands.clear()
        while taken := claim(self.plan, 3):
            for one in taken:
                ahead = lanes.read_ahead([one], 1)[one.lane_id]
                if ahead:
                    entry = Finished(one, ahead[0], outcome(), policy_of(self.plan), let_go=True)
                    lanes.finish([entry], now=timezone.now())
                else:
                    lanes.release([one])


def check() -> None:
    for lane in Lane.objects.all():
        messages = list(Message.objects.filter(lane=lane).order_by("position"))
        assert 0 <= lane.done_position <= lane.last_position
        # dense ahead of the head; behind it, what was retried later has left its place
        ahead = [message for message in messages if message.position > lane.done_position]
        assert [message.position for message in ahead] == list(range(lane.head_position, lane.last_position + 1))
        done = {message.status for message in messages if message.position <= lane.done_position}
        assert done <= set(FINAL_STATUSES)
        statuses = [Status(message.status) for message in ahead]
        if lane.hold == Hold.BLOCKED:
            assert statuses[0] == Status.DEAD
        allowed_head = {Status.QUEUED, Status.RETRYING, Status.CANCELLED} | ({Status.DEAD} if lane.hold else set())
        assert set(statuses[:1]) <= allowed_head
        assert set(statuses[1:]) <= {Status.QUEUED, Status.CANCELLED}  # nothing overtakes the head
        assert (lane.due_at is not None) == (lane.depth > 0 and not lane.hold) or lane.hold == Hold.PAUSED
    assert not Message.objects.annotate(made=Count("attempt_set")).exclude(made=F("attempts")).exists()
    assert not Message.objects.final().filter(completed_at=None).exists()
    assert not Message.objects.open().exclude(completed_at=None).exists()
    assert set(Result.objects.values_list("message", flat=True)) == set(
        Message.objects.final().values_list("pk", flat=True)
    )


@pytest.mark.parametrize("on_failure", ["block", "skip"])
@pytest.mark.parametrize("seed", range(3))
def test_order_and_evidence_survive_whatever_happens(on_failure: str, seed: int) -> None:
    retry = {"max_attempts": 3, "first_delay_seconds": 60, "factor": 1}
    walk = Walk(configure_route(ordering_key="lane", on_failure=on_failure, retry=retry), random.Random(seed))

    for _ in range(150):
        walk.step()
        check()
    walk.drain()
    check()

    assert not Message.objects.open().exists()
    assert not Lane.objects.filter(last_position__gt=F("done_position")).exists()
    assert Attempt.objects.count() > 10  # it did get somewhere
