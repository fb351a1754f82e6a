"""Runs a program that cannot outlive its supervisor: `integration_platform.guardian PARENT PROGRAM ARGUMENT…`.

kill -9 of a supervisor must not leave a web server or a queue behind that nobody watches. The guardian notices that
its parent is gone, asks the program to stop, and kills the whole process group if it does not: a qcluster that hangs
hears no SIGTERM. Signals and the exit status pass through. PARENT is the supervisor's process id: asked for here, it
would be somebody else's if the supervisor died while this one was starting.
"""

import os
import signal
import subprocess
import sys
import time
from types import FrameType

LOOK_SECONDS = 0.5
GRACE_SECONDS = 10.0


def main() -> int:
    parent = int(sys.argv[1])
    program = subprocess.Popen(sys.argv[2:])

    def pass_on(number: int, frame: FrameType | None) -> None:
        program.send_signal(number)

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, pass_on)
    while os.getppid() == parent:
        try:
            return program.wait(LOOK_SECONDS)
        except subprocess.TimeoutExpired:
            continue
    end_group(program)
    return 1


def end_group(program: "subprocess.Popen[bytes]") -> None:
    """SIGTERM to the program, then SIGKILL to the group that it shares with the guardian and all its children."""
    program.terminate()
    end = time.monotonic() + GRACE_SECONDS
    while program.poll() is None and time.monotonic() < end:
        time.sleep(LOOK_SECONDS / 5)
    os.killpg(0, signal.SIGKILL)


if __name__ == "__main__":
    sys.exit(main())
