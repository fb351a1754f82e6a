"""Signs of life that the supervisor watches: each role touches a file of its name. And back: the wish to stop."""

import os
from pathlib import Path

VARIABLE = "PLATFORM_BEAT_DIR"
STOP = "stop"


def beat(role: str) -> None:
    folder = os.environ.get(VARIABLE)
    if folder:
        try:
            Path(folder, role).touch()
        except FileNotFoundError:
            return  # the supervisor is gone and took its folder along; it is about to end us, too


def stop_wanted() -> bool:
    """Whether the supervisor is about to stop: django-q2 tells its workers only when they ask for their next task."""
    folder = os.environ.get(VARIABLE)
    return folder is not None and Path(folder, STOP).exists()
