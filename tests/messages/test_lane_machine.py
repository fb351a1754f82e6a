"""Stories of workers that die, lag and repeat themselves, and of people: after each step every row is as it must be.

`lane_model` says what must be; this machine does the same to the tables and compares all of them. A message is named by
its place from the head of its lane (0), a worker's hand by its age among all that ever held the lane (0: the youngest).
"""

from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import transaction
from django.db.models import Q
from django.utils import timezone
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from connectors.catalogue import RoutePlan, catalogue
from connectors.models import Endpoint, Route
from messages import bulk, lanes, limits, operate, sparing, steering, tasks
from messages.accepting import Taking
from messages.choices import BulkState, BulkVerb, OutcomeKind, Status
from messages.claims import Claim, Finished, Work
from messages.database import clock_reading
from messages.exceptions import LaneUnavailable, NotPossible
from messages.models import Allowance, Attempt, Lane, Message, Result
from messages.pump import policy_of
from messages.steering import CANCELLABLE, RETRYABLE
from tests.factories import ApplicationFactory, EndpointFactory, UserFactory
from tests.messages import lane_model
from tests.messages.conftest import configure_route, outcome, push
from tests.messages.lane_model import LEASE, PATIENCE, EndpointModel, LaneModel, MessageModel, RouteModel

STORIES = settings(
    max_examples=20, stateful_step_count=50, derandomize=True, database=None, deadline=None,
    suppress_health_check=list(HealthCheck), report_multiple_bugs=False,
)  # fmt: skip
RETRY = {"max_attempts": 3, "first_delay_seconds": 600, "factor": 3}
DELAYS = (600.0, 1800.0)
KINDS = st.sampled_from(
    [
        OutcomeKind.SUCCEEDED, OutcomeKind.SUCCEEDED, OutcomeKind.FAILED, OutcomeKind.FAILED, OutcomeKind.REFUSED,
        OutcomeKind.MAPPING_FAILED, OutcomeKind.NOT_SENT, OutcomeKind.UNKNOWN,
    ]
)  # fmt: skip
Name = tuple[str, str]  # a lane's route and key
NAMES: list[Name] = [("orders", "A"), ("orders", "B"), ("invoices", "A"), ("refunds", "A"), ("refunds", "B")]
LIMITED = "refunds"  # one call at a time
LANES = st.sampled_from(NAMES)


def lanes_that(are: Callable[[LaneModel], object]) -> st.SearchStrategy[Name]:
    """One of these where there is one: few steps of a story do nothing."""
    return st.runner().flatmap(
        lambda machine: st.sampled_from([name for name in NAMES if are(machine.lanes[name])] or NAMES)
    )


HELD = lanes_that(lambda lane: lane.owner)
WORKABLE = lanes_that(lambda lane: lane.owner or (lane.line and not lane.hold))
CALLED = lanes_that(lambda lane: lane.line and lane.line[0].sync and not lane.line[0].told_accepted)
STANDING = lanes_that(lambda lane: lane.hold)
SUSPECT = lanes_that(lambda lane: lane.strikes >= 2 and isinstance(lane.due, datetime))
BACKING_OFF = lanes_that(lambda lane: isinstance(lane.due, datetime) and lane.due > clock_reading())


def messages_that(are: Callable[[MessageModel], object]) -> st.SearchStrategy[tuple[Name, int]]:
    """The place of one of these where there is one."""

    def places(machine: "Lanes") -> st.SearchStrategy[tuple[Name, int]]:
        found = [
            (name, message.position - lane.done - 1)
            for name, lane in machine.lanes.items() for message in lane.messages if are(message)
        ]  # fmt: skip
        return st.sampled_from(found) if found else PLACED

    return st.runner().flatmap(places)


AGES = st.sampled_from([0, 0, 0, 1, 2])
TABLES = st.sampled_from([Route, Endpoint])
PLACES = st.sampled_from([0, 1, 0, 2, -1, 3, -2])
PLACED = st.tuples(LANES, PLACES)
HANDS = st.tuples(HELD, AGES)
REPORTS = st.lists(
    st.tuples(HELD, AGES, KINDS, st.booleans()), min_size=1, max_size=3, unique_by=lambda report: report[:2]
)

Step = Callable[..., None]
STEPS: dict[str, dict[str, st.SearchStrategy[Any]]] = {}
OFTEN: list[str] = []


def step(often: int = 1, /, **arguments: st.SearchStrategy[Any]) -> Callable[[Step], Step]:
    """A step of stories. A `rule` of its own would be left out of half of them, and work needs several steps."""

    def remember(method: Step) -> Step:
        STEPS[method.__name__] = arguments
        OFTEN.extend([method.__name__] * often)
        return method

    return remember


@st.composite
def steps(draw: st.DrawFn) -> tuple[str, dict[str, Any]]:
    name = draw(st.sampled_from(OFTEN))
    return name, draw(st.fixed_dictionaries(STEPS[name]))


@dataclass
class Hand:
    """What one worker believes about a lane, rightly or not."""

    lane: LaneModel
    owner: str
    claim: Claim
    ahead: list[Work] = field(default_factory=list)
    unconfirmed: tuple[Finished, bool] | None = None
    """An outcome that it will report again, as it did not hear whether it was recorded, and whether it was."""


@dataclass
class Plans:
    """The three routes, each with an endpoint of its name, and the person who operates them."""

    routes: dict[str, RoutePlan]
    agent: User


class Lanes(RuleBasedStateMachine):
    def __init__(self, plans: Plans) -> None:
        super().__init__()
        self.plans = plans
        self.endpoints = {"orders": EndpointModel(), "invoices": EndpointModel(), LIMITED: EndpointModel(at_once=1)}
        self.routes = {
            "orders": RouteModel(self.endpoints["orders"], True, DELAYS, stops=True),
            "invoices": RouteModel(self.endpoints["invoices"], False, DELAYS),
            LIMITED: RouteModel(self.endpoints[LIMITED], True, DELAYS),
        }
        self.lanes = {name: LaneModel(self.routes[name[0]]) for name in NAMES}
        self.hands: dict[Name, list[Hand]] = {name: [] for name in NAMES}
        self.pks: dict[Name, int] = {}
        self.owners = 0
        self.rollback = transaction.atomic()
        self.rollback.__enter__()
        self.since = clock_reading()

    def teardown(self) -> None:
        transaction.set_rollback(True)
        self.rollback.__exit__(None, None, None)

    @rule(chosen=steps())
    def then(self, chosen: tuple[str, dict[str, Any]]) -> None:
        name, arguments = chosen
        getattr(self, name)(**arguments)

    # Workers

    @step(5, name=WORKABLE, kinds=st.lists(KINDS, min_size=1, max_size=3), let_go=st.booleans(), heard=st.booleans())
    def deliver(self, name: Name, kinds: list[OutcomeKind], let_go: bool, heard: bool) -> None:
        """Undisturbed work on a lane, by who holds it or by who gets it; `heard` is explained at `finish`."""
        for kind in kinds:
            self.back_off_passes(name)
            if not self.lanes[name].owner:
                self.claim(3, alone=True)
                self.every_row_is_as_it_must_be()
            if self.lanes[name].owner:
                self.finish([(name, 0, kind, let_go)], heard=heard)
                self.every_row_is_as_it_must_be()
                self.report_again()

    @step(3, name=WORKABLE, places=st.lists(st.integers(1, 3), min_size=1, max_size=2), kind=KINDS)
    def change_what_was_read_ahead(self, name: Name, places: list[int], kind: OutcomeKind) -> None:
        """A worker has read three messages; a person cancels one of them, or queues one again that was cancelled."""
        if not self.lanes[name].owner:
            self.claim(3, alone=True)
            self.every_row_is_as_it_must_be()
        self.read_ahead((name, 0), 3)
        for place in places:
            self.decide_too_late((name, place))
            self.every_row_is_as_it_must_be()
        for outcome_kind in (kind, OutcomeKind.SUCCEEDED):
            self.finish([(name, 0, outcome_kind, False)], heard=True)
            self.every_row_is_as_it_must_be()

    @step(2, name=WORKABLE, kind=KINDS)
    def pause_during_work(self, name: Name, kind: OutcomeKind) -> None:
        """A person pauses the lane while its head is being sent, and resumes it afterwards."""
        self.hold_head(name)
        self.pause(name)
        self.finish([(name, 0, kind, True)], heard=True)
        self.every_row_is_as_it_must_be()
        self.resume(name)

    @step(2, name=CALLED, kind=KINDS)
    def caller_gives_up(self, name: Name, kind: OutcomeKind) -> None:
        """He is told "accepted" while his message is being sent."""
        if not self.lanes[name].line:
            self.accept_sync(name)
            self.every_row_is_as_it_must_be()
        self.hold_head(name)
        self.time_is_up((name, 0), retention=False)
        self.finish([(name, 0, kind, True)], heard=True)

    def hold_head(self, name: Name) -> None:
        """Somebody has the head of this lane in hand, where that is possible."""
        self.back_off_passes(name)
        if not self.lanes[name].owner:
            self.claim(3, alone=True)
            self.every_row_is_as_it_must_be()
        self.read_ahead((name, 0), 1)

    @step(2, count=st.integers(1, 3), alone=st.booleans())
    def claim(self, count: int, alone: bool) -> None:
        """As a pump does: first the lanes that flow, then those of the endpoint that has limits."""
        taken = self.claim_flowing(count, alone=alone)
        self.claim_limited(count, alone=alone and not taken)

    @step(2, spared=st.sets(st.sampled_from(["orders", "invoices"]), min_size=1), count=st.integers(1, 3))
    def claim_while_some_are_spared(self, spared: set[str], count: int) -> None:
        """Lanes of these endpoints stay due for whoever is next."""
        self.claim_flowing(count, alone=True, without=spared)

    def claim_flowing(self, count: int, *, alone: bool, without: Collection[str] = ()) -> list[LaneModel]:
        owner, now, every = self.new_owner(), clock_reading(), list(self.lanes.values())
        spared = {self.plans.routes[slug].endpoint.id for slug in without}
        models = [self.endpoints[slug] for slug in without]
        waits = [lane for lane in every if lane.is_due(now) and lane.route.endpoint not in models]
        assert lanes.any_due(spared) == bool(waits)
        claims = lanes.claim(count, **self.claiming(owner, alone=alone), without=spared)
        taken = lane_model.claim(every, count, alone=alone, owner=owner, now=now, without=models)
        self.take_in_hand(owner, claims, taken)
        return taken

    def claim_limited(self, count: int, *, alone: bool, overdue: bool = False) -> None:
        owner, now, endpoint = self.new_owner(), clock_reading(), self.plans.routes[LIMITED].endpoint
        narrow = [lane for name, lane in self.lanes.items() if name[0] == LIMITED]
        waits = any(lane.is_due(now) for lane in narrow)
        assert sparing.waiting({endpoint.id}) == ({endpoint.id} if waits else set())
        if waits:
            options = {**self.claiming(owner, alone=alone), "overdue": overdue}
            claims = sparing.claim(endpoint, count, probes=False, **options)
            taken = lane_model.claim_limited(narrow, count, alone=alone, owner=owner, now=now, overdue=overdue)
            self.take_in_hand(owner, claims, taken)

    def claiming(self, owner: str, *, alone: bool) -> dict[str, Any]:
        policies = {plan.id: policy_of(plan) for plan in self.plans.routes.values()}
        return {"lease_seconds": LEASE, "owner": owner, "policies": policies, "alone": alone}

    def take_in_hand(self, owner: str, claims: list[Claim], taken: list[LaneModel]) -> None:
        names = {pk: name for name, pk in self.pks.items()}
        assert [self.lanes[names[one.lane_id]] for one in claims] == taken
        for one, lane in zip(claims, taken, strict=True):
            assert (one.token, one.done_position, one.changes) == (lane.token, lane.done, lane.changes)
            assert one.unsure == lane.unsure
            self.hands[names[one.lane_id]].append(Hand(lane, owner, one))

    @step(2, name=HELD, kind=KINDS, let_go=st.booleans())
    def another_takes_over(self, name: Name, kind: OutcomeKind, let_go: bool) -> None:
        """A worker lags; it may still come back."""
        self.lease_runs_out(name)
        self.permits_are_lost()
        self.claim(1, alone=True)
        self.every_row_is_as_it_must_be()
        self.finish([(name, 0, kind, let_go)], heard=True)

    @step(hand=HANDS, count=st.integers(1, 3))
    def read_ahead(self, hand: tuple[Name, int], count: int) -> None:
        found = self.hand(*hand)
        if found is not None:
            self.read(found, count)

    def read(self, hand: Hand, count: int) -> None:
        hand.ahead = lanes.read_ahead([hand.claim], count)[hand.claim.lane_id]
        expected = hand.lane.read(hand.claim.done_position + 1, count)
        assert [work.message_id for work in hand.ahead] == [message.pk for message in expected]

    @step(3, reports=REPORTS, heard=st.booleans())
    def finish(self, reports: list[tuple[Name, int, OutcomeKind, bool]], heard: bool) -> None:
        """`heard`: the database could say that it committed; otherwise the workers report once more, later."""
        group: list[tuple[Hand, Finished, bool]] = []
        for name, age, kind, let_go in reports:
            hand = self.hand(name, age)
            if hand is not None and (entry := self.entry(hand, name, kind, let_go=let_go)) is not None:
                group.append((hand, *entry))
        told = []
        for hand, entry, again in group:
            message = next(one for one in hand.lane.messages if one.pk == entry.work.message_id)
            kind = OutcomeKind(entry.outcome.kind)
            told.append(hand.lane.finish(hand.owner, message, kind, let_go=entry.let_go, again=again))
        lanes.finish([entry for _, entry, _ in group], now=timezone.now())
        for (hand, entry, again), expected in zip(group, told, strict=True):
            assert (entry.fenced, entry.kept, entry.changes) == (expected.fenced, expected.kept, hand.lane.changes)
            hand.unconfirmed = None if heard else (entry, again or not entry.fenced)
            if heard and entry.kept:
                self.go_on(hand, entry)
        if heard:
            self.give_back([hand for hand, _, _ in group])

    @step(2)
    def report_again(self) -> None:
        """All who did not hear whether their outcome was recorded."""
        for name, hands in self.hands.items():
            for age, hand in enumerate(reversed(hands)):
                if hand.unconfirmed is not None:
                    self.finish([(name, age, OutcomeKind.FAILED, False)], heard=True)

    def entry(self, hand: Hand, name: Name, kind: OutcomeKind, *, let_go: bool) -> tuple[Finished, bool] | None:
        if hand.unconfirmed is not None:
            return hand.unconfirmed
        if not hand.ahead:
            self.read(hand, 3)
        if not hand.ahead:
            return None
        error = None if kind == OutcomeKind.SUCCEEDED else {"title": kind.value}
        policy = policy_of(self.plans.routes[name[0]])
        let_go = let_go or bool(hand.claim.permit)  # it was good for one call
        return Finished(hand.claim, hand.ahead[0], outcome(kind, error=error), policy, let_go=let_go), False

    def go_on(self, hand: Hand, entry: Finished) -> None:
        """As a pump does: what it has read ahead is worth nothing once a person changed something behind the head."""
        hand.claim.done_position += 1
        if entry.changes == hand.claim.changes:
            hand.ahead = hand.ahead[1:]
        else:
            hand.ahead, hand.claim.changes = [], entry.changes

    @step(hands=st.lists(HANDS, min_size=1, max_size=3, unique=True))
    def release(self, hands: list[tuple[Name, int]]) -> None:
        found = self.all_hands(hands)
        lanes.release([hand.claim for hand in found])
        for hand in found:
            hand.lane.release(hand.owner)
        self.give_back(found)

    def give_back(self, hands: list[Hand]) -> None:
        """The permits of calls that are over, or were not made."""
        permits = {(hand.lane, hand.claim.token): hand.claim.permit for hand in hands if hand.claim.permit}
        if permits:
            limits.give_back(self.plans.routes[LIMITED].endpoint, list(permits.values()))
            self.endpoints[LIMITED].give_back(set(permits))
        for hand in hands:
            hand.claim.permit = ""

    @step(hands=st.lists(HANDS, min_size=1, max_size=3, unique=True))
    def renew(self, hands: list[tuple[Name, int]]) -> None:
        found = self.all_hands(hands)
        mine = lanes.renew([hand.claim for hand in found], lease_seconds=LEASE)
        assert mine == {hand.claim.lane_id for hand in found if hand.lane.renew(hand.owner)}

    # What comes in

    @initialize(counts=st.lists(st.integers(0, 6), min_size=len(NAMES), max_size=len(NAMES)))
    def begin(self, counts: list[int]) -> None:
        for name, count in zip(NAMES, counts, strict=True):
            self.accept(name, count)

    @step(4, name=LANES, count=st.integers(1, 4))
    def accept(self, name: Name, count: int) -> None:
        for _ in range(count):
            accepted = push(self.plans.routes[name[0]], name[1])
            self.lanes[name].accept(accepted.message.pk, sync=False)
            self.pks[name] = accepted.message.lane_id

    @step(4, name=LANES)
    def accept_sync(self, name: Name) -> None:
        lane, owner = self.lanes[name], self.new_owner()
        plan = self.plans.routes[name[0]]
        if lane.hold:
            with pytest.raises(LaneUnavailable):
                push(plan, name[1], pattern="sync", taking=Taking(owner, LEASE))
            return
        accepted = push(plan, name[1], pattern="sync", taking=Taking(owner, LEASE))
        lane.accept(accepted.message.pk, sync=True, owner=owner)
        self.pks[name] = accepted.message.lane_id
        assert (accepted.claim is not None) == (lane.owner == owner)
        if accepted.claim is not None and accepted.work is not None:
            self.hands[name].append(Hand(lane, owner, accepted.claim, [accepted.work]))

    # Time

    @step(2, name=HELD)
    def lease_runs_out(self, name: Name) -> None:
        lane = self.lanes[name]
        if lane.lease is not None:
            lane.lease = clock_reading() - timedelta(seconds=1)
            Lane.objects.filter(pk=self.pks[name]).update(lease_until=lane.lease)

    @step(name=BACKING_OFF)
    def back_off_passes(self, name: Name) -> None:
        lane, now = self.lanes[name], clock_reading()
        if isinstance(lane.due, datetime) and lane.due > now:
            lane.due = now
            Lane.objects.filter(pk=self.pks[name]).update(due_at=now)

    @step()
    def permits_are_lost(self) -> None:
        """Those of all calls that are out, as if their processes had died long ago."""
        Allowance.objects.update(permits={}, full_until=None)
        self.endpoints[LIMITED].give_back(set(self.endpoints[LIMITED].permits))

    @step(name=SUSPECT)
    def patience_ends(self, name: Name) -> None:
        """A lane whose workers died has waited for a worker by itself for too long."""
        lane = self.lanes[name]
        if isinstance(lane.due, datetime):
            lane.due -= 2 * PATIENCE
            Lane.objects.filter(pk=self.pks[name]).update(due_at=lane.due)

    @step(name=WORKABLE, times=st.integers(2, 3))
    def room_is_made(self, name: Name, times: int) -> None:
        """For such a lane, by a worker that has given back what it had; others are due as well."""
        self.workers_die(name, times)
        for one in NAMES:
            self.lease_runs_out(one)
        self.permits_are_lost()
        self.patience_ends(name)
        self.every_row_is_as_it_must_be()
        self.claim_limited(1, alone=True, overdue=True)
        self.every_row_is_as_it_must_be()
        self.claim(2, alone=True)

    @step(name=WORKABLE, times=st.integers(1, 6))
    def workers_die(self, name: Name, times: int) -> None:
        """One after the other, each with the lane in its hand."""
        for _ in range(times):
            self.back_off_passes(name)
            self.lease_runs_out(name)
            self.permits_are_lost()
            for _ in NAMES:
                if not self.lanes[name].owner or not self.lanes[name].leased(clock_reading()):
                    self.claim(3, alone=True)
                    self.every_row_is_as_it_must_be()

    # People, and what else happens to messages

    @step(placed=messages_that(lambda message: message.status in RETRYABLE))
    def retry(self, placed: tuple[Name, int]) -> None:
        for lane, message, row in self.found(*placed):
            assert self.possible(operate.retry, row) == lane.retry(message)

    @step(2, placed=messages_that(lambda message: message.status == Status.DEAD), failures=st.integers(1, 3))
    def fail_again(self, placed: tuple[Name, int], failures: int) -> None:
        """A person retries a dead message, and the destination is still away."""
        self.retry(placed)
        self.every_row_is_as_it_must_be()
        self.deliver(placed[0], [OutcomeKind.FAILED] * failures, let_go=False, heard=True)

    @step(placed=PLACED)
    def decide_too_late(self, placed: tuple[Name, int]) -> None:
        """On whatever the message is by now."""
        self.retry(placed)
        self.every_row_is_as_it_must_be()
        self.cancel(placed)

    @step(2, placed=messages_that(lambda message: message.status in CANCELLABLE))
    def cancel(self, placed: tuple[Name, int]) -> None:
        for lane, message, row in self.found(*placed):
            assert self.possible(operate.cancel, row) == lane.cancel(message, clock_reading())

    @step(placed=PLACED)
    def resubmit(self, placed: tuple[Name, int]) -> None:
        for lane, message, row in self.found(*placed):
            in_hand = message.open and message is lane.line[0] and lane.leased(clock_reading())
            edited = b'{"lane":"%s","edited":true}' % placed[0][1].encode()
            assert self.possible(operate.resubmit, row, edited) != in_hand
            if not in_hand:
                lane.accept(Message.objects.latest("pk").pk, sync=message.sync)
                lane.cancel(message, clock_reading())

    @step(placed=PLACED, retention=st.booleans())
    def time_is_up(self, placed: tuple[Name, int], retention: bool) -> None:
        """For its payload; or for its caller, who is told "accepted"."""
        for _, message, row in self.found(*placed):
            if not retention:
                assert steering.make_retryable(row) == message.open
                message.told_accepted = message.told_accepted or message.open
            elif not message.open:
                tasks.purge([message.pk])
                message.purged, message.result = True, None

    @step(2, name=LANES, place=st.sampled_from([0, 0, 1, -1]), verb=st.sampled_from(["retry", "skip"]))
    def decide_on_head(self, name: Name, place: int, verb: str) -> None:
        """A person saw another head than the present one, unless `place` is 0."""
        lane = self.lanes[name]
        if name not in self.pks:
            return
        row, position = Lane.objects.get(pk=self.pks[name]), lane.done + 1 + place
        head = lane.line[0] if lane.line and place == 0 else None
        if verb == "retry":
            won = self.possible(operate.retry_head, row, position=position)
            assert won == (head is not None and lane.retry(head))
        else:
            won = self.possible(operate.skip_head, row, position=position)
            assert won == (head is not None and lane.cancel(head, clock_reading()))

    @step(2, verb=st.sampled_from(list(BulkVerb)), names=st.sets(LANES, min_size=1), meanwhile=PLACED)
    def decide_on_many(self, verb: BulkVerb, names: set[Name], meanwhile: tuple[Name, int]) -> None:
        """All messages of some lanes; one of any lane is decided on between the selection and its confirmation."""
        lanes_chosen = sorted((self.pks[name], self.lanes[name]) for name in names & set(self.pks))
        if not lanes_chosen:
            return
        chosen = [(lane, one) for _, lane in lanes_chosen for one in sorted(lane.messages, key=lambda m: m.position)]
        selected = Message.objects.filter(lane__in=[pk for pk, _ in lanes_chosen])
        prepared = bulk.prepare(verb, selected, by=self.plans.agent, selection="the whole lanes")
        self.decide_too_late(meanwhile)
        self.every_row_is_as_it_must_be()
        assert bulk.start(prepared, by=self.plans.agent, reason="r")
        bulk.work(budget_seconds=600)
        now = clock_reading()
        won = [lane.retry(one) if verb == BulkVerb.RETRY else lane.cancel(one, now) for lane, one in chosen]
        prepared.refresh_from_db()
        assert (prepared.state, prepared.done, prepared.refused) == (
            BulkState.FINISHED, won.count(True), won.count(False)
        )  # fmt: skip

    @step(name=LANES)
    def pause(self, name: Name) -> None:
        if name in self.pks:
            assert self.possible(operate.pause, Lane.objects.get(pk=self.pks[name])) == self.lanes[name].pause()

    @step(name=STANDING)
    def resume(self, name: Name) -> None:
        if name in self.pks:
            resumed = self.possible(operate.resume, Lane.objects.get(pk=self.pks[name]))
            assert resumed == self.lanes[name].resume(clock_reading())

    @step(name=LANES)
    def try_now(self, name: Name) -> None:
        if name in self.pks:
            hurried = self.possible(operate.try_now, Lane.objects.get(pk=self.pks[name]))
            assert hurried == self.lanes[name].hurry(clock_reading())

    @step(slug=st.sampled_from(["orders", "invoices", LIMITED]), table=TABLES, count=st.integers(1, 3))
    def claim_while_some_are_paused(self, slug: str, table: type[Route | Endpoint], count: int) -> None:
        """The lanes of a route, or of an endpoint."""
        paused = self.routes[slug] if table is Route else self.endpoints[slug]
        for state in (True, False):
            table.objects.filter(slug=slug).update(paused=state)
            paused.paused = state
            if state:
                self.claim(count, alone=True)

    def possible(self, verb: Callable[..., Any], *arguments: Any, **options: Any) -> bool:
        try:
            verb(*arguments, by=self.plans.agent, reason="r", **options)
        except NotPossible:
            return False
        return True

    # What is looked at

    def new_owner(self) -> str:
        self.owners += 1
        return f"worker {self.owners}"

    def found(self, name: Name, place: int) -> list[tuple[LaneModel, MessageModel, Message]]:
        """The message at a place, if there is one."""
        lane = self.lanes[name]
        message = lane.at(lane.done + 1 + place)
        return [] if message is None else [(lane, message, Message.objects.get(pk=message.pk))]

    def hand(self, name: Name, age: int) -> Hand | None:
        hands = self.hands[name]
        return hands[-1 - age] if age < len(hands) else None

    def all_hands(self, hands: list[tuple[Name, int]]) -> list[Hand]:
        return [found for name, age in hands if (found := self.hand(name, age)) is not None]

    @invariant()
    def every_row_is_as_it_must_be(self) -> None:
        now = clock_reading()
        rows = Lane.objects.in_bulk()
        assert set(rows) == set(self.pks.values())
        for name, pk in self.pks.items():
            lane, row = self.lanes[name], rows[pk]
            assert (
                row.last_position, row.done_position, row.token, row.strikes, row.owner, row.hold, row.changes
            ) == (lane.last, lane.done, lane.token, lane.strikes, lane.owner, lane.hold, lane.changes)  # fmt: skip
            lane.settle(self.since, now, row.due_at, row.lease_until)
        self.messages_are_as_they_must_be()
        self.permits_are_as_they_must_be()
        lane_model.promises(list(self.lanes.values()))
        self.tell_apart()
        self.since = now

    def messages_are_as_they_must_be(self) -> None:
        expected, attempts, results = {}, [], {}
        for name, lane in self.lanes.items():
            for one in lane.messages:
                retryable = one.told_accepted or not one.sync
                expected[one.pk] = (
                    self.pks[name], one.position, one.status, len(one.attempts), one.before_retry, retryable,
                    one.open, not one.purged,
                )  # fmt: skip
                attempts += [(one.pk, number, *attempt) for number, attempt in enumerate(one.attempts, start=1)]
                if one.result is not None:
                    results[one.pk] = one.result
        fields = "lane", "position", "status", "attempts", "attempts_before_retry", "retryable"
        moments = {"unfinished": Q(completed_at=None), "whole": Q(purged_at=None)}
        found = Message.objects.annotate(**moments).values_list("pk", *fields, *moments)
        assert {pk: tuple(rest) for pk, *rest in found} == expected
        assert sorted(Attempt.objects.values_list("message", "number", "outcome", "token")) == sorted(attempts)
        told = Result.objects.values_list("message", "error")
        assert {pk: error["title"] if error else "" for pk, error in told} == results

    def permits_are_as_they_must_be(self) -> None:
        names, model = {lane: name for name, lane in self.lanes.items()}, self.endpoints[LIMITED]
        expected = {f"{self.pks[names[lane]]}:{token}" for lane, token in model.permits}
        rows = Allowance.objects.values_list("permits", "full_until")
        found = [(set(permits), full_until is not None) for permits, full_until in rows]
        assert (found or [(set(), False)]) == [(expected, model.full)]  # there is no row before the first call

    def tell_apart(self) -> None:
        """Which of two lanes that became due in the same microsecond is the first, is nobody's promise."""
        seen = set()
        for name, lane in self.lanes.items():
            while isinstance(lane.due, datetime) and lane.due in seen:
                lane.due += timedelta(microseconds=1)
                Lane.objects.filter(pk=self.pks[name]).update(due_at=lane.due)
            seen.add(lane.due)


@pytest.mark.django_db
@pytest.mark.timeout(600)  # a failing story is shrunk before it is told
def test_every_story_leaves_the_rows_as_they_must_be(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "START_SECONDS", LEASE)  # no permit is lost by itself
    monkeypatch.setattr(limits, "LOOK_AGAIN_SECONDS", LEASE)
    erp = ApplicationFactory(slug="erp")
    for slug, at_once in (("orders", None), ("invoices", None), (LIMITED, 1)):
        EndpointFactory(slug=slug, application=erp, max_concurrent=at_once)
    usual = {"ordering_key": "lane", "retry": RETRY}
    configure_route(**usual, endpoint="orders", on_failure="block", on_unknown="stop")
    configure_route(**usual, slug="invoices", endpoint="invoices", on_failure="skip")
    configure_route(**usual, slug=LIMITED, endpoint=LIMITED, on_failure="block")
    plans = Plans({plan.slug: plan for plan in catalogue.by_id().values()}, UserFactory())

    def machine() -> Lanes:
        return Lanes(plans)

    run_state_machine_as_test(machine, settings=STORIES)
