"""Write transactions and the clock that leases go by."""

import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import Any

from django.db import DEFAULT_DB_ALIAS, InterfaceError, OperationalError, connection, connections, transaction
from django.db.models import Model
from django.db.models.functions import Now
from django.utils import timezone

INSERTED_AT_ONCE = 500  # rows of a statement; SQLite takes 32,766 values
UNREACHABLE = (OperationalError, InterfaceError)
"""What is raised while the database is away, or a lock is not to be had in time."""

# SQLite has one writer at a time and lets the others wait unfairly (p95 was 45 × p50 with 16 writers): within a process
# they queue up here instead, and the file's own lock is left to the few processes. Reentrant: a verb that is made of
# several writes is one transaction.
_one_writer = threading.RLock()


@contextmanager
def write() -> Iterator[None]:
    """One short write transaction. Never call the network inside."""
    if connection.vendor == "sqlite":
        with _one_writer, transaction.atomic():
            yield
    else:
        with transaction.atomic():
            yield


@contextmanager
def together() -> Iterator[None]:
    """Statements whose answers nobody reads go to PostgreSQL in one round trip. Inside a transaction.

    An error of any of them may come up as late as at the end of the block, which is still in the transaction.
    """
    if connection.vendor != "postgresql":
        yield
        return
    with connection.wrap_database_errors, connection.connection.pipeline():
        yield


def insert(rows: Sequence[Model], *, on_conflict: str = "") -> None:
    """Inserts rows of one model and asks for nothing back, not even their keys; `on_conflict` is SQL."""
    if not rows:
        return
    fields = [field for field in rows[0]._meta.concrete_fields if not field.primary_key]
    backend = connections[DEFAULT_DB_ALIAS]
    names = ", ".join(backend.ops.quote_name(str(field.column)) for field in fields)
    with backend.cursor() as cursor:
        for start in range(0, len(rows), INSERTED_AT_ONCE):
            part = rows[start : start + INSERTED_AT_ONCE]
            places = ", ".join([f"({', '.join(['%s'] * len(fields))})"] * len(part))
            values = [field.get_db_prep_save(getattr(row, field.attname), backend) for row in part for field in fields]
            table = backend.ops.quote_name(rows[0]._meta.db_table)
            cursor.execute(f"INSERT INTO {table} ({names}) VALUES {places} {on_conflict}", values)  # noqa: S608


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


def first_line(error: BaseException) -> str:
    """An error of the database without the advice that its driver adds."""
    return f"{type(error).__name__}: {str(error).strip().partition(chr(10))[0]}"
