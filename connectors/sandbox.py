"""Processes in which expressions run, under limits that the kernel holds: processor time, memory, wall time.

`ask` lends an idle process to the calling thread, starts one when none is idle and there are fewer than SIZE, and
waits otherwise. A process that breaks a limit dies, the caller is told why, and the next request starts another one
(about 25 ms). A request costs about 100 µs more wall time than the same call within the process would, and less of the
caller's interpreter: the engine holds the interpreter's lock, the sandbox runs beside it.
"""

import atexit
import os
import queue
import signal
import socket
import struct
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from connectors.processors import settler
from connectors.sandbox_limits import ANSWER, CPU_SECONDS, LENGTH, MEMORY_BYTES, REQUEST, receive

SIZE: Final = max(2, min(os.cpu_count() or 1, 8))
"""Processes at most, of each of ours. Evaluation is pure computing: more than the processors gain nothing."""

WALL_SECONDS: Final = 15
"""How long a process may keep us waiting in one read or write; only a stopped or starved one reaches it."""

_PROGRAM: Final = (
    "from connectors.sandbox_limits import confine; confine(); from connectors.sandboxed import main; main()"
)
_ROOT: Final = str(Path(__file__).resolve().parents[1])

# by which signal a process ended, and what that says about the expression
_REASONS: Final = {
    signal.SIGPROF: f"It took more than {CPU_SECONDS:g} s of processor time.",
    signal.SIGABRT: f"It needed more than {MEMORY_BYTES // 1024 // 1024} MiB of memory.",
    signal.SIGSEGV: "It is nested too deeply.",
    signal.SIGBUS: "It is nested too deeply.",
}


class SandboxDied(Exception):
    """The process ended before it answered. `culprit`: the request did it, so that repeating it is pointless."""

    def __init__(self, reason: str, *, culprit: bool) -> None:
        super().__init__(reason)
        self.culprit = culprit


def ask(kind: bytes, texts: Sequence[str], document: bytes) -> list[tuple[bytes, bytes]]:
    """One request, see `connectors.sandbox_limits`: a status byte and its content for each text, in their order.

    Raises SandboxDied when a limit was broken, and UnicodeEncodeError for a text with unpaired surrogates.
    """
    joined = "\0".join(texts).encode()
    request = b"".join((REQUEST.pack(kind, len(joined), len(document)), joined, document))
    for _ in range(SIZE):
        try:
            return _pool.ask(request)
        except SandboxDied as death:
            if death.culprit:
                raise
            # else somebody ended it, such as the kernel when memory was short, and perhaps all others of the pool, too
    return _pool.ask(request)


class _Process:
    """One sandbox process and our end of its socket."""

    def __init__(self) -> None:
        self.connection, theirs = socket.socketpair()
        # the kernel's own time-outs: Python's would add a poll to each read and write
        for option in (socket.SO_RCVTIMEO, socket.SO_SNDTIMEO):
            self.connection.setsockopt(socket.SOL_SOCKET, option, struct.pack("@ll", WALL_SECONDS, 0))
        with theirs:
            try:
                with settler.anywhere():
                    self.popen = subprocess.Popen(
                        # -P: nothing is imported from the current directory; -S: no site, PYTHONPATH says it all
                        [sys.executable, "-P", "-S", "-c", _PROGRAM],
                        stdin=theirs.fileno(),
                        stdout=subprocess.DEVNULL,
                        stderr=subprocess.DEVNULL,
                        # nothing else of our environment: it holds secrets
                        env={"PYTHONPATH": os.pathsep.join([_ROOT, *filter(None, sys.path)]), "LC_ALL": "C.UTF-8"},
                    )
            except OSError:
                self.connection.close()
                raise

    def ask(self, request: bytes) -> list[tuple[bytes, bytes]]:
        """Raises SandboxDied; the process is of no use then."""
        try:
            self.connection.sendall(request)
            return _split(receive(self.connection, LENGTH)[1])
        except BlockingIOError:
            raise SandboxDied(f"It gave no answer within {WALL_SECONDS} s.", culprit=True) from None
        except (OSError, EOFError):
            raise self._death() from None

    def end(self) -> None:
        """Ends the process, whatever it is doing, and waits for it."""
        self.connection.close()
        self.popen.kill()
        self.popen.wait()

    def forget(self) -> None:
        """Lets go of it without ending it: for the child of a fork, whose parent goes on using it."""
        self.connection.close()
        self.popen.returncode = 0  # not our child: there is nothing to wait for

    def _death(self) -> SandboxDied:
        self.connection.close()
        code = self.popen.wait()
        if -code in _REASONS:
            return SandboxDied(_REASONS[signal.Signals(-code)], culprit=True)
        if code < 0:
            return SandboxDied(f"The evaluator was ended by signal {-code}.", culprit=False)
        return SandboxDied("The expression engine gave up.", culprit=True)


class _Pool:
    """SIZE places, each with a process or None. Last in, first out: a quiet platform keeps one process warm."""

    def __init__(self) -> None:
        self.processes: set[_Process] = set()
        self._places: queue.LifoQueue[_Process | None] = queue.LifoQueue()
        for _ in range(SIZE):
            self._places.put(None)

    def ask(self, request: bytes) -> list[tuple[bytes, bytes]]:
        process = self._places.get()
        answered = False
        try:
            if process is None:
                process = _Process()
                self.processes.add(process)
            answers = process.ask(request)
            answered = True
            return answers
        finally:
            # also when this thread was interrupted: an answer that is still on its way would be taken for the next one
            if process is not None and not answered:
                self.processes.discard(process)
                process.end()
            self._places.put(process if answered else None)


def _split(body: bytes) -> list[tuple[bytes, bytes]]:
    answers = []
    position = 0
    while position < len(body):
        status, size = ANSWER.unpack_from(body, position)
        position += ANSWER.size
        answers.append((status, body[position : position + size]))
        position += size
    return answers


_pool = _Pool()


def _after_fork() -> None:
    """The child of a fork starts with no processes: on a shared socket, answers would reach the wrong one of the two.

    Sockets are closed so that a process ends with the parent that started it. No lock is touched: its holder may have
    been a thread that the child does not have.
    """
    global _pool
    inherited, _pool = _pool, _Pool()
    for process in inherited.processes:
        process.forget()


def _at_exit() -> None:
    for process in list(_pool.processes):
        process.end()


os.register_at_fork(after_in_child=_after_fork)
atexit.register(_at_exit)
