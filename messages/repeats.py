"""Idempotency keys that came to this process lately, so that a repeat costs a look and no write.

Only a hint about what was committed: who is not remembered is found by the unique key of the table. A message's row,
its key and its digest are for good, so what is remembered stays true; it is forgotten after a minute all the same, for
a database may be restored under a process.
"""

import threading
import time
from collections import OrderedDict
from dataclasses import dataclass
from uuid import UUID

from django.db import connection

from messages.models import Message

KEPT = 10_000
SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class First:
    """The message that has the key."""

    correlation_id: UUID
    body_digest: bytes
    until: float


class Repeats:
    """The newest KEPT keys of all routes, each for SECONDS. Safe for threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._firsts: OrderedDict[tuple[int, str], First] = OrderedDict()

    def note(self, message: Message) -> None:
        """To be called once it has been committed; a message without a key is none of ours."""
        if message.idempotency_key is None:
            return
        key = message.route_id, message.idempotency_key
        first = First(message.correlation_id, bytes(message.body_digest), time.monotonic() + SECONDS)
        with self._lock:
            self._firsts[key] = first
            self._firsts.move_to_end(key)
            if len(self._firsts) > KEPT:
                self._firsts.popitem(last=False)

    def first_of(self, route_id: int, key: str) -> First | None:
        with self._lock:
            first = self._firsts.get((route_id, key))
        return None if first is None or first.until < time.monotonic() else first

    def clear(self) -> None:
        """For tests that replace the database under a process."""
        with self._lock:
            self._firsts.clear()


repeats = Repeats()


def look_again(route_id: int, key: str, first: First) -> tuple[Message | None, int]:
    """What became of a message that is remembered, and the configuration's revision.

    The message has what tells it from others and its status; the rest is loaded when it is asked for. Written out like
    `Revision.current`: putting the query together took the ORM as long as all else that a repeat costs.
    """
    with connection.cursor() as cursor:
        cursor.execute(_LOOK, [route_id, key])
        row = cursor.fetchone()
    if row is None:
        return None, 0
    found = dict(zip(_COLUMNS, row, strict=False))
    found |= {"route_id": route_id, "idempotency_key": key}
    found |= {"correlation_id": first.correlation_id, "body_digest": first.body_digest}
    loaded = [field.attname for field in Message._meta.concrete_fields if field.attname in found]
    return Message.from_db(connection.alias, loaded, [found[name] for name in loaded]), int(row[-1])


_COLUMNS = ("id", "lane_id", "position", "status")
_LOOK = f"""
    SELECT {", ".join(_COLUMNS)}, COALESCE((SELECT number FROM connectors_revision WHERE id = 1), 0)
    FROM messaging_message WHERE route_id = %s AND idempotency_key = %s
"""  # noqa: S608 - the pieces are constants of this module
