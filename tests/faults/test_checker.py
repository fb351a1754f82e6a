"""The checker finds what it is there to find."""

from typing import Any

import pytest

from tests.faults.checker import Acknowledged, Arrival, Fault, check

ACKNOWLEDGED = [Acknowledged("A", 1, "async", "id-1"), Acknowledged("A", 2, "async", "id-2")]
ARRIVALS = [Arrival("A", 1, "A-1", 10.0, True), Arrival("A", 2, "A-2", 11.0, True)]
RESULTS = {"id-1": "succeeded", "id-2": "succeeded"}


def arrival(number: int, at: float, **details: Any) -> Arrival:
    given = {"lane": "A", "key": f"A-{number}", "confirmed": True, **details}
    return Arrival(number=number, at=at, **given)


def test_what_fits_together_is_no_violation() -> None:
    retried = [arrival(1, 9.0, confirmed=False), *ARRIVALS]

    report = check(ACKNOWLEDGED, retried, RESULTS, [])

    assert report.violations == []
    assert (report.acknowledged, report.arrivals, report.repeats) == (2, 3, 0)


@pytest.mark.parametrize(
    ("arrivals", "results", "name"),
    [
        (ARRIVALS[:1], RESULTS, "lost"),
        ([arrival(1, 10.0, confirmed=False), ARRIVALS[1]], RESULTS, "lost"),
        ([*ARRIVALS, arrival(3, 12.0)], RESULTS, "unexpected"),
        ([arrival(1, 12.0), arrival(2, 11.0)], RESULTS, "out_of_order"),
        ([arrival(1, 9.0, confirmed=False), arrival(1, 12.0), arrival(2, 11.0)], RESULTS, "out_of_order"),
        (ARRIVALS, {"id-1": "succeeded", "id-2": "queued"}, "not_final"),
        (ARRIVALS, {"id-1": "succeeded", "id-2": "failed"}, "not_final"),
        (ARRIVALS, {"id-1": "succeeded"}, "not_final"),
        ([*ARRIVALS, arrival(1, 12.0)], RESULTS, "unexplained"),
    ],
)
def test_violation_is_found_and_counted(arrivals: list[Arrival], results: dict[str, str], name: str) -> None:
    report = check(ACKNOWLEDGED, arrivals, results, [])

    assert report.violations
    assert getattr(report, name) == 1


@pytest.mark.parametrize(
    ("fault", "explained"),
    [
        (Fault("database", 12.0, 12.0), True),  # it hits everybody
        (Fault("death", 12.0, 12.0, frozenset({7})), True),  # it had been confirmed to this process
        (Fault("stop worker", 9.0, 13.0, frozenset({7})), True),
        (Fault("stop worker", 9.0, 13.0, frozenset({8})), True),  # the second sender, in the midst of sending
        (Fault("death", 12.0, 12.0, frozenset({8})), False),  # the second sender: why did it send at all?
        (Fault("death", 12.0, 12.0, frozenset({9})), False),  # somebody else
        (Fault("death", 17.0, 17.0, frozenset({7})), False),  # later
        (Fault("stop worker", 2.0, 6.0, frozenset({7})), False),  # long before
    ],
)
def test_repeat_is_explained_by_a_fault_of_whoever_sent_it(fault: Fault, explained: bool) -> None:
    sent = [ARRIVALS[0], arrival(2, 11.0, sender=7), arrival(2, 14.0, sender=8)]

    report = check(ACKNOWLEDGED, sent, RESULTS, [fault])

    assert (report.repeats, report.unexplained, report.violations == []) == (1, int(not explained), explained)


def test_repeat_with_another_key_is_a_violation() -> None:
    repeated = [*ARRIVALS, arrival(2, 14.0, key="another")]

    assert check(ACKNOWLEDGED, repeated, RESULTS, [Fault("worker", 12.0, 12.0)]).violations


def test_sync_message_may_have_failed() -> None:
    acknowledged = [Acknowledged("A", 1, "sync", "id-1")]
    arrivals = [arrival(1, 10.0, confirmed=False)]

    assert check(acknowledged, arrivals, {"id-1": "failed"}, []).violations == []


def test_what_a_person_operated_on_may_be_cancelled_and_lose_its_place() -> None:
    arrivals = [arrival(1, 12.0), arrival(2, 11.0)]
    assert check(ACKNOWLEDGED, arrivals, RESULTS, []).out_of_order == 1

    moved = check(ACKNOWLEDGED, arrivals, RESULTS, [], operated={"id-1"})
    cancelled = check(ACKNOWLEDGED, ARRIVALS[:1], {**RESULTS, "id-2": "cancelled"}, [], operated={"id-2"})

    assert (moved.violations, cancelled.violations) == ([], [])
    assert check(ACKNOWLEDGED, ARRIVALS[:1], {**RESULTS, "id-2": "cancelled"}, []).not_final == 1


def test_lane_that_skips_goes_on_behind_what_failed() -> None:
    refused = [arrival(1, 10.0, confirmed=False), ARRIVALS[1]]
    results = {"id-1": "failed", "id-2": "succeeded"}

    assert check(ACKNOWLEDGED, refused, results, [], skipping={"A"}).violations == []
    assert check(ACKNOWLEDGED, refused, results, []).not_final == 1
