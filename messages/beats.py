"""Signs of life that the supervisor watches: each role touches a file of its name. And back: the wish to stop.

A worker shows itself while it works. The monitor of a cluster can only do so when a task has ended, and a pump may work
for minutes: so it is the end of a task that it is expected to answer.
"""

import os
from pathlib import Path

VARIABLE = "PLATFORM_BEAT_DIR"
STOP = "stop"
WORKER = "worker"
MONITOR = "monitor"
ENDED = "ended"
"""Not a role: touched by the first task that ended and that the monitor has not heard of yet."""


def beat(role: str) -> None:
    folder = os.environ.get(VARIABLE)
    if folder:
        try:
            Path(folder, role).touch()
        except FileNotFoundError:
            return  # the supervisor is gone and took its folder along; it is about to end us, too


def task_ended() -> None:
    """In a worker, before the monitor is told."""
    folder = os.environ.get(VARIABLE)
    if folder and touched_at(Path(folder, ENDED)) <= touched_at(Path(folder, MONITOR)):
        beat(ENDED)


def touched_at(path: Path) -> float:
    """Unix time; 0 where there is no such file."""
    try:
        return path.stat().st_mtime
    except FileNotFoundError:
        return 0.0


def stop_wanted() -> bool:
    """Whether the supervisor is about to stop: django-q2 tells its workers only when they ask for their next task."""
    folder = os.environ.get(VARIABLE)
    return folder is not None and Path(folder, STOP).exists()
