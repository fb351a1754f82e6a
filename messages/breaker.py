"""What one process knows of the circuits, and what it has counted since it last told the others.

Successful calls cost no write: calls are counted in memory, and written, at most once a second for each endpoint, only
while some process has seen failures of it. The counts that open a circuit are written at once. What the others did is
read once in LOOK_SECONDS.
"""

import math
import threading
import time
from collections import defaultdict
from dataclasses import dataclass, field

from connectors import retries
from connectors.catalogue import EndpointPlan
from messages import circuits, windows
from messages.choices import OutcomeKind
from messages.database import clock_reading
from messages.exceptions import LaneUnavailable
from messages.models import Circuit
from messages.outcomes import Outcome
from messages.windows import BUCKETS, Bucket

LOOK_SECONDS = 0.5
TELL_SECONDS = 1.0
STANDS = "The destination failed too often and is not called until it answers again."


@dataclass(frozen=True, slots=True)
class View:
    """A circuit as it was when this process looked; `retry_at` on its monotonic clock, None while it is closed."""

    retry_at: float | None
    buckets: list[Bucket]
    read_at: float
    """The database's time of the look, in seconds since the epoch."""


@dataclass(slots=True)
class Tally:
    """Calls of one endpoint that the others do not know of, by bucket of the monotonic clock: [calls, failures]."""

    buckets: dict[float, list[int]] = field(default_factory=dict)
    told_at: float = -math.inf
    last_failure: str = ""
    asked_until: float = -math.inf
    """Until when the destination asked not to be called, on the monotonic clock."""

    def add(self, now: float, *, width: float, failed: bool) -> None:
        bucket = self.buckets.setdefault(now // width * width, [0, 0])
        bucket[0] += 1
        bucket[1] += failed

    def forget_before(self, begin: float) -> None:
        for old in [one for one in self.buckets if one <= begin]:
            del self.buckets[old]

    def totals(self) -> tuple[int, int]:
        return sum(bucket[0] for bucket in self.buckets.values()), sum(bucket[1] for bucket in self.buckets.values())


class Breaker:
    """Safe for threads; `count`, `tell` and the look at the circuits need the database."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.clear()

    def clear(self) -> None:
        """Forgets everything; for tests that replace the database under a process."""
        self._views: dict[int, View] = {}
        self._looked_at = -math.inf
        self._tallies: defaultdict[int, Tally] = defaultdict(Tally)

    def stands(self, endpoint: EndpointPlan) -> bool:
        """Whether calls wait: its circuit is not closed. The probe alone may go."""
        return self._retry_at(endpoint) is not None

    def ready(self) -> list[int]:
        """The endpoints, by primary key, of which one call may be tried."""
        now = time.monotonic()
        return [pk for pk, view in self._look().items() if view.retry_at is not None and view.retry_at <= now]

    def admit(self, endpoint: EndpointPlan) -> int | None:
        """For a synchronous call: None if calls flow, else the number of the probe that it is.

        Raises LaneUnavailable while the circuit is open. Give a probe that is not sent to `settle`, without an outcome.
        """
        retry_at = self._retry_at(endpoint)
        if retry_at is not None and retry_at <= time.monotonic():
            probe = circuits.take_probe(endpoint)
            self.look_again()
            if probe is not None:
                return probe
            retry_at = self._retry_at(endpoint)
        if retry_at is None:
            return None
        left = max(1, math.ceil(retry_at - time.monotonic()))
        raise LaneUnavailable("circuit-open", STANDS, retry_after=left)

    def _retry_at(self, endpoint: EndpointPlan) -> float | None:
        view = self._look().get(endpoint.id)
        return None if view is None else view.retry_at

    def settle(self, endpoint: EndpointPlan, probe: int, outcome: Outcome | None) -> None:
        """What came of a probe; None if it was not sent."""
        healthy = None if outcome is None else verdict(outcome)
        detail, retry_after = (outcome.detail, outcome.retry_after) if outcome else ("", None)
        circuits.settle(endpoint, probe, healthy=healthy, detail=detail, retry_after=retry_after)
        self.look_again()

    def count(self, endpoint: EndpointPlan, outcome: Outcome) -> None:
        """Remembers one call, and tells the others when it is time."""
        healthy, policy, now = verdict(outcome), endpoint.circuit, time.monotonic()
        if healthy is None or not policy.enabled:
            return
        with self._lock:
            tally = self._tallies[endpoint.id]
            tally.forget_before(now - policy.window_seconds)
            tally.add(now, width=policy.window_seconds / BUCKETS, failed=not healthy)
            if not healthy:
                tally.last_failure = outcome.detail
                tally.asked_until = max(tally.asked_until, now + (outcome.retry_after or 0.0))
            calls, failures = tally.totals()
        known_calls, known_failures = self._known(endpoint)
        if not failures and not known_failures:
            return
        trips = policy.trips(calls + known_calls, failures + known_failures)
        if trips or now - tally.told_at >= TELL_SECONDS:
            self._tell(endpoint)

    def look_again(self) -> None:
        """The next look asks the database."""
        self._looked_at = -math.inf

    def _tell(self, endpoint: EndpointPlan) -> None:
        now = time.monotonic()
        with self._lock:
            tally = self._tallies[endpoint.id]
            counted = [(now - begin, calls, failures) for begin, (calls, failures) in tally.buckets.items()]
            kept, tally.buckets, tally.told_at = tally.buckets, {}, now
        try:
            retry_after = max(tally.asked_until - now, 0.0)
            circuits.count(endpoint, counted, last_failure=tally.last_failure, retry_after=retry_after)
        except BaseException:
            with self._lock:  # told the next time, when the database is back
                for begin, amounts in kept.items():
                    bucket = tally.buckets.setdefault(begin, [0, 0])
                    tally.buckets[begin] = [bucket[0] + amounts[0], bucket[1] + amounts[1]]
            raise
        self.look_again()

    def _known(self, endpoint: EndpointPlan) -> tuple[int, int]:
        """Calls and failures that all processes have told of."""
        view = self._look().get(endpoint.id)
        if view is None:
            return 0, 0
        return windows.totals(view.buckets, now=view.read_at, seconds=endpoint.circuit.window_seconds)

    def _look(self) -> dict[int, View]:
        now = time.monotonic()
        if now - self._looked_at < LOOK_SECONDS:
            return self._views
        rows = list(Circuit.objects.values_list("endpoint", "retry_at", "buckets", "endpoint__circuit_enabled"))
        present = clock_reading().timestamp() if rows else 0.0
        self._views = {
            pk: View(now + retry_at.timestamp() - present if retry_at and enabled else None, buckets, present)
            for pk, retry_at, buckets, enabled in rows
        }
        for pk, retry_at, _, enabled in rows:
            if retry_at and not enabled:
                circuits.switch_off(pk)
        self._looked_at = now
        return self._views


def verdict(outcome: Outcome) -> bool | None:
    """Whether the destination is well: it answered, be it with a refusal. None: nothing was sent, so nobody knows.

    A status says the same of the destination whatever a route takes it for: the circuit belongs to all its routes.
    """
    if outcome.received is not None:
        return not retries.is_passing(outcome.received.status_code)
    if outcome.sent is None:
        return None
    match outcome.kind:
        case OutcomeKind.SUCCEEDED | OutcomeKind.REFUSED:
            return True
        case OutcomeKind.FAILED | OutcomeKind.UNKNOWN:
            return False
        case _:
            return None


breaker = Breaker()
