"""Log lines that cannot be forged."""

import logging

from messages.database import UNREACHABLE


class UnforeseenOnly(logging.Filter):
    """Django logs every answer of 500 and more; ours of 502 to 504 are foreseen, and the message keeps their story.

    So is a database that is away: `problems.unreachable` says so now and then, and Django with a traceback each time.
    """

    def filter(self, record: logging.LogRecord) -> bool:
        return record.exc_info is not None and not isinstance(record.exc_info[1], UNREACHABLE)


class LineFormatter(logging.Formatter):
    """One record, one line: control characters from outside are escaped, so nobody can write a line of ours."""

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)s %(name)s %(message)s")

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 - the name is logging's
        return "".join(char if char.isprintable() else f"\\x{ord(char):02x}" for char in super().formatMessage(record))
