"""Thousands of steps in random order, by workers that die, lag and repeat themselves: what must always hold, holds."""

import random
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta

import pytest
from django.db.models import Count, F
from django.utils import timezone

from connectors.catalogue import RoutePlan
from messages import lanes
from messages.choices import FINAL_STATUSES, Hold, OutcomeKind, Status
from messages.lanes import Claim, Finished, Work
from messages.models import Attempt, Lane, Message, Result
from messages.pump import policy_of
from tests.messages.conftest import LEASE, claim, configure_route, outcome, push

pytestmark = pytest.mark.django_db
KINDS = [OutcomeKind.SUCCEEDED] * 6 + [OutcomeKind.FAILED] * 2 + [OutcomeKind.REFUSED, OutcomeKind.MAPPING_FAILED]


class Walk:
    """One run. `hands` are all claims that any worker believes in, rightly or not, with what it read of its head."""

    def __init__(self, plan: RoutePlan, chance: random.Random) -> None:
        self.plan = plan
        self.chance = chance
        self.hands: list[tuple[Claim, Work]] = []
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
        accepted = push(self.plan, key, pattern="sync", lease_seconds=LEASE)
        if accepted.claim is not None and accepted.work is not None:
            self.hands.append((accepted.claim, accepted.work))

    def claim(self) -> None:
        taken = claim(self.plan, self.chance.randint(1, 3), alone=True)
        ahead = lanes.read_ahead(taken, 1)
        self.hands += [(one, ahead[one.lane_id][0]) for one in taken]

    def finish(self) -> None:
        """A hand reports; whoever keeps a lane reads its next message, as the pump does."""
        if not self.hands:
            return
        taken, work = self.hands.pop(self.chance.randrange(len(self.hands)))
        kind = self.chance.choice(KINDS)
        entry = Finished(taken, work, outcome(kind), policy_of(self.plan), let_go=self.chance.random() < 0.3)
        lanes.finish([entry], now=timezone.now())
        self.entries.append(replace(entry, claim=replace(taken)))
        if entry.kept:
            taken.done_position += 1
            self.hands.append((taken, lanes.read_ahead([taken], 1)[taken.lane_id][0]))

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
        if lane is not None:
            verb = self.chance.choice([lanes.hold, lanes.unhold, lanes.unhold, lanes.revive_head, self.cancel])
            verb(lane.pk)

    def cancel(self, lane_id: int) -> None:
        position = Lane.objects.get(pk=lane_id).head_position
        lanes.cancel_head(lane_id, position=position, reason="r", now=timezone.now())

    def drain(self) -> None:
        """People and workers bring everything to its end."""
        for lane in Lane.objects.all():
            lanes.unhold(lane.pk)
            lanes.revive_head(lane.pk)
        Lane.objects.filter(lease_until__isnull=False).update(lease_until=timezone.now() - timedelta(seconds=1))
        self.let_time_pass()
        self.hands.clear()
        while taken := claim(self.plan, 3):
            for one in taken:
                work = lanes.read_ahead([one], 1)[one.lane_id][0]
                lanes.finish([Finished(one, work, outcome(), policy_of(self.plan), let_go=True)], now=timezone.now())


def check() -> None:
    for lane in Lane.objects.all():
        messages = list(Message.objects.filter(lane=lane).order_by("position"))
        assert [message.position for message in messages] == list(range(1, lane.last_position + 1))
        assert 0 <= lane.done_position <= lane.last_position
        statuses = [Status(message.status) for message in messages]
        done, rest = statuses[: lane.done_position], statuses[lane.done_position :]
        assert set(done) <= set(FINAL_STATUSES)
        dead_head = [Status.DEAD] if lane.hold == Hold.BLOCKED else []
        assert rest[: len(dead_head)] == dead_head
        assert set(rest[len(dead_head) : 1]) <= {Status.QUEUED, Status.RETRYING}
        assert set(rest[1:]) <= {Status.QUEUED}  # nothing overtakes the head
        assert (lane.due_at is not None) == (lane.depth > 0 and not lane.hold) or lane.hold == Hold.PAUSED
        positions = (
            Attempt.objects.filter(message__lane=lane).order_by("pk").values_list("message__position", flat=True)
        )
        assert list(positions) == sorted(positions)
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
