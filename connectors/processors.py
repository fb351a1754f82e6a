"""Keeps a process with many threads on one processor at a time.

Python runs one of its threads at a time. Where they lie on several processors, each hand-over wakes another one, which
takes longer than most of what a thread does in its turn: a message cost 1.0 ms of CPU so, and 0.6 ms on one processor,
with half as many again a second. The kernel does not know, and spreads them; so each process says where it wants to be.

That is looked at every second or so. A process leaves a processor on which others are busy for one that is less so:
where many processes share a machine, in containers that do not see each other, none is stuck beside another one.
"""

import contextlib
import logging
import os
import random
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

log = logging.getLogger(__name__)

CAN_CHOOSE = hasattr(os, "sched_setaffinity")  # Linux
LOOK_SECONDS = (0.5, 1.5)  # at random, so that two who are in each other's way do not both go
IDLE_SHARE = 0.05  # of a processor: who uses less has nothing to gain
CROWDED_SHARE = 0.25  # by so much less another processor has to be busy with others


@dataclass(frozen=True, slots=True)
class Reading:
    """What all have worked so far: ticks of each processor, and this process's seconds, at a time of this clock."""

    busy: Mapping[int, int]
    total: Mapping[int, int]
    own: float
    at: float


def reading() -> Reading:
    """Raises OSError where the kernel does not tell."""
    busy, total = {}, {}
    with Path("/proc/stat").open() as lines:
        for line in lines:
            name, *ticks = line.split()
            if name.startswith("cpu") and name != "cpu":
                user, nice, system, idle, waiting, *rest = map(int, ticks[:8])
                busy[int(name[3:])] = user + nice + system + sum(rest)
                total[int(name[3:])] = user + nice + system + sum(rest) + idle + waiting
    return Reading(busy, total, time.process_time(), time.monotonic())


def choice(before: Reading, now: Reading, *, allowed: set[int], mine: int | None) -> int | None:
    """The processor to be on from now on: `mine` as long as it is as good as any; None as long as there is no need."""
    own = (now.own - before.own) / max(now.at - before.at, 0.001)
    shares = {}
    for cpu in allowed & now.busy.keys() & before.busy.keys():
        passed = now.total[cpu] - before.total[cpu]
        shares[cpu] = (now.busy[cpu] - before.busy[cpu]) / passed if passed else 0.0
    if own < IDLE_SHARE or not shares:
        return mine
    best = min(shares, key=lambda cpu: (shares[cpu], random.random()))  # noqa: S311 - any of those that are alike
    if mine not in shares:
        return best
    of_others = max(0.0, shares[mine] - own)
    return best if of_others - shares[best] > CROWDED_SHARE else mine


class Settler:
    """Looks for this process. Begins anew behind a fork, which takes no threads along."""

    def __init__(self) -> None:
        self._pid = 0
        self._lock = threading.Lock()
        self.allowed: set[int] = set()
        self.mine: int | None = None

    def begin(self) -> None:
        """Once for each process, before its threads or behind them; nothing where there is no choice."""
        with self._lock:
            if self._pid == os.getpid() or not CAN_CHOOSE:
                return
            self._pid, self.mine, self.allowed = os.getpid(), None, os.sched_getaffinity(0)
            if len(self.allowed) > 1:
                threading.Thread(target=self._run, name="processor", daemon=True).start()

    def _run(self) -> None:
        try:
            before = reading()
            while True:
                time.sleep(random.uniform(*LOOK_SECONDS))  # noqa: S311
                now = reading()
                self.mine = choice(before, now, allowed=self.allowed, mine=self.mine)
                if self.mine is not None:  # each time: a thread that is older than all this may have begun another
                    _put({self.mine})
                before = now
        except (OSError, ValueError):  # a kernel that does not tell, or does not allow it: the process is where it is
            log.debug("This process stays on all processors.", exc_info=True)

    @contextlib.contextmanager
    def anywhere(self) -> Iterator[None]:
        """What this thread starts inside, another process or a thread, may go to all processors."""
        if self._pid != os.getpid() or self.mine is None:
            yield
            return
        with contextlib.suppress(OSError):
            os.sched_setaffinity(0, self.allowed)
        try:
            yield
        finally:
            with contextlib.suppress(OSError):
                os.sched_setaffinity(0, {self.mine})


def _put(cpus: set[int]) -> None:
    """All threads of this process; those that they begin lie beside them."""
    for thread in Path("/proc/self/task").iterdir():
        with contextlib.suppress(ProcessLookupError):  # it has ended
            os.sched_setaffinity(int(thread.name), cpus)


settler = Settler()
