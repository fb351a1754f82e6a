"""`manage.py apply FILE`: configuration by file."""

import os
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from django.contrib.auth import get_user_model
from django.core.management.base import CommandError, CommandParser

from connectors import audit
from connectors.configuration import MAX_BYTES, Change, InvalidConfiguration, apply_configuration
from connectors.management.database import DatabaseCommand


class Command(DatabaseCommand):
    help = "Creates and changes what the configuration file names, in one transaction; an invalid file changes nothing."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("file", type=Path, help="YAML or JSON.")
        parser.add_argument("--check", action="store_true", help="Only print what would happen.")
        parser.add_argument("--by", help="The username that the history names, instead of “command-line”.")

    def handle(self, *, file: Path, check: bool, by: str | None = None, **options: Any) -> None:
        """Prints a line for each object; of an invalid file, a line for each fault to standard error."""
        text = read_text(file)
        try:
            changes = apply_configuration(text, environ=os.environ, check=check, by=None if check else person(by))
        except InvalidConfiguration as error:
            for fault in error.faults:
                self.stderr.write(fault)
            count = len(error.faults)
            raise CommandError(f"{file}: {count} fault{'' if count == 1 else 's'}; nothing was changed.") from None
        for change in changes:
            self.stdout.write(str(change))
            for sentence in change.advice:
                self.stderr.write(f"warning: {change.kind} {change.slug}: {sentence}")
        self.stdout.write(f"{summary(changes)}{' Only checked, nothing was saved.' if check else ''}")


def summary(changes: Sequence[Change]) -> str:
    """One sentence, which has the word "changed" only where something was."""
    counts = Counter(change.action for change in changes)
    told = [f"{counts[word]} {word}" for word in ("created", "changed") if counts[word]]
    return f"{', '.join(told)}." if told else f"Nothing to change: {len(changes)} object{'s' * (len(changes) != 1)}."


def person(username: str | None) -> Any:
    """Who the history names. Raises CommandError where there is no such account."""
    if username is None:
        return audit.command_line()
    people = get_user_model()
    account = people._default_manager.filter(**{people.USERNAME_FIELD: username}).first()
    if account is None:
        raise CommandError(f"There is no account {username!r}.")
    return account


def read_text(file: Path) -> str:
    """The file's text, of which no more than the limit is read. Raises CommandError."""
    try:
        with file.open("rb") as opened:
            content = opened.read(MAX_BYTES + 1)
    except OSError as error:
        raise CommandError(f"{file} cannot be read: {error.strerror}") from None
    if len(content) > MAX_BYTES:
        raise CommandError(f"{file} is larger than {MAX_BYTES} bytes")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        column = error.start - content.rfind(b"\n", 0, error.start)
        raise CommandError(f"{file} is not UTF-8 (line {line}, byte {column} of it)") from None
