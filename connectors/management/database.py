"""Commands that need the database say in one line what is wrong with it."""

from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.db import DatabaseError, InterfaceError, connection
from django.db.migrations.executor import MigrationExecutor


class DatabaseCommand(BaseCommand):
    """A command whose errors of the database are explained by what people forget: to migrate, or to start it."""

    def execute(self, *args: Any, **options: Any) -> Any:
        try:
            return super().execute(*args, **options)
        except (DatabaseError, InterfaceError) as error:
            connection.close()
            if explained := explain():
                raise CommandError(explained) from error
            raise


def explain() -> str | None:
    try:
        migrated = is_migrated()
    except (DatabaseError, InterfaceError) as error:
        return f"DATABASE_URL: the database cannot be used. {str(error).strip().partition(chr(10))[0]}"
    if not migrated:
        return "The database lacks migrations. Run `manage.py migrate` first, or `manage.py start`, which does it."
    return None


def is_migrated() -> bool:
    """Whether the database has every migration of this code. Raises what the database raises."""
    executor = MigrationExecutor(connection)
    return not executor.migration_plan(executor.loader.graph.leaf_nodes())
