import pytest
from django.utils import timezone

from connectors.retries import RetryPolicy
from messages.choices import OutcomeKind, Status
from messages.outcomes import Outcome, Policy, Verdict, judge

RETRY = RetryPolicy(max_attempts=3, first_delay_seconds=10, factor=2, max_delay_seconds=15)
OK, REFUSED, FAILED = OutcomeKind.SUCCEEDED, OutcomeKind.REFUSED, OutcomeKind.FAILED
MAPPING, NOT_SENT, CRASHED = OutcomeKind.MAPPING_FAILED, OutcomeKind.NOT_SENT, OutcomeKind.CRASHED


@pytest.mark.parametrize(
    ("kind", "pattern", "retryable", "on_failure", "attempts", "verdict"),
    [
        (OK, "async", True, "block", 1, Verdict(Status.SUCCEEDED)),
        (OK, "sync", False, "block", 1, Verdict(Status.SUCCEEDED)),
        (FAILED, "async", True, "block", 1, Verdict(None, 10)),  # tried again
        (FAILED, "async", True, "block", 2, Verdict(None, 15)),  # 20 s, but at most 15
        (FAILED, "async", True, "block", 3, Verdict(Status.DEAD, blocks=True)),  # used up
        (FAILED, "async", True, "skip", 3, Verdict(Status.DEAD)),  # used up, the lane goes on
        (REFUSED, "async", True, "block", 1, Verdict(Status.DEAD, blocks=True)),  # permanent
        (REFUSED, "async", True, "skip", 1, Verdict(Status.FAILED)),
        (MAPPING, "async", True, "block", 1, Verdict(Status.DEAD, blocks=True)),
        (NOT_SENT, "async", True, "skip", 1, Verdict(Status.FAILED)),
        (CRASHED, "async", True, "block", 1, Verdict(Status.DEAD, blocks=True)),
        (CRASHED, "async", True, "skip", 1, Verdict(Status.DEAD)),
        (FAILED, "sync", False, "block", 1, Verdict(Status.FAILED)),  # the caller is told
        (REFUSED, "sync", False, "block", 1, Verdict(Status.FAILED)),
        (FAILED, "sync", True, "block", 1, Verdict(None, 10)),  # its caller was told "accepted"
        (REFUSED, "sync", True, "block", 1, Verdict(Status.DEAD, blocks=True)),
    ],
)
def test_verdicts(
    kind: OutcomeKind, pattern: str, retryable: bool, on_failure: str, attempts: int, verdict: Verdict
) -> None:
    outcome, policy = Outcome(kind, timezone.now()), Policy(RETRY, on_failure)

    found = judge(
        outcome, policy, attempts=attempts, pattern=pattern, retryable=retryable, uniform=lambda low, high: 1.0
    )

    assert found == verdict


def test_destination_that_asks_for_patience_gets_it_up_to_the_maximum() -> None:
    outcome = Outcome(FAILED, timezone.now(), retry_after=12.0)

    verdict = judge(
        outcome, Policy(RETRY, "block"), attempts=1, pattern="async", retryable=True, uniform=lambda low, high: 1.0
    )

    assert verdict.delay_seconds == 12.0


@pytest.mark.parametrize(
    ("on_unknown", "pattern", "retryable", "on_failure", "verdict"),
    [
        ("retry", "async", True, "block", Verdict(None, 10)),
        ("stop", "async", True, "block", Verdict(Status.DEAD, blocks=True)),
        ("stop", "async", True, "skip", Verdict(Status.FAILED)),
        ("stop", "sync", True, "block", Verdict(Status.DEAD, blocks=True)),  # its caller was told "accepted"
        ("retry", "sync", False, "block", Verdict(Status.FAILED)),  # the caller is told
    ],
)
def test_route_says_what_follows_when_no_answer_came(
    on_unknown: str, pattern: str, retryable: bool, on_failure: str, verdict: Verdict
) -> None:
    outcome, policy = Outcome(OutcomeKind.UNKNOWN, timezone.now()), Policy(RETRY, on_failure, on_unknown)

    found = judge(outcome, policy, attempts=1, pattern=pattern, retryable=retryable, uniform=lambda low, high: 1.0)

    assert found == verdict
