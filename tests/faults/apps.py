"""What the platform's processes do besides, in these tests: kill themselves at named points, forget the fence."""

import contextlib
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

from django.apps import AppConfig

FOLDER = "FAULTS_FOLDER"
NO_FENCE = "FAULTS_NO_FENCE"
OPERATED = "operated.txt"

POINTS = (
    "accept: before the commit",
    "accept: after the commit, before the answer",
    "deliver: before sending",
    "deliver: after sending, before recording",
    "finish: between result and lane",
    "finish: after the commit",
    "claim: after the commit, before anything is read",
    "limits: a permit, before the commit",
)
BULK_POINT = "bulk: between two messages of a step"
ALL_POINTS = (*POINTS, BULK_POINT)


class FaultsConfig(AppConfig):
    name = "tests.faults"

    def ready(self) -> None:
        from django.db import connection

        from messages import accepting, bulk, delivery, lanes, limits, recording

        limits.START_SECONDS, limits.MARGIN_SECONDS = 3.0, 2.0  # permits of the dead are missed for so long
        _before(accepting, "_executed", POINTS[0])
        _after(accepting, "accept", POINTS[1])
        _before(delivery, "attempt", POINTS[2])
        _after(delivery, "attempt", POINTS[3])
        # PostgreSQL records in one statement: killed before it, the server has nothing of it
        _before(recording, "_at_once" if connection.vendor == "postgresql" else "_move_lanes", POINTS[4])
        _after(lanes, "finish", POINTS[5])
        _after(lanes, "claim", POINTS[6])
        _after(limits, "grant", POINTS[7])
        _after(bulk, "_apply", BULK_POINT)
        if os.environ.get(NO_FENCE):
            _forget_the_fence()


def arm(folder: Path, point: str) -> Path:
    """The next process that passes the point kills itself there, one only; the file is gone then.

    Who it was stands in `victim_of` the same path.
    """
    path = folder / f"{ALL_POINTS.index(point)}.point"
    path.touch()
    return path


def victim_of(path: Path) -> int:
    return int(path.with_suffix(".victim").read_text())


def _pass(point: str) -> None:
    with contextlib.suppress(FileNotFoundError):
        path = Path(os.environ[FOLDER], f"{ALL_POINTS.index(point)}.point")
        mine = path.with_suffix(f".{os.getpid()}")
        path.rename(mine)  # one process only gets it
        mine.write_text(str(os.getpid()))
        mine.rename(path.with_suffix(".victim"))
        os.kill(os.getpid(), signal.SIGKILL)


def _before(module: Any, name: str, point: str) -> None:
    original: Callable[..., Any] = getattr(module, name)

    def wrapped(*arguments: Any, **options: Any) -> Any:
        _pass(point)
        return original(*arguments, **options)

    setattr(module, name, wrapped)


def _after(module: Any, name: str, point: str) -> None:
    original: Callable[..., Any] = getattr(module, name)

    def wrapped(*arguments: Any, **options: Any) -> Any:
        result = original(*arguments, **options)
        _pass(point)
        return result

    setattr(module, name, wrapped)


def _forget_the_fence() -> None:
    """Whoever held a lane once may record and send for ever."""
    from messages import lanes, pump, recording

    def believing(finished: Any, *, now: Any) -> None:
        for entry, moved in zip(finished, recording.record(finished, now=now, trusted=True), strict=True):
            entry.kept, entry.fenced, entry.changes = moved.kept, False, moved.changes

    lanes.finish = believing
    pump.LEASE_MARGIN = -1e9
