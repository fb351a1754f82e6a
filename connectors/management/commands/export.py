"""`manage.py export`: the configuration as a file."""

import os
import tempfile
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from connectors.configuration import export_configuration


class Command(BaseCommand):
    help = "Writes the configuration in the format that apply reads; secrets are left out."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--output", type=Path, help="File to write instead of standard output.")

    def handle(self, *, output: Path | None, **options: Any) -> None:
        text = export_configuration()
        if output is None:
            self.stdout.write(text, ending="")
            return
        try:
            write_whole(output, text)
        except OSError as error:
            raise CommandError(f"{output} cannot be written: {error}") from None


def write_whole(path: Path, text: str) -> None:
    """Either the whole new file is there afterwards, or the old one."""
    descriptor, temporary = tempfile.mkstemp(dir=path.parent or Path(), prefix=f".{path.name}")
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
        Path(temporary).replace(path)
    except OSError:
        Path(temporary).unlink(missing_ok=True)
        raise
