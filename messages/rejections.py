"""Keeps evidence of requests that were refused at the door."""

import logging
import threading
import time
from dataclasses import dataclass

from django.db import DatabaseError, InterfaceError
from django.http import HttpRequest
from django.utils import timezone

from connectors.catalogue import RoutePlan
from messages.addresses import client_address
from messages.database import storable, write
from messages.models import Rejection
from messages.problems import Problem
from messages.request_ids import request_id_of

log = logging.getLogger(__name__)

# Of each process; `tasks.trim_rejections` keeps the total small. Callers who proved who they are have a budget for each
# route, which nobody else can spend; strangers share one, of which no route gets more than a part.
KNOWN_PER_MINUTE = 60
STRANGERS_PER_MINUTE = 20
ALL_STRANGERS_PER_MINUTE = 120
TOLD_EVERY_SECONDS = 1.0
KEPT_BYTES = 16 * 1024
MAX_SIZE = 2**63 - 1  # what a caller announces may be any number; the column takes this one
KEPT_CHARACTERS = 255  # of addresses and of what a caller calls itself

Kind = tuple[int | None, bool]
"""The refusals that share a budget: of a route (None: of no route), by callers who proved who they are, or not."""


@dataclass(slots=True)
class Spent:
    """What a kind has had of the running minute, and the row that tells how many more there were."""

    kept: int = 0
    further: int = 0
    row: int | None = None
    told: int = 0
    told_at: float = 0.0


class Budgets:
    """How many rejections this process may still keep in the running minute, and how many it did not keep."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._minute = 0
        self._strangers = 0
        self._spent: dict[Kind, Spent] = {}
        self._left_to_tell: list[tuple[int, int]] = []

    def spend(self, kind: Kind) -> bool:
        """Takes one; False where nothing is left, which is counted."""
        now = time.monotonic()
        with self._lock:
            self._turn(int(now // 60))
            spent = self._spent.setdefault(kind, Spent())
            if self._has_room(kind, spent):
                spent.kept += 1
                self._strangers += not kind[1]
                return True
            spent.further += 1
            return False

    def kept(self, kind: Kind, row: int) -> None:
        """The newest row of a kind, which tells how many more there were."""
        with self._lock:
            if kind in self._spent:
                self._spent[kind].row = row

    def to_tell(self) -> list[tuple[int, int]]:
        """Rows and how many more there were since they were last told: of a kind once a second at most."""
        now = time.monotonic()
        with self._lock:
            found, self._left_to_tell = self._left_to_tell, []
            for spent in self._spent.values():
                if spent.row is not None and spent.further > spent.told and now - spent.told_at >= TOLD_EVERY_SECONDS:
                    found.append((spent.row, spent.further))
                    spent.told, spent.told_at = spent.further, now
            return found

    def _has_room(self, kind: Kind, spent: Spent) -> bool:
        if kind[1]:
            return spent.kept < KNOWN_PER_MINUTE
        return spent.kept < STRANGERS_PER_MINUTE and self._strangers < ALL_STRANGERS_PER_MINUTE

    def _turn(self, minute: int) -> None:
        if minute == self._minute:
            return
        self._left_to_tell += [
            (spent.row, spent.further)
            for spent in self._spent.values()
            if spent.row is not None and spent.further > spent.told
        ]
        self._minute, self._strangers, self._spent = minute, 0, {}


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


budgets = Budgets()
refusals = OncePerMinute()
"""Of each application one refusal for its rate is evidence enough: the others say the same."""


def reject(http: HttpRequest, plan: RoutePlan | None, problem: Problem) -> None:
    """Keeps one refused request. Bodies only of callers who proved who they are; a failure here changes no answer.

    What is beyond the budget is counted, in the last row that was kept of its kind.
    """
    if problem.status >= 500:
        return
    if plan is not None and problem.slug == "rate-limited" and not refusals.is_first(plan.source_id):
        return
    kind = (plan.id if plan else None, bool(getattr(http, "caller_is_known", False)))
    keeps = budgets.spend(kind)
    more = budgets.to_tell()
    if not keeps and not more:
        return
    try:
        with write():
            if keeps:
                budgets.kept(kind, _keep(http, plan, problem))
            for row, further in more:
                Rejection.objects.filter(pk=row).update(further=further)
    except (DatabaseError, InterfaceError):
        log.exception("A rejection could not be kept.")


def _keep(http: HttpRequest, plan: RoutePlan | None, problem: Problem) -> int:
    body = getattr(http, "refused_body", b"") if getattr(http, "caller_is_known", False) else b""
    announced = http.META.get("CONTENT_LENGTH") or ""
    row = Rejection.objects.create(
        route_id=plan.id if plan else None,
        reason=problem.slug,
        status_code=problem.status,
        detail=storable(_told_and_known(problem)),
        request_id=request_id_of(http),
        target=storable(f"{http.method} {http.path}")[:KEPT_CHARACTERS],
        user_agent=storable(http.headers.get("User-Agent", ""))[:KEPT_CHARACTERS],
        remote_address=client_address(http),
        content_type=storable(http.headers.get("Content-Type", ""))[:KEPT_CHARACTERS],
        size=len(body) or (min(int(announced), MAX_SIZE) if announced.isdecimal() else None),
        body=body[:KEPT_BYTES] or None,
        created_at=timezone.now(),
    )
    return int(row.pk)


def _told_and_known(problem: Problem) -> str:
    places = [f"{error['path']}: {error['message']}" for error in problem.extra.get("errors", []) if "path" in error]
    first = problem.extra.get("correlation_id") if problem.slug == "idempotency-mismatch" else None
    named = [f"The first message is {first}."] if first else []
    return "\n".join(filter(None, [problem.detail, *named, *places, problem.evidence]))
