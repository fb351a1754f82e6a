"""Write transactions and the clock that leases go by."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import Any

from django.db import connection, transaction
from django.db.models.functions import Now
from django.utils import timezone

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
