"""`manage.py apply FILE`: configuration by file."""

import os
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from connectors.configuration import InvalidConfiguration, apply_configuration


class Command(BaseCommand):
    help = "Creates and changes what the configuration file names, in one transaction; an invalid file changes nothing."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("file", type=Path, help="YAML or JSON.")
        parser.add_argument("--check", action="store_true", help="Only print what would happen.")

    def handle(self, *, file: Path, check: bool, **options: Any) -> None:
        try:
            text = file.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise CommandError(f"{file} cannot be read: {error}") from None
        try:
            changes = apply_configuration(text, environ=os.environ, check=check)
        except InvalidConfiguration as error:
            faults = "\n".join(error.faults)
            raise CommandError(f"{faults}\n{file}: {len(error.faults)} faults; nothing was changed.") from None
        for change in changes:
            self.stdout.write(str(change))
        counts = ", ".join(
            f"{sum(change.action == word for change in changes)} {word}" for word in ("created", "changed", "unchanged")
        )
        self.stdout.write(f"{counts}{'; only checked, nothing was saved' if check else ''}")
