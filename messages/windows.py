"""Counts over a sliding window, in coarse buckets that are kept as JSON. Pure.

A bucket is [begin, calls, failures]; `begin` is in seconds since the epoch, on the database's clock. A bucket counts
until its begin has left the window.
"""

from collections.abc import Iterable

BUCKETS = 10  # of a window: what is forgotten at once is a tenth of it

Bucket = list[float]
Counted = tuple[float, int, int]  # how many seconds ago, calls, failures


def add(buckets: Iterable[Bucket], counted: Iterable[Counted], *, now: float, seconds: float) -> list[Bucket]:
    """The buckets of a window of `seconds` that ends `now`, with what was counted; oldest first."""
    width = seconds / BUCKETS
    found = {begin: [calls, failures] for begin, calls, failures in buckets if _counts(begin, now, seconds)}
    for age, calls, failures in counted:
        begin = (now - age) // width * width
        if _counts(begin, now, seconds):
            bucket = found.setdefault(begin, [0, 0])
            bucket[0] += calls
            bucket[1] += failures
    return [[begin, *found[begin]] for begin in sorted(found)]


def totals(buckets: Iterable[Bucket], *, now: float, seconds: float) -> tuple[int, int]:
    """Calls and failures of the window of `seconds` that ends `now`."""
    alive = [bucket for bucket in buckets if _counts(bucket[0], now, seconds)]
    return int(sum(bucket[1] for bucket in alive)), int(sum(bucket[2] for bucket in alive))


def _counts(begin: float, now: float, seconds: float) -> bool:
    return begin > now - seconds
