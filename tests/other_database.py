"""The suite's run on PostgreSQL: it begins with the suite and goes on beside it, wherever a processor has time."""

import contextlib
import os
import signal
import subprocess
import sys
import tempfile

import pytest

from integration_platform.supervisor import GUARDIAN
from tests.processes import ROOT
from tests.services import POSTGRESQL, answers

SUITE = [
    "tests/messages",
    "tests/connectors/test_configuration.py",
    "tests/connectors/test_secrets.py",
    "tests/test_admin_pages.py",
    "tests/integration_platform/test_health.py",
]
SIDE_BY_SIDE = ["-n", "logical", "--maxprocesses", "4", "--dist", "worksteal"]
NICENESS = 15  # the tests beside it wait for real processes, and must not wait for this one
MARKER = "at_the_end"


class Run:
    """The processes, in a group of their own; what they print goes to a file."""

    def __init__(self) -> None:
        self._output = tempfile.TemporaryFile()  # noqa: SIM115 - until `stop`
        tests = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *SIDE_BY_SIDE, *SUITE]
        command = [*GUARDIAN, str(os.getpid()), *tests]
        self._process = subprocess.Popen(
            command, cwd=ROOT, env={**os.environ, "TEST_DATABASE_URL": POSTGRESQL}, start_new_session=True,
            stdin=subprocess.DEVNULL, stdout=self._output, stderr=subprocess.STDOUT,
        )  # fmt: skip
        os.setpriority(os.PRIO_PGRP, self._process.pid, NICENESS)

    def wait(self) -> tuple[int, str]:
        """The exit status, and the end of what was printed; what is left to do is done at full speed."""
        with contextlib.suppress(PermissionError):  # only root takes a niceness back
            os.setpriority(os.PRIO_PGRP, self._process.pid, 0)
        status = self._process.wait()
        self._output.seek(0)
        return status, self._output.read().decode(errors="replace")[-18_000:]

    def stop(self) -> None:
        if self._process.poll() is None:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
        self._output.close()


RUN = pytest.StashKey[Run]()


def begin(session: pytest.Session) -> None:
    """If the suite has it among its tests, and there is a server to run on. Of several processes the first does it."""
    config = session.config
    wanted = not config.option.collectonly and any(item.get_closest_marker(MARKER) for item in session.items)
    is_first = getattr(config, "workerinput", {"workerid": "gw0"})["workerid"] == "gw0"
    if wanted and is_first and answers(POSTGRESQL):
        config.stash[RUN] = Run()


def end(session: pytest.Session) -> None:
    run = session.config.stash.get(RUN, None)
    if run is not None:
        run.stop()
