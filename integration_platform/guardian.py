"""Becomes another program that cannot outlive its parent: `python -m integration_platform.guardian PROGRAM ARGUMENT…`.

kill -9 of a supervisor must not leave a web server or a queue behind that nobody watches. On Linux the kernel sends
SIGTERM to this process when its parent ends; the setting survives exec. Elsewhere it just becomes the program.
"""

import ctypes
import os
import signal
import sys

PR_SET_PDEATHSIG = 1


def main() -> None:
    parent = os.getppid()
    if sys.platform.startswith("linux"):
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
        if os.getppid() != parent:  # it ended before the kernel was asked
            return
    os.execvp(sys.argv[1], sys.argv[1:])  # noqa: S606 - the supervisor's own command


if __name__ == "__main__":
    main()
