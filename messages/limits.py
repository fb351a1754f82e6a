"""The limits of an endpoint, over all processes and machines: how many calls are out, and how many begin in a period.

A permit is the right to make one call. It is given under the lock of the endpoint's allowance, together with the lane
that the call is for, and given back when the call has ended; where its process died, it counts as lost a while after
the call must have ended. The lock of an allowance is taken before any lane's, so that nobody waits for each other.

Within no period of a rate more calls than it allows get a permit: a bucket is forgotten one period after its end.
"""

from collections.abc import Collection
from datetime import timedelta

from connectors.catalogue import EndpointPlan
from messages import windows
from messages.database import clock_reading, write
from messages.models import Allowance
from messages.windows import BUCKETS

START_SECONDS = 10.0  # so long after it got its permit a call may begin
MARGIN_SECONDS = 5.0  # beyond it and the endpoint's time-out: mapping and recording
LOOK_AGAIN_SECONDS = 5.0  # so soon a change of the limits themselves is noticed
WINDOW = BUCKETS / (BUCKETS - 1)  # periods; the oldest bucket has ended one period ago when it is forgotten


def room(endpoint: EndpointPlan, wanted: int) -> int:
    """How many of `wanted` calls may begin now. Runs inside the caller's transaction and keeps the allowance locked.

    Where there is no room, the endpoint's lanes are not due until there may be some.
    """
    if not endpoint.limits:
        return wanted
    row = _locked(endpoint)
    now = clock_reading()
    free, waits = wanted, LOOK_AGAIN_SECONDS
    if endpoint.limits.max_concurrent is not None:
        alive = [until for until in row.permits.values() if until > now.timestamp()]
        free = min(free, endpoint.limits.max_concurrent - len(alive))
        waits = min([waits, *(until - now.timestamp() for until in alive)])
    if endpoint.limits.calls is not None:
        seconds = endpoint.limits.seconds * WINDOW
        begun, _ = windows.totals(row.buckets, now=now.timestamp(), seconds=seconds)
        if begun >= endpoint.limits.calls:
            waits = min(waits, row.buckets[0][0] + seconds - now.timestamp())
        free = min(free, endpoint.limits.calls - begun)
    if free <= 0:
        Allowance.objects.filter(pk=row.pk).update(full_until=now + timedelta(seconds=max(waits, 0.01)))
    return max(free, 0)


def grant(endpoint: EndpointPlan, permits: Collection[str]) -> None:
    """Gives out permits, in the transaction in which `room` said that there is room for them."""
    if not endpoint.limits or not permits:
        return
    row = _locked(endpoint)
    now = clock_reading().timestamp()
    until = now + START_SECONDS + endpoint.timeout_seconds + MARGIN_SECONDS
    alive = {name: end for name, end in row.permits.items() if end > now}
    buckets = windows.add(row.buckets, [(0.0, len(permits), 0)], now=now, seconds=endpoint.limits.seconds * WINDOW)
    Allowance.objects.filter(pk=row.pk).update(permits=alive | dict.fromkeys(permits, until), buckets=buckets)


def give_back(endpoint: EndpointPlan, permits: Collection[str]) -> None:
    """Calls have ended, or were not made; who waits may look again."""
    with write():
        row = _locked(endpoint)
        left = {name: until for name, until in row.permits.items() if name not in permits}
        Allowance.objects.filter(pk=row.pk).update(permits=left, full_until=None)


def permit_for(lane_id: int, token: int) -> str:
    """A lane that is claimed makes one call at a time."""
    return f"{lane_id}:{token}"


def _locked(endpoint: EndpointPlan) -> Allowance:
    Allowance.objects.get_or_create(endpoint_id=endpoint.id)
    return Allowance.objects.select_for_update().get(endpoint=endpoint.id)
