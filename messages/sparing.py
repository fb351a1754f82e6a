"""Claims lanes of endpoints that are spared: one if a circuit is to be tried, else as many as the limits allow.

Each claim is good for one message: then its lane goes to the back of the queue, and its permit to whoever is next.
"""

from collections.abc import Collection, Mapping

from connectors.catalogue import EndpointPlan
from messages import circuits, lanes, limits
from messages.claims import Claim
from messages.database import clock, lease_clock, write
from messages.lanes import MAX_STRIKES, SUSPECT_STRIKES
from messages.models import Lane
from messages.outcomes import Policy


def waiting(endpoints: Collection[int]) -> set[int]:
    """Those of `endpoints` that have a due lane."""
    if not endpoints:
        return set()
    due = Lane.objects.due(clock()).filter(route__endpoint__in=endpoints)
    return set(due.order_by().values_list("route__endpoint", flat=True).distinct())


def claim(
    endpoint: EndpointPlan,
    count: int,
    *,
    probes: bool,
    lease_seconds: float,
    owner: str,
    policies: Mapping[int, Policy],
    alone: bool,
    overdue: bool = False,
) -> list[Claim]:
    """Takes up to `count` due lanes of one endpoint; with `probes` one, if nobody else tries the endpoint.

    `alone` says that the caller holds none: only then it may get one that has to run alone, if no other is due. With
    `overdue` nothing but such a one, which has been waiting too long.
    """
    before = lease_clock()
    with write():
        room = limits.room(endpoint, 1 if probes else count)
        if not room:
            return []
        due = Lane.objects.due(clock()).filter(route__endpoint=endpoint.id)
        if not probes:
            due = due.filter(route__endpoint__circuit__retry_at=None)
        if not alone:
            due = due.filter(strikes__lt=SUSPECT_STRIKES)
        if overdue:
            due = due.filter(**lanes.overdue_suspect(clock()))
        found = list(lanes.free(due).order_by("strikes", "due_at")[:room])
        if found and found[0].strikes >= MAX_STRIKES:
            lanes.declare_crashed(found[0], policies)
            return []
        found = [lane for lane in found if lane.strikes < SUSPECT_STRIKES] or found[:1]
        probe = circuits.take_probe(endpoint) if probes and found else None
        if not found or (probes and probe is None):
            return []
        taken = lanes.lease(found, lease_seconds=lease_seconds, owner=owner, before=before)
        grant(endpoint, taken, before=before)
    for one in taken:
        one.probe = probe
    return taken


def grant(endpoint: EndpointPlan, taken: Collection[Claim], *, before: float) -> None:
    """Gives claims their permits, where the endpoint has limits; in the transaction that claimed the lanes."""
    if not endpoint.limits:
        return
    for one in taken:
        one.permit = limits.permit_for(one.lane_id, one.token)
        one.send_by = before + limits.START_SECONDS
    limits.grant(endpoint, [one.permit for one in taken])
