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
STALE_SECONDS = 8.0  # longer than any stop of a process: a stopped worker comes back and is not replaced before

POINTS = (
    "accept: before the commit",
    "accept: after the commit, before the answer",
    "deliver: before sending",
    "deliver: after sending, before recording",
    "finish: between result and lane",
    "finish: after the commit",
)


class FaultsConfig(AppConfig):
    name = "tests.faults"

    def ready(self) -> None:
        from integration_platform.management.commands import worker
        from messages import accepting, delivery, lanes

        worker.STALE_SECONDS = worker.TASKS_STALE_SECONDS = STALE_SECONDS
        _before(accepting, "_executed", POINTS[0])
        _after(accepting, "accept", POINTS[1])
        _before(delivery, "attempt", POINTS[2])
        _after(delivery, "attempt", POINTS[3])
        _before(lanes, "_update_lanes", POINTS[4])
        _after(lanes, "finish", POINTS[5])
        if os.environ.get(NO_FENCE):
            _forget_the_fence()


def arm(folder: Path, point: str) -> Path:
    """The next process that passes the point kills itself there, one only; the file is gone then."""
    path = folder / f"{POINTS.index(point)}.point"
    path.touch()
    return path


def _pass(point: str) -> None:
    with contextlib.suppress(FileNotFoundError):
        Path(os.environ[FOLDER], f"{POINTS.index(point)}.point").unlink()
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
    from messages import lanes, pump
    from messages.database import write

    def believing(finished: Any, *, now: Any) -> None:
        with write():
            rows = {lane.pk: lane for lane in lanes.locked(entry.claim.lane_id for entry in finished)}
            for entry in finished:
                entry.kept, entry.fenced, entry.changes = False, False, rows[entry.claim.lane_id].changes
            lanes._record(finished, rows, now)

    lanes.finish = believing
    pump.LEASE_MARGIN = -1e9
