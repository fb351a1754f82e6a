"""How many messages an application may push in a minute, over all web processes.

The generic cell rate algorithm: one number of each application, the moment until which its allowance is spent. A
request moves it by a `requests_per_minute`-th of a minute, and is refused where that would lead further than a minute
ahead. So a burst of a whole minute's requests passes after a pause, none passes twice at a minute's turn, and taking
one is a single statement on one row.
"""

import math
import time
from collections.abc import Mapping
from dataclasses import dataclass

from django.db import connection

from messages.database import write
from messages.problems import Problem

WINDOW_SECONDS = 60.0
SLACK_SECONDS = 1.0
"""What is spent further ahead than a window and this was written by a clock that has been put back since."""

_closed: dict[tuple[int, int], float] = {}
"""Until when (monotonic) this process refuses an application under a limit without asking the database again."""


@dataclass(frozen=True, slots=True)
class Allowance:
    """What is left: `remaining` requests now, and `reset_seconds` until all of `limit` are there again; where none
    remains, until there is one."""

    limit: int
    remaining: int
    reset_seconds: float

    def headers(self) -> dict[str, str]:
        """RateLimit header fields, as the IETF's draft has them (draft-ietf-httpapi-ratelimit-headers)."""
        return {
            "RateLimit-Policy": f'"requests";q={self.limit};w={WINDOW_SECONDS:.0f}',
            "RateLimit": f'"requests";r={self.remaining};t={math.ceil(self.reset_seconds)}',
        }


def spend(application_id: int, limit: int | None) -> Mapping[str, str]:
    """Takes one request from the allowance; the headers that tell what is left, none without a limit.

    Raises the 429 problem when nothing is left.
    """
    if limit is None:
        return {}
    wait = _closed.get((application_id, limit), 0.0) - time.monotonic()
    if wait > 0:
        raise _refusal(limit, wait)
    taken = _take(application_id, limit)
    if taken is not None:
        ahead = min(max(taken, 0.0), WINDOW_SECONDS)
        remaining = int((WINDOW_SECONDS - ahead) * limit / WINDOW_SECONDS + 1e-6)
        return Allowance(limit, remaining, ahead if remaining else _until_next(ahead, limit)).headers()
    wait = _until_next(_ahead(application_id), limit)
    _closed[application_id, limit] = time.monotonic() + wait
    raise _refusal(limit, wait)


def clear() -> None:
    """Forgets who was refused; for tests that replace the database under a process."""
    _closed.clear()


def _until_next(ahead: float, limit: int) -> float:
    """Seconds until another request fits into the window, of which `ahead` seconds are spent."""
    return max(0.001, ahead - (WINDOW_SECONDS - WINDOW_SECONDS / limit))


def _refusal(limit: int, wait: float) -> Problem:
    headers = {"Retry-After": str(math.ceil(wait)), **Allowance(limit, 0, wait).headers()}
    return Problem("rate-limited", f"This application may push {limit} messages in a minute.", headers=headers)


def _take(application_id: int, limit: int) -> float | None:
    """Seconds that are spent ahead of now, this request included; None if the minute is full."""
    now_sql, now = _clock()
    step = WINDOW_SECONDS / limit
    values = {
        **now,
        "application": application_id,
        "step": step,
        "full": WINDOW_SECONDS - step + 1e-6,
        "impossible": WINDOW_SECONDS + SLACK_SECONDS,
    }
    counts = f"spent_until > {now_sql} AND spent_until <= {now_sql} + %(impossible)s"
    with write(), connection.cursor() as cursor:
        cursor.execute(
            f"""
            UPDATE connectors_application
            SET spent_until = CASE WHEN {counts} THEN spent_until ELSE {now_sql} END + %(step)s
            WHERE id = %(application)s AND NOT ({counts} AND spent_until > {now_sql} + %(full)s)
            RETURNING spent_until - {now_sql}
            """,  # noqa: S608 - the pieces are constants of this module
            values,
        )
        row = cursor.fetchone()
    return None if row is None else float(row[0])


def _ahead(application_id: int) -> float:
    now_sql, now = _clock()
    with connection.cursor() as cursor:
        cursor.execute(
            f"SELECT spent_until - {now_sql} FROM connectors_application WHERE id = %(application)s",  # noqa: S608
            {**now, "application": application_id},
        )
        row = cursor.fetchone()
    return float(row[0]) if row else 0.0


def _clock() -> tuple[str, dict[str, float]]:
    """The present in Unix seconds: the server's clock where several machines share the database."""
    if connection.vendor == "postgresql":
        return "extract(epoch FROM statement_timestamp())::double precision", {}
    return "%(now)s", {"now": time.time()}
