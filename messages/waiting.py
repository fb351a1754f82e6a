"""Who waits for the end of a message, without a thread for each: one thread of a process looks for all of them.

A web server that can wait by itself says so in the environ (ROOM). The view returns at once then and leaves there what
it waits for (WAITING); the server holds the request, which costs memory only, until that has ended or its time is up,
and calls the application again with it (WAITED). Other WSGI servers know nothing of this: there a thread waits.
"""

import heapq
import itertools
import logging
import threading
import time
from collections.abc import Iterable
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django.db import connection
from django.http import HttpRequest, HttpResponse

from messages.database import UNREACHABLE, Seldom, first_line
from messages.models import Message
from messages.problems import Problem

log = logging.getLogger(__name__)

ROOM = "platform.room"
"""Whether the server takes one more request to wait; missing where it can hold none."""
WAITING = "platform.waiting"
WAITED = "platform.waited"
ARRIVED = "platform.arrived"
"""When the whole request was there, on the monotonic clock: a caller's time begins then, not when a thread is free."""

FIRST_SECONDS = 0.01  # between two looks for a message that has just begun to be waited for …
LAST_SECONDS = 0.1  # … and for one that has been waited for a while
GROWTH = 1.5
SPACING_SECONDS = 0.01  # between two queries, however many wait
RETRY_SECONDS = 0.5  # while the database is away
LINGER_SECONDS = 2.0
AT_ONCE = 500  # messages of one query
RETRY_AFTER_FULL = "2"


@dataclass(eq=False, slots=True)
class Waiting:
    """An answer that is to come: when `end` is done, or at `deadline` (monotonic). `subject` is the view's own."""

    end: "Future[None]"
    deadline: float
    subject: Any = None

    @property
    def ended(self) -> bool:
        """Whether what was waited for has come, rather than the deadline."""
        return self.end.done() and not self.end.cancelled()


def arrived(http: HttpRequest) -> float:
    moment: float = http.META.get(ARRIVED) or time.monotonic()
    return moment


def server_waits(http: HttpRequest) -> bool:
    return ROOM in http.META


def check_room(http: HttpRequest) -> None:
    """Raises the 503 problem where the server takes no more requests to wait. To be asked before anything is stored."""
    if not http.META.get(ROOM, True):
        detail = "Too many callers wait for their answers at the moment. Try again."
        raise Problem("unavailable", detail, headers={"Retry-After": RETRY_AFTER_FULL})


def later(http: HttpRequest, waiting: Waiting) -> HttpResponse:
    """Leaves the request to the server. What is returned here is never sent, but for headers that middlewares add."""
    http.META[WAITING] = waiting
    return HttpResponse(status=202)


def waited(http: HttpRequest) -> Waiting | None:
    """What this request has been waiting for, when it is asked for the second time."""
    found: Waiting | None = http.META.get(WAITED)
    return found


def conclude(end: "Future[None]") -> None:
    """Says that it has come, unless nobody waits any more."""
    if end.set_running_or_notify_cancel():
        end.set_result(None)


@dataclass(slots=True)
class _Waiter:
    correlation_id: UUID
    end: "Future[None]"
    pause: float = FIRST_SECONDS


class Lookout:
    """Looks whether messages are final: each after pauses that grow, all that are due with one query.

    Its thread runs while somebody waits, and a little longer.
    """

    def __init__(self) -> None:
        self._condition = threading.Condition()
        self._heap: list[tuple[float, int, _Waiter]] = []
        self._order = itertools.count()
        self._thread: threading.Thread | None = None
        self._complaint = Seldom()

    def end_of(self, correlation_id: UUID, end: "Future[None] | None" = None) -> "Future[None]":
        """Done when the message is final; whoever waits no longer cancels it. `end` is one that has been given out."""
        end = Future() if end is None else end
        with self._condition:
            self._add(_Waiter(correlation_id, end))
            if self._thread is None or not self._thread.is_alive():  # a fork takes no threads along
                self._thread = threading.Thread(target=self._run, name="lookout", daemon=True)
                self._thread.start()
            self._condition.notify()
        return end

    def close(self) -> None:
        """Forgets who waits, and waits for the thread to end; for tests that replace the database under a process."""
        with self._condition:
            self._heap.clear()
            thread, self._thread = self._thread, None
            self._condition.notify()
        if thread is not None:
            thread.join()

    def _add(self, waiter: _Waiter) -> None:
        heapq.heappush(self._heap, (time.monotonic() + waiter.pause, next(self._order), waiter))

    def _run(self) -> None:
        try:
            while due := self._due():
                pause = SPACING_SECONDS
                try:
                    ended = _final(waiter.correlation_id for waiter in due)
                except UNREACHABLE as error:  # it is waited for as well: each caller has a deadline
                    ended, pause = set(), RETRY_SECONDS
                    if self._complaint.now():
                        log.warning("The database did not answer; callers wait on (%s).", first_line(error))
                    connection.close()
                self._sort(due, ended)
                time.sleep(pause)
        finally:
            connection.close()

    def _due(self) -> list[_Waiter]:
        """Waits until somebody's pause is over; nobody, if nobody has come for a while. Then this thread ends."""
        mine = threading.current_thread()
        with self._condition:
            while not self._heap or self._heap[0][0] > time.monotonic():
                left = self._heap[0][0] - time.monotonic() if self._heap else LINGER_SECONDS
                heard = self._condition.wait(max(0.0, left))
                if self._thread is not mine:
                    return []
                if not heard and not self._heap:
                    self._thread = None
                    return []
            now, due = time.monotonic(), []
            while self._heap and self._heap[0][0] <= now:
                due.append(heapq.heappop(self._heap)[2])
            return due

    def _sort(self, due: Iterable[_Waiter], ended: set[UUID]) -> None:
        with self._condition:
            going_on = [one for one in due if one.correlation_id not in ended and not one.end.cancelled()]
            for waiter in going_on:
                waiter.pause = min(waiter.pause * GROWTH, LAST_SECONDS)
                self._add(waiter)
        for waiter in due:
            if waiter.correlation_id in ended:
                conclude(waiter.end)


def _final(correlation_ids: Iterable[UUID]) -> set[UUID]:
    """Which of these messages are final."""
    asked, found = list(dict.fromkeys(correlation_ids)), set[UUID]()
    for start in range(0, len(asked), AT_ONCE):
        part = Message.objects.final().filter(correlation_id__in=asked[start : start + AT_ONCE])
        found.update(part.values_list("correlation_id", flat=True))
    return found


lookout = Lookout()
