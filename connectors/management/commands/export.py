"""`manage.py export`: the configuration as a file."""

import os
import secrets
import shutil
from pathlib import Path
from typing import Any

from django.core.management.base import CommandError, CommandParser

from connectors.configuration import export_configuration
from connectors.management.database import DatabaseCommand


class Command(DatabaseCommand):
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
            raise CommandError(f"{output} cannot be written: {error.strerror}") from None


def write_whole(path: Path, text: str) -> None:
    """Either the whole new file is there afterwards, or the old one, also through a link. An old file's mode stays."""
    if path.exists() and not path.is_file():  # /dev/stdout has nothing that could be replaced
        path.write_text(text, encoding="utf-8")
        return
    path = path.resolve()
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        with temporary.open("x", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        if path.exists():
            shutil.copymode(path, temporary)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
