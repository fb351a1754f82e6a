"""A short run on each database, every named point passed; and one without the fence, which has to fail."""

import pytest

from tests.faults.apps import POINTS
from tests.faults.run import Plan, run, table

pytestmark = [pytest.mark.processes, pytest.mark.timeout(400)]


@pytest.mark.parametrize("database", ["sqlite", pytest.param("postgresql", marks=pytest.mark.postgresql)])
def test_nothing_is_lost_doubled_or_overtaken(database: str) -> None:
    outcome = run(database, Plan(seconds=12, seed=4711, points=POINTS, at_least=60))

    print(table(outcome, 4711), outcome.counted)  # shown where the test fails
    assert outcome.violations == [], outcome.log
    assert {f"point: {point}" for point in POINTS} <= set(outcome.counted)
    assert outcome.report.acknowledged > 50


def test_without_the_fence_the_proof_fails() -> None:
    """Workers that sleep through their lease and go on as if nothing had happened: the checker has to see it.

    A single run shows it about eight times in nine: a worker has to be stopped with a call in hand.
    """
    assert any(_shows_violations_without_the_fence(seed) for seed in (4711, 4712, 4713))


def _shows_violations_without_the_fence(seed: int) -> bool:
    plan = Plan(
        7, seed, lanes=3, operator=False, delay_seconds=0.3, fence=False, stops_only=True, points=(), every=(0.3, 0.5),
        give_up_draining_after=8,
    )  # fmt: skip
    return bool(run("sqlite", plan).report.violations)
