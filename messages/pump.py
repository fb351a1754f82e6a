"""Claims due lanes, works them with many threads, records outcomes in groups.

One thread owns the database: it claims, renews, reads ahead and commits. The I/O threads only deliver; what they did
comes back through a queue. In a web process the same pump works the lanes that synchronous requests have claimed
themselves: it is handed lanes instead of looking for due ones, so both patterns share one way of sending and recording.

Why nothing is overtaken: a claim has at most one message out (`busy`), and its next one goes out only after
`lanes.finish` has committed the one before and said that the lane is still ours (`kept`). Why no stale worker sends:
an I/O thread refuses when its lease is nearly over, and renewing moves the deadline only for lanes that are ours.
"""

import contextlib
import logging
import os
import queue
import socket
import time
from collections import deque
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from django.conf import settings
from django.db import InterfaceError, OperationalError, close_old_connections, connection
from django.utils import timezone

from connectors.catalogue import EndpointPlan, RoutePlan, catalogue
from connectors.choices import OnUnknown
from connectors.processors import settler
from messages import delivery, lanes, limits, sparing
from messages.beats import WORKER, beat, stop_wanted
from messages.breaker import breaker
from messages.bulkhead import Bulkhead, full_endpoints
from messages.choices import OutcomeKind
from messages.claims import Claim, Finished, Work
from messages.database import Seldom, lease_clock
from messages.outcomes import Outcome, Policy

log = logging.getLogger(__name__)

QUANTUM_MESSAGES = 20  # after so many, or so many seconds, a lane makes room for others that wait
QUANTUM_SECONDS = 1.0
READ_AHEAD_MESSAGES = 20
READ_AHEAD_BYTES = 256 * 1024
LOOK_SECONDS = 0.02
CHANGES_SECONDS = 0.5  # so long after a route or an endpoint was paused a worker may still send for it
BEAT_SECONDS = 1.0
LEASE_MARGIN = 0.25  # an I/O thread does not start in the last quarter of a lease
RECORD_RETRY_SECONDS = 0.5
SLOW_SECONDS = 1.0  # a call that is out for longer does not keep the others from going on
MAX_OVERTIME_SECONDS = 40.0  # budget, overtime and the longest call together end before q2's timeout


@dataclass(slots=True)
class Hand:
    """A claimed lane and the messages read ahead of it. Only the database thread changes it."""

    claim: Claim
    plan: RoutePlan
    since: float
    ahead: list[Work] = field(default_factory=list)
    count: int = 1
    """How many messages to read ahead next: one at first, more while they are small."""
    sent: int = 0
    busy: bool = False
    busy_since: float = 0.0
    waiter: "Future[Finished] | None" = None
    """A synchronous request that waits for the first message."""

    def excuse(self) -> None:
        """Whoever waits is told that this process will not say how it was recorded."""
        waiter, self.waiter = self.waiter, None
        if waiter is not None:
            waiter.cancel()


@dataclass(frozen=True, slots=True)
class Delivered:
    """What an I/O thread reports; `outcome` is None when the lease was too old to send."""

    hand: Hand
    work: Work
    outcome: Outcome | None


@dataclass(slots=True)
class Ended:
    """A call that is over, or that was not made (`outcome` is None): its circuit and its limits are to be told."""

    endpoint: EndpointPlan
    outcome: Outcome | None
    permit: str
    probe: int | None


class Pump:
    """`run` for a queue worker, `serve` for a web process."""

    def __init__(
        self,
        *,
        threads: int,
        max_lanes: int = settings.PUMP_MAX_LANES,
        lease_seconds: float = settings.LEASE_SECONDS,
        claims: bool = True,
    ) -> None:
        self._threads = threads
        self._max_lanes = max_lanes
        self._lease_seconds = lease_seconds
        self._claims = claims
        self._owner = owner_name()
        self._hands: dict[int, Hand] = {}
        self._inbox: queue.SimpleQueue[Delivered | Hand | None] = queue.SimpleQueue()
        self._pool = Bulkhead(threads, name="delivery")
        self._unrecorded: list[tuple[Hand, Finished]] = []
        self._ended: deque[Ended] = deque()
        self._complaint = Seldom()
        self._next_renew = time.monotonic() + lease_seconds / 3
        self._stopping = False
        self._spent = False
        self._slow: set[int] = set()
        """Endpoints whose answers this pump waits for although its budget is spent."""
        self._clearing = False
        """Nothing more is claimed until the hands are empty: a lane waits that has to run alone."""
        self._crowded = False
        """Lanes may be waiting that this pump has no room for: then a lane in hand goes to the back after its turn."""
        self._next_changes = time.monotonic() + CHANGES_SECONDS
        self.done = 0
        self.is_over = False
        """Nobody serves any more: what `take` is handed goes nowhere."""

    def run(self, *, budget_seconds: float, linger_seconds: float) -> int:
        """Works due lanes until the budget is spent or nothing was due for `linger_seconds`; returns messages done."""
        end, idle_since, next_look, next_beat = time.monotonic() + budget_seconds, time.monotonic(), 0.0, 0.0
        try:
            while True:
                now = time.monotonic()
                if now >= end:
                    self._spent = self._is_spent(overtime=now - end)
                if now >= next_beat:
                    next_beat = now + BEAT_SECONDS
                    beat(WORKER)
                    self._stopping = self._stopping or stop_wanted()
                    self._clearing = bool(
                        self._hands and self._guarded(lambda: lanes.suspect_waits(catalogue.remembered().unusable))
                    )
                    if self._guarded(lambda: catalogue.remembered().unusable):  # what hides their lanes: look anew
                        self._guarded(catalogue.unusable)
                if self._clearing and not self._hands:
                    self._clearing = False
                    if not self._ends:
                        self._guarded(self._claim_overdue)
                may_claim = not self._ends and not self._clearing and not self._has_suspect
                if may_claim and now >= next_look and not self._guarded(self._claim):
                    next_look = now + LOOK_SECONDS
                if self._hands or self._ended:
                    idle_since = now
                    self._guarded(lambda: self._step(LOOK_SECONDS))
                elif self._ends or now - idle_since >= linger_seconds:
                    return self.done
                else:
                    time.sleep(LOOK_SECONDS)
        finally:
            self._pool.shutdown()

    @property
    def _ends(self) -> bool:
        """Nothing more is sent."""
        return self._stopping or self._spent

    @property
    def _has_suspect(self) -> bool:
        return len(self._hands) == 1 and next(iter(self._hands.values())).claim.suspect

    def _is_spent(self, *, overtime: float) -> bool:
        """Whether this pump, at the end of its budget, ends: not while it would only wait for endpoints that are slow.

        They are left out from now on, and the others go on, since this process works nothing else meanwhile.
        """
        late = time.monotonic() - SLOW_SECONDS
        waits = {hand.plan.endpoint.id for hand in self._hands.values() if hand.busy and hand.busy_since < late}
        self._slow |= waits
        return not waits or overtime >= MAX_OVERTIME_SECONDS

    def serve(self) -> None:
        """Until `stop`: works the lanes that `take` hands over. What nobody foresaw ends it: see `web_pump.py`."""
        try:
            while not self._stopping or self._hands or self._ended:
                self._guarded(lambda: self._step(self._lease_seconds / 3))
        except Exception:  # the edge of a thread: recorded with its traceback
            log.exception("The pump of this web process failed; the next synchronous request starts another one.")
        finally:
            self.is_over = True  # first: whoever hands over a lane from now on excuses its caller himself
            self._excuse_everybody()
            self._pool.shutdown()
            connection.close()

    def _excuse_everybody(self) -> None:
        """Who waits for a record looks for it in the database; others work the lanes once their leases are over."""
        hands = [*self._hands.values(), *(hand for hand, _ in self._unrecorded)]
        with contextlib.suppress(queue.Empty):
            while True:
                entry = self._inbox.get_nowait()
                hands += [] if entry is None else [entry if isinstance(entry, Hand) else entry.hand]
        for hand in hands:
            hand.excuse()

    def _guarded(self, step: Callable[[], Any]) -> Any:
        """A database that is away is waited for: outcomes are kept, and recorded if the lease still holds then."""
        try:
            return step()
        except (OperationalError, InterfaceError):
            if self._complaint.now():
                log.exception("The database did not answer; trying again.")
            connection.close()
            time.sleep(RECORD_RETRY_SECONDS)
            return None

    def take(self, claim: Claim, work: Work, plan: RoutePlan) -> "Future[Finished]":
        """Hands over a lane that `intake.accept` claimed. The future tells how its first message was recorded."""
        waiter: Future[Finished] = Future()
        hand = Hand(claim, plan, time.monotonic(), ahead=[work], busy=True, waiter=waiter)
        self._inbox.put(hand)  # first, so that its lease is renewed from the start
        self._pool.submit(plan.endpoint.id, self._deliver, hand, work)
        if self.is_over:
            hand.excuse()
        return waiter

    def stop(self) -> None:
        """No new claims; what is in hand is finished, the rest released."""
        self._stopping = True
        self._inbox.put(None)  # wakes the database thread

    def _claim(self) -> bool:
        full, room = full_endpoints(
            (hand.plan.endpoint.id for hand in self._hands.values()),
            most=self._max_lanes,
        )
        full |= self._slow
        self._crowded = not room or bool(full)
        full |= catalogue.remembered().unusable.keys()
        if not room or not lanes.any_due(full):
            return False
        plans, held = catalogue.by_id(), len(self._hands)
        full |= catalogue.remembered().unusable.keys()
        claims = lanes.claim(
            room,
            without=full,
            lease_seconds=self._lease_seconds,
            owner=self._owner,
            policies=_policies(plans),
            alone=not self._hands,
        )
        self._crowded |= len(claims) == room
        self._hold(claims)  # at once: what fails from here on must not leave leased lanes behind that nobody works
        if not self._has_suspect:
            self._claim_sparingly(plans, min(room, self._threads), without=full)
        return len(self._hands) > held

    def _claim_overdue(self) -> None:
        """The lane that everything has made room for, if it is of an endpoint that is spared: `lanes.claim` knows the
        others, and would give away the room before `_claim_sparingly` comes to this one."""
        plans = catalogue.by_id()
        full = self._slow | catalogue.remembered().unusable.keys()
        self._claim_sparingly(plans, 1, without=full, overdue=True)

    def _hold(self, claims: list[Claim]) -> None:
        plans = catalogue.remembered().by_id
        if any(claim.route_id not in plans for claim in claims):
            plans = catalogue.by_id()  # a route may be younger than the last look, and its lane claimed already
        for claim in claims:
            self._hands[claim.lane_id] = Hand(claim, plans[claim.route_id], time.monotonic())

    def _claim_sparingly(
        self, plans: Mapping[int, RoutePlan], room: int, *, without: set[int], overdue: bool = False
    ) -> None:
        """Lanes of endpoints that have limits, and one lane of each endpoint that is to be tried again."""
        ready = set(breaker.ready()) - without
        endpoints = {plan.endpoint.id: plan.endpoint for plan in plans.values()}
        limited = {pk for pk, endpoint in endpoints.items() if endpoint.limits} - without
        for pk in sorted(ready & set(endpoints) | sparing.waiting(limited)):
            claims = sparing.claim(
                endpoints[pk],
                room,
                probes=pk in ready,
                lease_seconds=self._lease_seconds,
                owner=self._owner,
                policies=_policies(plans),
                alone=not self._hands,
                overdue=overdue,
            )
            self._hold(claims)
            if self._has_suspect:
                break
        if ready:
            breaker.look_again()

    def _step(self, wait: float) -> None:
        """One round: send what may go, collect what came back, record it, send what comes behind, keep the leases."""
        self._dispatch()
        self._collect(min(wait, RECORD_RETRY_SECONDS) if self._unrecorded or self._ended else wait)
        recorded = bool(self._unrecorded)
        if recorded:
            self._record()
        if self._ended:
            self._tell_of_ended()
        if recorded:
            self._dispatch()
        if time.monotonic() >= self._next_renew:
            self._renew()
            self._next_renew = time.monotonic() + self._lease_seconds / 3

    def _dispatch(self) -> None:
        idle = [hand for hand in self._hands.values() if not hand.busy]
        if not idle:
            return
        if time.monotonic() >= self._next_changes:
            catalogue.by_id()  # brings what is remembered up to date
            self._next_changes = time.monotonic() + CHANGES_SECONDS
        may_go = [hand for hand in idle if self._may_go(hand)]
        self._read_ahead([hand for hand in may_go if not hand.ahead])
        for hand in may_go:
            if hand.ahead:
                hand.busy, hand.busy_since = True, time.monotonic()
                self._pool.submit(hand.plan.endpoint.id, self._deliver, hand, hand.ahead[0])
        unsent = [hand for hand in idle if not hand.busy]
        if unsent:
            lanes.release([hand.claim for hand in unsent])
            for hand in unsent:
                self._hands.pop(hand.claim.lane_id, None)
                self._call_ended(hand, None)

    def _may_go(self, hand: Hand) -> bool:
        """Not while this pump stops, the route or endpoint is paused, or its circuit is open; its probe may.

        Nor where the endpoint cannot be called as it is configured: its messages wait whole for whoever puts it right.
        """
        plan = catalogue.remembered().by_id.get(hand.claim.route_id, hand.plan)
        if plan.endpoint.id != hand.plan.endpoint.id or (plan.endpoint.limits and not hand.claim.permit):
            return False  # claimed under other rules than those of today
        hand.plan = plan
        stopped = self._ends or plan.paused or plan.endpoint.paused or plan.endpoint.id in self._slow
        if stopped or plan.endpoint.unusable:
            return False
        return hand.claim.probe is not None or not breaker.stands(plan.endpoint)

    def _read_ahead(self, hands: list[Hand]) -> None:
        for count in {hand.count for hand in hands}:
            alike = [hand for hand in hands if hand.count == count]
            found = lanes.read_ahead([hand.claim for hand in alike], count)
            for hand in alike:
                hand.ahead = found[hand.claim.lane_id]
                small = sum(len(work.body) for work in hand.ahead) * 2 < READ_AHEAD_BYTES
                hand.count = min(count * 4, READ_AHEAD_MESSAGES) if small else 1

    def _deliver(self, hand: Hand, work: Work) -> None:
        """In an I/O thread. A bug in here must reach the lane as an outcome, or the lane would wait for ever."""
        outcome: Outcome | None = None
        begin_by = min(hand.claim.deadline - self._lease_seconds * LEASE_MARGIN, hand.claim.send_by)
        if lease_clock() < begin_by:
            try:
                stops = hand.claim.unsure and hand.plan.on_unknown == OnUnknown.STOP
                outcome = delivery.interrupted() if stops else delivery.attempt(work, hand.plan)
            except BaseException:  # the edge of a thread, panics of extensions included: recorded with its traceback
                log.exception("An attempt of message %s failed unexpectedly.", work.correlation_id)
                detail = "The platform failed while it handled the message; the failure has been logged."
                error = delivery.error_document("destination-failed", detail)
                outcome = Outcome(OutcomeKind.FAILED, timezone.now(), detail=detail, error=error)
        self._inbox.put(Delivered(hand, work, outcome))

    def _collect(self, wait: float) -> None:
        """Takes everything that has come back, waiting for the first one; a late hand of a web request joins here."""
        try:
            entry = self._inbox.get(timeout=wait)
            while True:
                self._took(entry)
                entry = self._inbox.get_nowait()
        except queue.Empty:
            return

    def _took(self, entry: "Delivered | Hand | None") -> None:
        if entry is None:
            return
        if isinstance(entry, Hand):
            self._hands[entry.claim.lane_id] = entry
            return
        hand = entry.hand
        if entry.outcome is None:  # too late to send: whoever is next may have the lane
            hand.busy = False
            self._forget(hand)
            hand.excuse()  # first: it must not be forgotten when the database is away
            self._call_ended(hand, None)
            lanes.release([hand.claim])
            return
        spent = hand.sent + 1 >= QUANTUM_MESSAGES or time.monotonic() - hand.since >= QUANTUM_SECONDS
        has_had_its_turn = spent and self._crowded
        let_go = has_had_its_turn or self._ends or self._clearing or not self._claims or bool(hand.claim.permit)
        finished = Finished(hand.claim, entry.work, entry.outcome, policy_of(hand.plan), let_go=let_go)
        self._unrecorded.append((hand, finished))
        self._hands.setdefault(hand.claim.lane_id, hand)

    def _record(self) -> None:
        """One transaction for everything that came back; if the database is away, it stays for the next round."""
        pairs, now = self._unrecorded, timezone.now()
        try:
            lanes.finish([entry for _, entry in pairs], now=now)
        except (OperationalError, InterfaceError):
            raise
        except Exception:  # a row that cannot be written must not take the others along: the edge of a group
            log.exception("A group of %s outcomes could not be recorded; recording them one by one.", len(pairs))
            pairs = [(hand, entry) for hand, entry in pairs if self._recorded_alone(hand, entry, now)]
        for hand, entry in self._unrecorded:
            self._call_ended(hand, entry.outcome)
        self._unrecorded = []
        for hand, entry in pairs:
            self._settle(hand, entry)

    def _recorded_alone(self, hand: Hand, entry: Finished, now: datetime) -> bool:
        try:
            lanes.finish([entry], now=now)
        except (OperationalError, InterfaceError):
            raise
        except Exception:  # its lease runs out, and after some strikes the message ends as crashed, for all to see
            log.exception("The outcome of message %s could not be recorded.", entry.work.correlation_id)
            self._forget(hand)
            hand.excuse()
            return False
        return True

    def _forget(self, hand: Hand) -> None:
        """Unless a later request has taken the same lane anew: that is another hand."""
        if self._hands.get(hand.claim.lane_id) is hand:
            del self._hands[hand.claim.lane_id]

    def _settle(self, hand: Hand, entry: Finished) -> None:
        """After the commit: the next message of a lane that is still ours may go, every other lane is forgotten."""
        hand.busy = False
        if entry.fenced:
            log.warning("Lane %s is not in our hand any more; an attempt of it was not recorded.", entry.claim.lane_id)
        else:
            self.done += 1
        if entry.kept:
            if entry.changes == hand.claim.changes:
                hand.ahead.pop(0)
            else:  # a person changed a message behind it: read again
                hand.ahead.clear()
                hand.claim.changes = entry.changes
            hand.sent += 1
            hand.claim.done_position += 1
            hand.claim.unsure = False
        else:
            self._forget(hand)
        if hand.waiter is not None:
            hand.waiter.set_result(entry)
            hand.waiter = None

    def _call_ended(self, hand: Hand, outcome: Outcome | None) -> None:
        """Takes permit and probe from the claim; the next message of its lane has neither."""
        claim = hand.claim
        self._ended.append(Ended(hand.plan.endpoint, outcome, claim.permit, claim.probe))
        claim.permit, claim.probe = "", None

    def _tell_of_ended(self) -> None:
        """Gives permits back, an endpoint's together, and tells circuits; what the database does not take is kept."""
        permits: dict[int, list[Ended]] = {}
        for ended in self._ended:
            if ended.permit:
                permits.setdefault(ended.endpoint.id, []).append(ended)
        for alike in permits.values():
            limits.give_back(alike[0].endpoint, [ended.permit for ended in alike])
            for ended in alike:
                ended.permit = ""
        while self._ended:
            ended = self._ended[0]
            if ended.probe is not None:  # told twice, it means nothing the second time
                breaker.settle(ended.endpoint, ended.probe, ended.outcome)
            self._ended.popleft()
            if ended.probe is None and ended.outcome is not None:  # the breaker keeps by itself what it cannot tell
                breaker.count(ended.endpoint, ended.outcome)

    def _renew(self) -> None:
        if not self._hands:
            return
        mine = lanes.renew([hand.claim for hand in self._hands.values()], lease_seconds=self._lease_seconds)
        for lane_id, hand in list(self._hands.items()):
            if lane_id not in mine and not hand.busy:
                del self._hands[lane_id]


def owner_name() -> str:
    return f"{socket.gethostname()[:60]}:{os.getpid()}"


def policy_of(plan: RoutePlan) -> Policy:
    return Policy(plan.retry, plan.on_failure, plan.on_unknown)


def _policies(plans: Mapping[int, RoutePlan]) -> dict[int, Policy]:
    return {pk: policy_of(plan) for pk, plan in plans.items()}


def pump() -> int:
    """The task of a queue worker: work whatever is due. Tasks may run twice or never; the lane table is the truth."""
    settler.begin()
    beat(WORKER)
    close_old_connections()
    return Pump(threads=settings.QUEUE_THREADS).run(
        budget_seconds=settings.PUMP_BUDGET_SECONDS, linger_seconds=settings.PUMP_LINGER_SECONDS
    )
