"""Counts over a sliding window: what is in it, what has left it, and what arrives late."""

import pytest

from messages import windows
from messages.windows import Bucket, Counted

NOW = 1000.0
SECONDS = 10.0  # ten buckets of one second


@pytest.mark.parametrize(
    ("buckets", "counted", "expected"),
    [
        ([], [], []),
        ([], [(0.0, 3, 1)], [[1000.0, 3, 1]]),
        ([[1000.0, 3, 1]], [(0.0, 2, 2)], [[1000.0, 5, 3]]),  # the same bucket
        ([[995.0, 3, 1]], [(2.5, 1, 0)], [[995.0, 3, 1], [997.0, 1, 0]]),  # told late, counted when it was
        ([[990.0, 9, 9]], [(0.0, 1, 0)], [[1000.0, 1, 0]]),  # has left the window
        ([[991.0, 9, 9]], [], [[991.0, 9, 9]]),  # has not
        ([], [(60.0, 9, 9)], []),  # told too late
    ],
)
def test_buckets(buckets: list[Bucket], counted: list[Counted], expected: list[Bucket]) -> None:
    found = windows.add(buckets, counted, now=NOW, seconds=SECONDS)

    assert found == expected
    assert windows.totals(found, now=NOW, seconds=SECONDS) == (
        sum(bucket[1] for bucket in expected),
        sum(bucket[2] for bucket in expected),
    )


def test_totals_leave_out_what_is_too_old() -> None:
    assert windows.totals([[989.0, 5, 5], [999.0, 2, 1]], now=NOW, seconds=SECONDS) == (2, 1)
