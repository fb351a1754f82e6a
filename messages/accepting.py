"""The way into a lane: position, message and search keys, all or nothing, in as few round trips as the database allows.

`accept` takes the lane's next position under its row lock, in the transaction that inserts the message: positions are
dense, and their order is the order of commit. On PostgreSQL it is a single statement, a transaction of its own unless
the caller has begun one; SQLite, which answers within the process, gets one statement for each table.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from functools import lru_cache
from typing import Any

from django.db import DEFAULT_DB_ALIAS, connection, connections

from connectors.models import Revision
from messages.choices import Hold
from messages.claims import Place
from messages.database import clock_reading, compact, execute_in_server, write_alone
from messages.exceptions import ConfigurationChanged, LaneUnavailable
from messages.models import Lane, Message, SearchKey

PLACED = frozenset({"id", "lane_id", "position"})
"""Columns of a message that the statement itself fills in."""


@dataclass(frozen=True, slots=True)
class Taking:
    """The wish to hold the lane at once, if it is idle: as `owner`, for `lease_seconds`.

    Without `if_idle` the lane is left to the workers in any case; one that stands still is refused all the same.
    """

    owner: str
    lease_seconds: float
    if_idle: bool = True


def accept(
    message: Message,
    lane_key: str,
    search_keys: Sequence[tuple[str, str]] = (),
    *,
    taking: Taking | None = None,
    revision: int | None = None,
) -> Place:
    """Commits a message at the end of its lane, making the lane if it is new. `message` gets key, lane and position.

    With `taking` the lane is claimed if no message is before this one; a lane that stands still raises LaneUnavailable.
    With `revision` it is taken only while the configuration has that one, else ConfigurationChanged is raised. Whatever
    is raised, IntegrityError for a repeated idempotency key included: nothing was stored.
    """
    values = _values(message, lane_key, taking, revision)
    with write_alone():
        if connection.vendor == "postgresql":
            values |= {"names": [name for name, _ in search_keys], "texts": [text for _, text in search_keys]}
            row = next(iter(execute_in_server(_whole(), values)), None)
        else:
            row = _executed(_lane(), values)
            if row is not None:
                values |= {"lane_id": row[0], "position": row[1]}
                row += _executed(_message("VALUES (%(lane_id)s, %(position)s, {values})"), values) or ()
            if row is not None and search_keys:
                keys = [SearchKey(message_id=row[-1], name=name, value=text) for name, text in search_keys]
                SearchKey.objects.bulk_create(keys)
    if row is None:
        raise _refusal(message.route_id, lane_key, revision)
    lane_id, last, done, token, message_id = row
    message.pk, message.lane_id, message.position = message_id, lane_id, last
    message._state.adding, message._state.db = False, connection.alias
    return Place(lane_id, last, token if values["takes"] and last == done + 1 else None)


def _refusal(route_id: int, lane_key: str, revision: int | None) -> Exception:
    """Why the lane's row was not written."""
    if revision is not None and Revision.current() != revision:
        return ConfigurationChanged()
    hold = Lane.objects.filter(route=route_id, key=lane_key).values_list("hold", flat=True).first()
    if hold == Hold.BLOCKED:
        return LaneUnavailable("lane-blocked", "An earlier message of this lane could not be delivered and blocks it.")
    return LaneUnavailable("paused", "This lane has been paused.")


def _executed(sql: str, values: dict[str, Any]) -> tuple[Any, ...] | None:
    with connection.cursor() as cursor:
        cursor.execute(sql, values)
        row: tuple[Any, ...] | None = cursor.fetchone()
        return row


def _values(message: Message, lane_key: str, taking: Taking | None, revision: int | None) -> dict[str, Any]:
    backend = connections[DEFAULT_DB_ALIAS]  # `connection` would look for it at each use
    values: dict[str, Any] = {
        column: field.get_db_prep_save(getattr(message, field.attname), backend) for column, field in _columns()
    }
    takes = taking is not None and taking.if_idle
    values |= {
        "key": lane_key,
        "owner": taking.owner if taking and takes else "",
        "takes": takes,
        "one": int(takes),
        "unless_held": taking is not None,
        "revision": revision,
    }
    lease = taking.lease_seconds if taking else 0.0
    if connection.vendor == "postgresql":
        values["lease"] = f"{lease} seconds"
    else:
        now = clock_reading()
        values["now"] = connection.ops.adapt_datetimefield_value(now)
        values["lease"] = connection.ops.adapt_datetimefield_value(now + timedelta(seconds=lease))
    return values


@lru_cache(maxsize=1)
def _columns() -> tuple[tuple[str, Any], ...]:
    return tuple((str(field.column), field) for field in Message._meta.concrete_fields if field.column not in PLACED)


@lru_cache(maxsize=2)
def _lane() -> str:
    """No row comes back where the revision is another one, or the caller does not wait in a lane that stands still."""
    if connection.vendor == "postgresql":
        now, lease = "statement_timestamp()", "statement_timestamp() + CAST(%(lease)s AS interval)"
    else:
        now, lease = "%(now)s", "%(lease)s"
    idle = "(%(takes)s AND lane.last_position = lane.done_position)"
    return f"""
        INSERT INTO messaging_lane AS lane
            (route_id, key, last_position, done_position, due_at, lease_until, token, strikes, owner, hold, changes)
        SELECT %(route_id)s, %(key)s, 1, 0, {now}, CASE WHEN %(takes)s THEN {lease} END,
               %(one)s, %(one)s, %(owner)s, '', 0
        WHERE CAST(%(revision)s AS bigint) IS NULL
           OR CAST(%(revision)s AS bigint) = COALESCE((SELECT number FROM connectors_revision WHERE id = 1), 0)
        ON CONFLICT (route_id, key) DO UPDATE SET
            last_position = lane.last_position + 1,
            due_at = CASE WHEN lane.due_at IS NULL AND lane.hold = '' THEN excluded.due_at ELSE lane.due_at END,
            lease_until = CASE WHEN {idle} THEN excluded.lease_until ELSE lane.lease_until END,
            token = lane.token + CASE WHEN {idle} THEN 1 ELSE 0 END,
            strikes = CASE WHEN {idle} THEN 1 ELSE lane.strikes END,
            owner = CASE WHEN {idle} THEN excluded.owner ELSE lane.owner END
        WHERE lane.hold = '' OR NOT %(unless_held)s
        RETURNING id, last_position, done_position, token
    """  # noqa: S608 - the pieces are constants of this function


def _message(source: str) -> str:
    """`source` with its values filled in comes behind INSERT INTO; it gives lane and position first."""
    columns = ", ".join(column for column, _ in _columns())
    values = ", ".join(_placeholder(column, field) for column, field in _columns())
    return f"INSERT INTO messaging_message (lane_id, position, {columns}) {source.format(values=values)} RETURNING id"


def _placeholder(column: str, field: Any) -> str:
    """PostgreSQL wants to know the type of what travels beside a text; not its length, to which it would be cut."""
    if connection.vendor != "postgresql":
        return f"%({column})s"
    kind = str(field.db_type(connection)).partition("(")[0]
    return f"%({column}){'b' if kind == 'bytea' else 's'}::{kind}"


@lru_cache(maxsize=1)
def _whole() -> str:
    return compact(f"""
        WITH lane AS ({_lane()}),
             message AS ({_message("SELECT lane.id, lane.last_position, {values} FROM lane")}),
             search_keys AS (
                 INSERT INTO messaging_searchkey (message_id, name, value)
                 SELECT message.id, entry.name, entry.value
                 FROM message, unnest(%(names)s::text[], %(texts)s::text[]) AS entry(name, value)
             )
        SELECT lane.*, message.id FROM lane, message
    """)  # noqa: S608 - the pieces are constants of this module
