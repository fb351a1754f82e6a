"""How SQLite goes about a query."""

from django.db import connection


def plan_of(sql: str) -> str:
    """A line for each step; `sql` as `CaptureQueriesContext` has it."""
    with connection.cursor() as cursor:
        cursor.execute(f"EXPLAIN QUERY PLAN {sql}")
        return "\n".join(row[-1] for row in cursor.fetchall())
