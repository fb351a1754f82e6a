"""The transitions of circuits, each one guarded update of one row, so that exactly one process makes it.

    closed ──► open        `count`: too many calls of the window failed
    open ──► half-open     `take_probe`: the time has come, and one caller may try; again when it was not heard of
    half-open ──► closed   `settle`: the destination answered
    half-open ──► open     `settle`: it did not, or nothing was sent
    any ──► closed         `close`: a person said so; `switch_off`: the endpoint has no circuit breaker any more

Times are the database's.
"""

import logging
from collections.abc import Sequence
from datetime import timedelta

from django.db.models import F, QuerySet

from connectors.catalogue import EndpointPlan
from messages import windows
from messages.choices import CircuitState
from messages.database import clock, clock_reading, storable, write
from messages.models import Circuit
from messages.windows import Counted

log = logging.getLogger(__name__)

PROBE_MARGIN_SECONDS = 15.0  # beyond the endpoint's time-out: mapping, waiting for a thread, recording
MAX_REASON = 500


def count(
    endpoint: EndpointPlan, counted: Sequence[Counted], *, last_failure: str, retry_after: float | None = None
) -> bool:
    """Adds calls to the window; True if they opened the circuit. What comes while it is not closed is ignored.

    `retry_after`: for so many seconds the destination asked not to be called.
    """
    policy = endpoint.circuit
    with write():
        now = clock_reading()
        Circuit.objects.get_or_create(endpoint_id=endpoint.id)
        row = Circuit.objects.select_for_update().get(endpoint=endpoint.id)
        if row.state != CircuitState.CLOSED:
            return False
        moment = now.timestamp()
        if row.since is not None:  # a process that was told late still knows of failures from before it closed
            counted = [one for one in counted if moment - one[0] >= row.since.timestamp()]
        row.buckets = windows.add(row.buckets, counted, now=moment, seconds=policy.window_seconds)
        calls, failures = windows.totals(row.buckets, now=moment, seconds=policy.window_seconds)
        if not policy.trips(calls, failures):
            Circuit.objects.filter(pk=row.pk).update(buckets=row.buckets)
            return False
        reason = f"{failures} of {calls} calls failed within {policy.window_seconds:g} s; the last one: {last_failure}"
        Circuit.objects.filter(pk=row.pk).update(
            state=CircuitState.OPEN,
            since=now,
            retry_at=now + timedelta(seconds=policy.wait(retry_after)),
            reason=storable(reason)[:MAX_REASON],
            buckets=[],
        )
    log.warning("The circuit of endpoint %s opened: %s", endpoint.slug, reason)
    return True


def take_probe(endpoint: EndpointPlan) -> int | None:
    """The number of the one call that may be tried now, or None: it is too early, or somebody else has it."""
    lost_after = timedelta(seconds=endpoint.timeout_seconds + PROBE_MARGIN_SECONDS)
    with write():
        ready = Circuit.objects.filter(endpoint=endpoint.id, retry_at__lte=clock())
        if not ready.update(state=CircuitState.HALF_OPEN, probe=F("probe") + 1, retry_at=clock() + lost_after):
            return None
        return Circuit.objects.values_list("probe", flat=True).get(endpoint=endpoint.id)


def settle(
    endpoint: EndpointPlan, probe: int, *, healthy: bool | None, detail: str = "", retry_after: float | None = None
) -> bool:
    """What came of a probe: it closes the circuit, or opens it again. None: nothing was sent, the next may try at once.

    `retry_after` as in `count`. False if it is not the newest probe any more, or a person has closed the circuit.
    """
    mine = Circuit.objects.filter(endpoint=endpoint.id, state=CircuitState.HALF_OPEN, probe=probe)
    if healthy:
        closed = _closed(mine)
        if closed:
            log.warning("The circuit of endpoint %s closed: the destination answers again.", endpoint.slug)
        return closed
    wait = timedelta(seconds=0 if healthy is None else endpoint.circuit.wait(retry_after))
    changed = {} if healthy is None else {"reason": storable(f"The try failed: {detail}")[:MAX_REASON]}
    with write():
        done = mine.update(state=CircuitState.OPEN, retry_at=clock() + wait, **changed)
    if done and healthy is False:
        log.info("The circuit of endpoint %s stays open: %s", endpoint.slug, detail)
    return bool(done)


def close(circuit: Circuit) -> bool:
    """A person lets the calls flow again; False if they do."""
    done = _closed(Circuit.objects.filter(pk=circuit.pk).exclude(state=CircuitState.CLOSED))
    if done:
        log.warning("The circuit of endpoint %s was closed by a person.", circuit.endpoint.slug)
    return done


def switch_off(endpoint_id: int) -> bool:
    """Of an endpoint whose circuit breaker was switched off while it was open: its calls flow. False if they do."""
    off = Circuit.objects.filter(endpoint=endpoint_id, endpoint__circuit_enabled=False)
    done = _closed(off.exclude(state=CircuitState.CLOSED))
    if done:
        slug = Circuit.objects.values_list("endpoint__slug", flat=True).get(endpoint=endpoint_id)
        log.warning("The circuit of endpoint %s closed: its circuit breaker was switched off.", slug)
    return done


def _closed(rows: QuerySet[Circuit]) -> bool:
    """Closes the one circuit of `rows`, if there is one."""
    with write():
        return bool(rows.update(state=CircuitState.CLOSED, since=clock(), retry_at=None, reason="", buckets=[]))
