"""Keeps Python's collector of cycles out of the way while a large value is made."""

import gc
import threading
from collections.abc import Iterator
from contextlib import contextmanager

LARGE_BYTES = 1 << 18

_lock = threading.Lock()
_pausing = 0
_was_enabled = False


@contextmanager
def paused_collector(size: int) -> Iterator[None]:
    """For a body of so many bytes. Values have no cycles, and looking for them again and again costs up to five times
    what making them costs: 1.2 s instead of 0.2 for a million small objects. Other threads may pause it meanwhile.
    """
    if size < LARGE_BYTES:
        yield
        return
    _enter()
    try:
        yield
    finally:
        _leave()


def _enter() -> None:
    global _pausing, _was_enabled
    with _lock:
        if not _pausing:
            _was_enabled = gc.isenabled()
            gc.disable()
        _pausing += 1


def _leave() -> None:
    global _pausing
    with _lock:
        _pausing -= 1
        if not _pausing and _was_enabled:
            gc.enable()
