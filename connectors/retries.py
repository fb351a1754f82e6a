"""When an attempt is made again. Pure: what came out and how often we tried go in, a decision comes out."""

import math
import random
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from enum import StrEnum
from typing import Any

JITTER = 0.2
_STATUS = re.compile(r"[2-5]([0-9]{2}|xx)\Z")
PASSING_STATUSES = frozenset({408, 425, 429})  # of the 4xx; RFC 9110 15.5.9, RFC 8470, RFC 6585


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """Attempts in all, and the delays between them in seconds: first, first times factor, … up to the maximum."""

    max_attempts: int
    first_delay_seconds: float
    factor: float
    max_delay_seconds: float

    def __post_init__(self) -> None:
        delays = (self.first_delay_seconds, self.max_delay_seconds)
        finite = all(math.isfinite(number) for number in (*delays, self.factor))
        if not finite or self.max_attempts < 1 or self.factor < 1 or min(delays) < 0:
            raise ValueError("A retry policy has at least one attempt, no negative delay and a factor of at least 1.")


class Meaning(StrEnum):
    """What a status says about the message."""

    SUCCESS = "success"  # the destination has it
    PASSING = "passing"  # the same request may well succeed later
    PERMANENT = "permanent"  # it never will


@dataclass(frozen=True, slots=True)
class Statuses:
    """What a route's destination means by a status where it is not the usual; a number is stronger than a class."""

    exact: Mapping[int, Meaning] = field(default_factory=dict)
    classes: Mapping[int, Meaning] = field(default_factory=dict)

    def meaning(self, status_code: int) -> Meaning:
        said = self.exact.get(status_code) or self.classes.get(status_code // 100)
        if said is not None:
            return said
        if is_success(status_code):
            return Meaning.SUCCESS
        return Meaning.PASSING if is_passing(status_code) else Meaning.PERMANENT


def compile_statuses(given: Any) -> Statuses:
    """From `{"success": [409], "passing": [404], "permanent": ["5xx"]}`. Raises ValueError with a sentence."""
    exact: dict[int, Meaning] = {}
    classes: dict[int, Meaning] = {}
    if not isinstance(given, dict) or not all(name in list(Meaning) for name in given):
        raise ValueError("It is an object with the keys success, passing and permanent.")
    for name, statuses in given.items():
        if not isinstance(statuses, list):
            raise ValueError(f"{name}: it is a list of statuses such as 409 or 5xx.")
        for status in statuses:
            match = _STATUS.match(str(status)) if isinstance(status, int | str) else None
            if match is None:
                raise ValueError(f"{name}: {status!r} is no status from 200 to 599 and no class such as 5xx.")
            table, number = (classes, int(match[0][0])) if match[1] == "xx" else (exact, int(match[0]))
            if table.setdefault(number, Meaning(name)) != name:
                raise ValueError(f"{name}: {status} is in two lists.")
    return Statuses(exact, classes)


def is_success(status_code: int) -> bool:
    return 200 <= status_code < 300


def is_passing(status_code: int) -> bool:
    """Whether the same request may well succeed later. Redirects are never followed, so a 3xx is permanent."""
    return status_code >= 500 or status_code in PASSING_STATUSES


def delay_before_next(
    policy: RetryPolicy,
    attempts: int,
    *,
    retry_after: float | None = None,
    uniform: Callable[[float, float], float] = random.uniform,
) -> float | None:
    """Seconds until the attempt after `attempts` (≥ 1) failed ones, or None when they are used up.

    What the destination asked for by Retry-After is waited for, up to the policy's maximum; jitter keeps messages
    that failed together from coming back together.
    """
    if attempts >= policy.max_attempts:
        return None
    try:
        delay = policy.first_delay_seconds * policy.factor ** (attempts - 1)
    except OverflowError:
        delay = policy.max_delay_seconds
    delay = min(delay, policy.max_delay_seconds)
    if delay > 0:  # the maximum holds with jitter, too, and what has reached it does not meet there
        delay *= uniform(1 - JITTER, min(1 + JITTER, policy.max_delay_seconds / delay))
    if retry_after is not None:
        delay = max(delay, min(retry_after, policy.max_delay_seconds))
    return delay


def parse_retry_after(value: str, now: datetime) -> float | None:
    """Seconds from a Retry-After header (RFC 9110, section 10.2.3), or None if it says nothing usable."""
    text = value.strip()
    if text.isascii() and text.isdigit():
        return float(text[:10])
    try:
        moment = parsedate_to_datetime(text)
    except (ValueError, TypeError, IndexError, OverflowError):
        return None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return max(0.0, (moment - now).total_seconds())
