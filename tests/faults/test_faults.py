"""A short run on each database, every named point passed; and one without the fence, which has to fail."""

import pytest

from tests.faults.apps import POINTS
from tests.faults.run import CLOSED, OPENED, TOLD, TRIED, Plan, run, table

pytestmark = [pytest.mark.processes, pytest.mark.timeout(400)]
each_database = pytest.mark.parametrize(
    "database", ["sqlite", pytest.param("postgresql", marks=pytest.mark.postgresql)]
)


@each_database
def test_nothing_is_lost_doubled_or_overtaken(database: str) -> None:
    outcome = run(database, Plan(seconds=12, seed=4711, points=POINTS, at_least=60))

    print(table(outcome, 4711), outcome.counted)  # shown where the test fails
    assert outcome.violations == [], outcome.log
    assert {f"point: {point}" for point in POINTS} <= set(outcome.counted)
    assert outcome.report.acknowledged > 50
    assert all(outcome.counted[name] for name in (OPENED, TRIED, CLOSED, TOLD))


@each_database
def test_without_the_fence_the_proof_fails(database: str) -> None:
    """Workers that sleep through their lease and go on as if nothing had happened: the checker has to see it.

    What has not come to its end shows nothing: it is counted only what was sent again unasked, or before its turn.
    """
    plan = Plan(
        60, 4711, senders=4, lanes=1, shaky=0, sync_share=0.0, operator=False, delay_seconds=0.3, pause_seconds=0.1,
        fence=False, until_seen=True, points=(), every=(0.3, 0.5),
    )  # fmt: skip

    outcome = run(database, plan)

    print(table(outcome, 4711), outcome.counted)
    assert outcome.report.out_of_order + outcome.report.unexplained > 0, outcome.log
