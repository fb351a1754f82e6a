"""Log lines that cannot be forged, that nobody outside can flood, and that are kept in files of bounded size."""

import fcntl
import logging
import os
from logging.handlers import WatchedFileHandler
from pathlib import Path

from messages.database import UNREACHABLE, Seldom


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


class Outsiders(logging.Filter):
    """What anybody can cause by one request is a line now and then, without a traceback, for each logger."""

    def __init__(self, seconds: float = 10.0) -> None:
        super().__init__()
        self._seconds = seconds
        self._loggers: dict[str, Seldom] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        record.exc_info = record.exc_text = None
        return self._loggers.setdefault(record.name, Seldom(self._seconds)).now()


class SharedFile(WatchedFileHandler):
    """One file for all processes: each line is appended whole; whoever finds the file full puts it aside.

    `kept` files of about `max_bytes` stay beside it, as name.1 (the newest), name.2 …
    """

    def __init__(self, filename: str, *, max_bytes: int, kept: int) -> None:
        super().__init__(filename, encoding="utf-8", delay=True)
        self._max_bytes = max_bytes
        self._kept = kept

    def emit(self, record: logging.LogRecord) -> None:
        try:
            super().emit(record)
            if self.stream is not None and self.stream.tell() > self._max_bytes:
                self._put_aside()
        except OSError:  # a full disk, a folder that somebody removed: the console still has the line
            self.handleError(record)

    def _put_aside(self) -> None:
        """Under a lock of the folder, since the other processes find the file full at the same time."""
        path = Path(self.baseFilename)
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            fcntl.flock(folder, fcntl.LOCK_EX)
            if path.stat().st_size <= self._max_bytes:
                return
            older = [path, *(path.with_name(f"{path.name}.{number}") for number in range(1, self._kept + 1))]
            for new, old in zip(older[-2::-1], older[:0:-1], strict=True):
                if new.exists():
                    new.replace(old)
        finally:
            os.close(folder)
