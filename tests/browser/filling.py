"""Many messages, quickly: copies of one that is there, written past the platform into its SQLite file."""

import sqlite3
from contextlib import closing
from pathlib import Path

BATCH = 5_000
"""Rows of one transaction: the platform is at work meanwhile, and one writes at a time."""
ORIGINAL = "SELECT * FROM messaging_message WHERE status = 'succeeded' ORDER BY id LIMIT 1"
NUMBERS = "WITH RECURSIVE n(i) AS (SELECT ? UNION ALL SELECT i + 1 FROM n WHERE i < ?)"


def add_messages(database: Path, count: int) -> None:
    """`count` further messages in a lane of their own, all delivered, each with a search key; the newest of all."""
    place = f"{database.as_uri()}?mode=rw"  # it is there: nobody makes an empty one
    with closing(sqlite3.connect(place, uri=True, timeout=60, isolation_level=None)) as connection:
        lane = _copied(
            connection,
            "messaging_lane",
            f"FROM messaging_lane WHERE id = (SELECT lane_id FROM ({ORIGINAL}))",
            {"key": "'history'", "last_position": str(count), "done_position": str(count), "due_at": "NULL"},
        )
        for first in range(1, count + 1, BATCH):
            last = min(first + BATCH - 1, count)
            changes = {"correlation_id": "printf('%032x', i)", "lane_id": str(lane), "position": "i"}
            changes |= {"idempotency_key": "NULL", "mapping_version_id": "NULL"}
            _copied(connection, "messaging_message", f"FROM n, ({ORIGINAL})", changes, NUMBERS, (first, last))
            connection.execute(
                "INSERT INTO messaging_searchkey (message_id, name, value) SELECT id, 'order', 'H-' || position "
                "FROM messaging_message WHERE lane_id = ? AND position BETWEEN ? AND ?",
                (lane, first, last),
            )


def _copied(
    connection: sqlite3.Connection,
    table: str,
    source: str,
    changes: dict[str, str],
    before: str = "",
    values: tuple[int, ...] = (),
) -> int:
    """Copies rows with `changes`, whichever columns there are; returns the last one's key."""
    columns = [row[1] for row in connection.execute(f"PRAGMA table_info({table})") if row[1] != "id"]
    shown = ", ".join(changes.get(column, column) for column in columns)
    names = ", ".join(columns)
    cursor = connection.execute(f"{before} INSERT INTO {table} ({names}) SELECT {shown} {source}", values)
    return int(cursor.lastrowid or 0)
