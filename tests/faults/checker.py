"""What was acknowledged, what arrived, what the results say: do they fit together? Pure."""

from collections import defaultdict
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field

AROUND = 1.0  # seconds: a fault shows its effects a little before (in flight) and after (still on the way)


@dataclass(frozen=True, slots=True)
class Acknowledged:
    """A message that a sender was told is accepted (202) or done (a synchronous answer)."""

    lane: str
    number: int
    pattern: str
    correlation_id: str


@dataclass(frozen=True, slots=True)
class Arrival:
    """A request at the destination. `confirmed`: it was answered 200 in time. `sender` is a process id."""

    lane: str
    number: int
    key: str
    at: float
    confirmed: bool
    sender: int = 0


@dataclass(frozen=True, slots=True)
class Fault:
    """`until` is when a stopped process went on, and for a death the moment by which it was noticed.

    `hit` are the processes whose work it disturbed, None for all of them: the database, or what it was waiting for.
    """

    kind: str
    at: float
    until: float
    hit: frozenset[int] | None = None

    def disturbed(self, sender: int, begin: float, end: float) -> bool:
        return (self.hit is None or sender in self.hit) and self.at <= end and self.until >= begin


@dataclass(slots=True)
class Report:
    """Numbers for the table, and every violation in words. Nothing is proved unless `violations` is empty."""

    acknowledged: int = 0
    arrivals: int = 0
    repeats: int = 0
    lost: int = 0
    unexpected: int = 0
    out_of_order: int = 0
    not_final: int = 0
    unexplained: int = 0
    violations: list[str] = field(default_factory=list)


def check(
    acknowledged: Sequence[Acknowledged],
    arrivals: Sequence[Arrival],
    results: dict[str, str],
    faults: Sequence[Fault],
    *,
    skipping: Collection[str] = (),
    operated: Collection[str] = (),
) -> Report:
    """`results`: the status by correlation id. Sync messages may end as failed; their callers have been told.

    So may those of lanes `skipping`, which go on behind what was refused. What a person has `operated` on, by
    correlation id, may end as cancelled, and has lost its place.
    """
    report = Report(acknowledged=len(acknowledged), arrivals=len(arrivals))
    by_message: defaultdict[tuple[str, int], list[Arrival]] = defaultdict(list)
    for arrival in sorted(arrivals, key=lambda one: one.at):
        by_message[arrival.lane, arrival.number].append(arrival)
    _check_ends(report, acknowledged, by_message, results, set(skipping), set(operated))
    known = {(one.lane, one.number) for one in acknowledged}
    for name in by_message.keys() - known:
        report.unexpected += 1
        report.violations.append(f"{name} arrived, but was never acknowledged.")
    kept_their_places = [one for one in acknowledged if one.correlation_id not in operated]
    _check_order(report, kept_their_places, by_message)
    _check_repeats(report, by_message, faults)
    return report


def _check_ends(
    report: Report,
    acknowledged: Sequence[Acknowledged],
    by_message: dict[tuple[str, int], list[Arrival]],
    results: dict[str, str],
    skipping: set[str],
    operated: set[str],
) -> None:
    ids: set[str] = set()
    for one in acknowledged:
        name, status = (one.lane, one.number), results.get(one.correlation_id, "unknown")
        if one.correlation_id in ids:
            report.violations.append(f"{name} has the correlation id of another message.")
        ids.add(one.correlation_id)
        ends = {"succeeded", "failed"} if one.pattern == "sync" or one.lane in skipping else {"succeeded"}
        ends |= {"cancelled"} if one.correlation_id in operated else set()
        if status not in ends:
            report.not_final += 1
            report.violations.append(f"{name} ({one.pattern}) is {status} in the end.")
        if status == "succeeded" and not any(arrival.confirmed for arrival in by_message.get(name, [])):
            report.lost += 1
            report.violations.append(f"{name} is said to have succeeded, but the destination never confirmed it.")
        if status not in ("succeeded", "failed", "cancelled") and name not in by_message:
            report.lost += 1


def _check_order(
    report: Report,
    acknowledged: Sequence[Acknowledged],
    by_message: dict[tuple[str, int], list[Arrival]],
) -> None:
    """A message is first sent after the one before it was confirmed; one that failed has had its last turn by then."""
    lanes: defaultdict[str, list[Acknowledged]] = defaultdict(list)
    for one in acknowledged:
        lanes[one.lane].append(one)
    for messages in lanes.values():
        before: Arrival | None = None
        for one in sorted(messages, key=lambda message: message.number):
            arrived = by_message.get((one.lane, one.number), [])
            if not arrived:
                continue
            if before is not None and arrived[0].at < before.at:
                report.out_of_order += 1
                report.violations.append(f"{(one.lane, one.number)} overtook number {before.number}.")
            confirmed = [arrival for arrival in arrived if arrival.confirmed]
            before = confirmed[0] if confirmed else arrived[0]


def _check_repeats(report: Report, by_message: dict[tuple[str, int], list[Arrival]], faults: Sequence[Fault]) -> None:
    """After a confirmation a message is sent again only if a fault kept its sender from recording it.

    Or if the second sender was stopped with the message in hand, lost its lane, and went on in the midst of sending.
    """
    for name, arrived in by_message.items():
        if len({arrival.key for arrival in arrived}) > 1:
            report.violations.append(f"{name} came with different idempotency keys.")
        confirmed: Arrival | None = None
        for arrival in arrived:
            if confirmed is not None:
                report.repeats += 1
                if not _is_explained(confirmed, arrival, faults):
                    report.unexplained += 1
                    report.violations.append(
                        f"{name} was sent again {arrival.at - confirmed.at:.1f} s later, unasked: first by process "
                        f"{confirmed.sender} at {confirmed.at:.1f}, then by {arrival.sender}."
                    )
            if arrival.confirmed:
                confirmed = arrival


def _is_explained(confirmed: Arrival, again: Arrival, faults: Sequence[Fault]) -> bool:
    begin, end = confirmed.at - AROUND, again.at + AROUND
    return any(fault.disturbed(confirmed.sender, begin, end) for fault in faults) or any(
        fault.disturbed(again.sender, begin, end) for fault in faults if fault.kind.startswith("stop")
    )
