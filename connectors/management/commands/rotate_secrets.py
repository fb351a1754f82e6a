"""`manage.py rotate_secrets`: after a new key was put before the others in ENCRYPTION_KEYS."""

from typing import Any

from django.core.management.base import CommandError

from connectors.management.database import DatabaseCommand
from connectors.rotation import rotate_secrets


class Command(DatabaseCommand):
    help = "Encrypts all stored secrets with the first of ENCRYPTION_KEYS. It may be interrupted and run again."

    def handle(self, *args: Any, **options: Any) -> None:
        done = rotate_secrets()
        self.stdout.write(f"{done.rotated} secrets encrypted anew, {done.already} were under the first key already.")
        if done.unreadable:
            places = "\n".join(f"  {place}" for place in done.unreadable)
            raise CommandError(f"No key in ENCRYPTION_KEYS opens {len(done.unreadable)} of them:\n{places}")
