"""Keeps evidence of requests that were refused at the door."""

import logging
import threading
import time

from django.db import DatabaseError, InterfaceError
from django.http import HttpRequest
from django.utils import timezone

from connectors.catalogue import RoutePlan
from messages.addresses import client_address
from messages.database import write
from messages.models import Rejection
from messages.problems import Problem

log = logging.getLogger(__name__)

PER_MINUTE = 120  # of each process; `tasks.trim_rejections` keeps the total small
KEPT_BYTES = 16 * 1024
MAX_SIZE = 2**63 - 1  # what a caller announces may be any number; the column takes this one


class Budget:
    """How many rejections this process may still keep in the running minute."""

    def __init__(self, per_minute: int) -> None:
        self._per_minute = per_minute
        self._lock = threading.Lock()
        self._minute = 0
        self._spent = 0

    def spend(self) -> bool:
        with self._lock:
            minute = int(time.monotonic() // 60)
            if minute != self._minute:
                self._minute, self._spent = minute, 0
            self._spent += 1
            return self._spent <= self._per_minute


class OncePerMinute:
    """Who was noted in the running minute already."""

    def __init__(self) -> None:
        self._minutes: dict[int, int] = {}

    def is_first(self, key: int) -> bool:
        minute = int(time.monotonic() // 60)
        seen, self._minutes[key] = self._minutes.get(key), minute
        return seen != minute

    def clear(self) -> None:
        self._minutes.clear()


budget = Budget(PER_MINUTE)
refusals = OncePerMinute()
"""Of each application one refusal for its rate is evidence enough: the others say the same."""


def reject(http: HttpRequest, plan: RoutePlan | None, problem: Problem) -> None:
    """Keeps one refused request. Bodies only of callers who proved who they are; a failure here changes no answer."""
    if problem.status >= 500:
        return
    if plan is not None and problem.slug == "rate-limited" and not refusals.is_first(plan.source_id):
        return
    if not budget.spend():
        return
    body = getattr(http, "refused_body", b"") if getattr(http, "caller_is_known", False) else b""
    announced = http.META.get("CONTENT_LENGTH") or ""
    try:
        with write():
            Rejection.objects.create(
                route_id=plan.id if plan else None,
                reason=problem.slug,
                status_code=problem.status,
                detail=_told_and_known(problem).replace("\0", "\N{REPLACEMENT CHARACTER}"),
                remote_address=client_address(http),
                content_type=http.headers.get("Content-Type", "")[:255],
                size=len(body) or (min(int(announced), MAX_SIZE) if announced.isdecimal() else None),
                body=body[:KEPT_BYTES] or None,
                created_at=timezone.now(),
            )
    except (DatabaseError, InterfaceError):
        log.exception("A rejection could not be kept.")


def _told_and_known(problem: Problem) -> str:
    places = [f"{error['path']}: {error['message']}" for error in problem.extra.get("errors", []) if "path" in error]
    return "\n".join(filter(None, [problem.detail, *places, problem.evidence]))
