"""Keeps child processes alive: restarts what dies or hangs, and ends all of them cleanly.

A stock qcluster does not notice that it is stuck: kill -9 of an idle worker, or of its monitor, leaves a lock in
shared memory taken for ever, and SIGTERM to its process group hangs its main process. So each child has a group of its
own, is watched from outside, gets SIGTERM alone, and its whole group is killed before it is started again.
"""

import contextlib
import logging
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType

from messages.beats import touched_at

log = logging.getLogger(__name__)

LOOK_SECONDS = 0.2
FIRST_DELAY_SECONDS = 1.0
LAST_DELAY_SECONDS = 15.0
STABLE_SECONDS = 30.0  # a child that lived so long starts again without delay
GUARDIAN = [sys.executable, "-m", "integration_platform.guardian"]


@dataclass(slots=True)
class Child:
    """A process to keep alive.

    `sick` says why it should be replaced although it runs, or None. `before_start` is called before it is started, each
    time, and `before_stop` before it gets SIGTERM.
    """

    name: str
    command: Sequence[str]
    environment: Mapping[str, str] = field(default_factory=dict)
    sick: Callable[[float], str | None] | None = None
    before_start: Callable[[], None] | None = None
    before_stop: Callable[[], None] | None = None
    process: "subprocess.Popen[bytes] | None" = None
    started_at: float = 0.0
    next_start: float = 0.0
    delay: float = 0.0

    @property
    def alive(self) -> bool:
        return self.process is not None and self.process.poll() is None


class Supervisor:
    """`run` keeps the children alive until `stop` or a signal, then ends them within `grace_seconds`."""

    def __init__(self, children: Sequence[Child], *, grace_seconds: float) -> None:
        self.children = list(children)
        self.stopping = False
        self._grace_seconds = grace_seconds

    def handle_signals(self) -> None:
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._on_signal)

    def run(self, every_look: Callable[[], None] | None = None) -> None:
        """`every_look` is called a few times a second, for what the caller does besides."""
        try:
            while not self.stopping:
                for child in self.children:
                    self._look_after(child)
                if every_look is not None:
                    every_look()
                time.sleep(LOOK_SECONDS)
        finally:
            self.end()

    def stop(self) -> None:
        self.stopping = True

    def end(self) -> None:
        """SIGTERM to each main process, the rest of the grace to finish, SIGKILL to what is left of their groups."""
        running = [child for child in self.children if child.alive]
        for child in running:
            if child.before_stop is not None:
                child.before_stop()
            signal_process(child, signal.SIGTERM)
        end = time.monotonic() + self._grace_seconds
        while any(child.alive for child in running) and time.monotonic() < end:
            time.sleep(0.05)
        for child in self.children:
            if child.alive:
                log.warning("%s did not stop in time and is killed.", child.name)
            kill_group(child)

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        self.stopping = True

    def _look_after(self, child: Child) -> None:
        now = time.monotonic()
        if child.process is None:
            if now >= child.next_start:
                start(child)
            return
        code = child.process.poll()
        reason = f"ended with status {code}" if code is not None else child.sick(now) if child.sick else None
        if reason is None:
            return
        kill_group(child)
        lived = now - child.started_at
        child.delay = (
            0.0 if lived >= STABLE_SECONDS else min(max(child.delay * 2, FIRST_DELAY_SECONDS), LAST_DELAY_SECONDS)
        )
        child.next_start, child.process = now + child.delay, None
        log.warning("%s %s; starting it again in %.0f s.", child.name, reason, child.delay)


def start(child: Child) -> None:
    """Starts it behind a guardian, in a process group of its own, without the terminal's input."""
    if child.before_start is not None:
        child.before_start()
    environment = {**os.environ, **child.environment}
    child.process = subprocess.Popen(
        [*GUARDIAN, str(os.getpid()), *child.command], env=environment, start_new_session=True, stdin=subprocess.DEVNULL
    )
    child.started_at = time.monotonic()


def signal_process(child: Child, number: int) -> None:
    if child.process is not None:
        try:
            child.process.send_signal(number)
        except ProcessLookupError:
            return


def kill_group(child: Child) -> None:
    """Ends what is left of a child's group; orphans of its children stay in the group, so they end, too."""
    if child.process is None:
        return
    with contextlib.suppress(ProcessLookupError):
        os.killpg(child.process.pid, signal.SIGKILL)
    child.process.wait()


def silent(path: Path, *, seconds: float, start_seconds: float, started_at: float) -> str | None:
    """Why a child with a role that touches `path` now and then counts as hanging, or None.

    `started_at` is monotonic: a role that has not shown itself since then has `start_seconds`, any other `seconds`.
    """
    now = time.time()
    born = now - (time.monotonic() - started_at)
    seen = touched_at(path)
    quiet, allowed = (now - seen, seconds) if seen >= born else (now - born, start_seconds)
    return f"hangs: its {path.name} has been silent for {quiet:.0f} s" if quiet > allowed else None


def unanswered(asked: Path, answer: Path, *, seconds: float) -> str | None:
    """Why a child counts as hanging that touches `answer` each time after `asked` has been touched, or None."""
    asked_at = touched_at(asked)
    waits = time.time() - asked_at
    if waits <= seconds or touched_at(answer) >= asked_at:
        return None
    return f"hangs: its {answer.name} has not answered for {waits:.0f} s"
