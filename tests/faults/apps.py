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
    "release: before the commit",  # armed first, since it takes the longest until somebody passes it
    "release: after the commit",
    "probe: before the commit",
    "probe: after the commit, before it is sent",
    "probe: after recording, before the circuit is told",
    "renew: before the commit",
    "renew: after the commit",
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

        from messages import accepting, bulk, circuits, delivery, lanes, limits, recording, sparing

        limits.START_SECONDS, limits.MARGIN_SECONDS = 3.0, 2.0  # permits of the dead are missed for so long
        circuits.PROBE_MARGIN_SECONDS = 2.0  # and their probes
        _before_commit(lanes, "release", POINTS[0])
        _after(lanes, "release", POINTS[1])
        _before_commit(circuits, "take_probe", POINTS[2], when=bool)
        # a synchronous caller's is committed at once, a worker's together with the claim of its lane
        _after(circuits, "take_probe", POINTS[3], when=lambda probe: probe and not connection.in_atomic_block)
        _after(sparing, "claim", POINTS[3], when=lambda claims: any(one.probe for one in claims))
        _before(circuits, "settle", POINTS[4])
        _before_commit(lanes, "renew", POINTS[5], when=bool)
        _after(lanes, "renew", POINTS[6], when=bool)
        _before(accepting, "execute_in_server" if connection.vendor == "postgresql" else "_executed", POINTS[7])
        _after(accepting, "accept", POINTS[8])
        _before(delivery, "attempt", POINTS[9])
        _after(delivery, "attempt", POINTS[10])
        # PostgreSQL records in one statement: killed before it, the server has nothing of it
        _before(recording, "_at_once" if connection.vendor == "postgresql" else "_move_lanes", POINTS[11])
        _after(lanes, "finish", POINTS[12])
        _after(lanes, "claim", POINTS[13])
        _after(limits, "grant", POINTS[14])
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


def _after(module: Any, name: str, point: str, *, when: Callable[[Any], object] = lambda _: True) -> None:
    """`when` looks at the result: a call that came to nothing is no point."""
    original: Callable[..., Any] = getattr(module, name)

    def wrapped(*arguments: Any, **options: Any) -> Any:
        result = original(*arguments, **options)
        if when(result):
            _pass(point)
        return result

    setattr(module, name, wrapped)


def _before_commit(module: Any, name: str, point: str, *, when: Callable[[Any], object] = lambda _: True) -> None:
    """When everything has been written in the function's transaction, which is part of a larger one here."""
    from messages.database import write

    original: Callable[..., Any] = getattr(module, name)

    def wrapped(*arguments: Any, **options: Any) -> Any:
        with write():
            result = original(*arguments, **options)
            if when(result):
                _pass(point)
        return result

    setattr(module, name, wrapped)


def _forget_the_fence() -> None:
    """Whoever held a lane once may record and send for ever, prolong its lease, and give it back."""
    from messages import lanes, pump, recording

    def believing(finished: Any, *, now: Any) -> None:
        for entry, moved in zip(finished, recording.record(finished, now=now, trusted=True), strict=True):
            entry.kept, entry.fenced, entry.changes = moved.kept, False, moved.changes

    lanes.finish = believing
    lanes._holds = lambda claim, lane: lane is not None
    pump.LEASE_MARGIN = -1e9
