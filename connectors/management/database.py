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
        executor = MigrationExecutor(connection)
        waiting = executor.migration_plan(executor.loader.graph.leaf_nodes())
    except (DatabaseError, InterfaceError) as error:
        return f"DATABASE_URL: the database cannot be used. {str(error).strip().partition(chr(10))[0]}"
    if waiting:
        return "The database lacks migrations. Run `manage.py migrate` first, or `manage.py start`, which does it."
    return None
