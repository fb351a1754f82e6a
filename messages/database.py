"""Write transactions, statements whose text is kept, and the clock that leases go by."""

import contextlib
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from math import inf
from typing import Any
from weakref import WeakKeyDictionary

import psycopg
from django.db import InterfaceError, OperationalError, connection, transaction
from django.db.models import QuerySet
from django.db.models.functions import Now
from django.utils import timezone

UNREACHABLE = (OperationalError, InterfaceError)
"""What is raised while the database is away, or a lock is not to be had in time."""
PREPARED_AFTER = 2  # times
REPLANNED_AFTER_SECONDS = 2.0
LONG_AGO = datetime(1000, 1, 1, tzinfo=UTC)

# SQLite has one writer at a time and lets the others wait unfairly (p95 was 45 × p50 with 16 writers): within a process
# they queue up here instead, and the file's own lock is left to the few processes. Reentrant: a verb that is made of
# several writes is one transaction.
_one_writer = threading.RLock()


_planned_at: WeakKeyDictionary[psycopg.Connection[Any], float] = WeakKeyDictionary()


@contextlib.contextmanager
def write() -> Iterator[None]:
    """One short write transaction. Never call the network inside."""
    if connection.vendor == "sqlite":
        with _one_writer, transaction.atomic():
            yield
    else:
        with transaction.atomic():
            yield


@contextlib.contextmanager
def write_alone() -> Iterator[None]:
    """One statement that is a transaction of its own, or part of the caller's."""
    if connection.vendor == "sqlite" or connection.in_atomic_block:
        with write():
            yield
    else:
        yield


def execute_in_server(sql: str, values: Mapping[str, Any]) -> list[tuple[Any, ...]]:
    """Rows of one statement on PostgreSQL whose values travel beside it, bytes as they are; `sql` is a constant.

    Django's own cursors write them into the text, which is then read twice over: megabytes for bodies. And the server
    keeps the plan of a text that it has seen before, which is half of what recording one outcome costs it. Not for
    long: a table that was empty when a plan was made is read from end to end by it, and a queue fills up in seconds.
    """
    connection.close_if_health_check_failed()
    connection.ensure_connection()
    session = connection.connection
    with connection.wrap_database_errors, psycopg.Cursor(session) as cursor:
        if time.monotonic() - _planned_at.get(session, -inf) > REPLANNED_AFTER_SECONDS:
            cursor.execute("DISCARD PLANS")
            _planned_at[session] = time.monotonic()
        session.prepare_threshold = PREPARED_AFTER
        try:
            return cursor.execute(sql, values).fetchall()
        finally:
            session.prepare_threshold = None  # the texts of Django's cursors are never the same


def compact(sql: str) -> str:
    """Without the white space between words; psycopg remembers how it read a text only if that has at most 4 KiB."""
    return " ".join(sql.split())


class Prepared:
    """The SQL of a queryset, made once for each set of arguments: to put it together takes longer than to execute it.

    `build` gets the clock and those arguments, which are few and hashable.
    """

    def __init__(self, build: Callable[..., QuerySet[Any]]) -> None:
        self._build = build
        self._made = lru_cache(maxsize=256)(self._make)

    def sql(self, *arguments: Any) -> tuple[str, list[Any]]:
        """The text and its values of now."""
        text, values, moments = self._made(connection.vendor, *arguments)
        if not moments:
            return text, list(values)
        now, adapted = timezone.now(), connection.ops.adapt_datetimefield_value
        return text, [
            adapted(now + moments[index]) if index in moments else value for index, value in enumerate(values)
        ]

    def rows(self, *arguments: Any) -> list[tuple[Any, ...]]:
        with connection.cursor() as cursor:
            cursor.execute(*self.sql(*arguments))
            return cursor.fetchall()

    def _make(self, vendor: str, *arguments: Any) -> tuple[str, tuple[Any, ...], dict[int, timedelta]]:
        """On SQLite the clock is a value; which values were made from it is seen by compiling for a time long ago."""
        if vendor == "postgresql":
            with transaction.atomic():  # a queryset that locks wants one, although nothing is executed
                return (*self._build(Now(), *arguments).query.sql_with_params(), {})
        text, values = self._build(LONG_AGO, *arguments).query.sql_with_params()
        moments = {}
        for index, value in enumerate(values):
            with contextlib.suppress(TypeError, ValueError):
                moment = datetime.fromisoformat(value).replace(tzinfo=UTC)
                if abs(moment - LONG_AGO) < timedelta(days=1):
                    moments[index] = moment - LONG_AGO
        return text, values, moments


def json_ids(ids: Iterable[int]) -> str:
    """For `json_each`: so the text of a statement on SQLite stays the same for any number of them."""
    return f"[{','.join(map(str, ids))}]"


def clock() -> Any:
    """The present for everything that leases and due times are compared with.

    On PostgreSQL the server's clock, as an expression: with one machine's clock 8 s ahead, its own time made it take
    lanes that others still held (1,161 repeats in a measured run). SQLite has one machine.
    """
    return Now() if connection.vendor == "postgresql" else timezone.now()


def clock_reading() -> datetime:
    """The same clock as a datetime, for showing and for rows of our own."""
    if connection.vendor != "postgresql":
        return timezone.now()
    with connection.cursor() as cursor:
        cursor.execute("SELECT statement_timestamp()")
        return cursor.fetchone()[0]


def lease_clock() -> float:
    """Seconds by which a worker judges its own leases, on a clock that goes on while its machine sleeps.

    Linux's monotonic clock stands still meanwhile: a laptop, or a virtual machine that was moved, would wake up with
    its leases as fresh as before, and send what others have sent in the meantime.
    """
    return time.clock_gettime(_LEASE_CLOCK)


_LEASE_CLOCK = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)


class Seldom:
    """Whether it is time to say something once more: an outage is a line in ten seconds, not one for each try."""

    def __init__(self, seconds: float = 10.0) -> None:
        self._seconds = seconds
        self._next = 0.0

    def now(self) -> bool:
        moment = time.monotonic()
        if moment < self._next:
            return False
        self._next = moment + self._seconds
        return True


def storable(text: str) -> str:
    """No NUL, which PostgreSQL refuses, and no half of a surrogate pair, which no encoding writes."""
    return text.replace("\0", "\N{REPLACEMENT CHARACTER}").encode("utf-8", "replace").decode()


def first_line(error: BaseException) -> str:
    """An error of the database without the advice that its driver adds."""
    return f"{type(error).__name__}: {str(error).strip().partition(chr(10))[0]}"
