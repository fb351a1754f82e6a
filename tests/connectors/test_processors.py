import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from connectors.processors import CAN_CHOOSE, Reading, choice

ROOT = Path(__file__).parents[2]
MANY = len(os.sched_getaffinity(0)) if CAN_CHOOSE else 1


def after_a_second(*busy: int, own: float) -> tuple[Reading, Reading]:
    """Processors that were so many of 100 ticks at work, this process's seconds among them."""
    cpus = range(len(busy))
    before = Reading(dict.fromkeys(cpus, 1000), dict.fromkeys(cpus, 5000), own=7.0, at=70.0)
    now = Reading({cpu: 1000 + busy[cpu] for cpu in cpus}, dict.fromkeys(cpus, 5100), own=7.0 + own, at=71.0)
    return before, now


@pytest.mark.parametrize(
    ("busy", "own", "mine", "expected"),
    [
        ((90, 20, 60), 0.9, None, 1),  # it begins where the least is done
        ((90, 20, 60), 0.01, None, None),  # who has nothing to do has nothing to gain
        ((90, 20, 60), 0.01, 0, 0),
        ((95, 0, 60), 0.9, 0, 0),  # alone there: the work is its own
        ((100, 10, 60), 0.5, 0, 1),  # others do half of it
        ((100, 40, 60), 0.5, 0, 0),  # elsewhere it would be no better
        ((100, 30), 0.5, 5, 1),  # a processor that is gone
    ],
)
def test_process_is_where_others_are_not(
    busy: tuple[int, ...], own: float, mine: int | None, expected: int | None
) -> None:
    before, now = after_a_second(*busy, own=own)

    assert choice(before, now, allowed={0, 1, 2}, mine=mine) == expected


def test_processors_that_it_may_not_use_are_not_chosen() -> None:
    before, now = after_a_second(90, 0, 60, own=0.9)

    assert choice(before, now, allowed={0, 2}, mine=None) == 2


@pytest.mark.skipif(MANY < 2, reason="there is no choice of processors here")
def test_threads_of_a_busy_process_lie_on_one_processor_and_what_it_starts_may_go_to_all() -> None:
    program = """
        import os, subprocess, sys, threading, time
        from connectors import processors

        processors.LOOK_SECONDS = (0.05, 0.1)
        allowed = os.sched_getaffinity(0)
        processors.settler.begin()
        for _ in range(3):
            threading.Thread(target=lambda: [time.sleep(0) for _ in iter(int, 1)], daemon=True).start()

        def places():
            return {frozenset(os.sched_getaffinity(int(task))) for task in os.listdir("/proc/self/task")}

        end = time.monotonic() + 20
        while time.monotonic() < end and not (len(places()) == 1 and len(*places()) == 1):
            time.sleep(0.05)
        show = [sys.executable, "-c", "import os; print(len(os.sched_getaffinity(0)))"]
        with processors.settler.anywhere():
            started = int(subprocess.check_output(show))
        print(len(places()), len(*places()), started == len(allowed), flush=True)
        os._exit(0)
    """

    command = [sys.executable, "-c", textwrap.dedent(program)]
    told = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)

    assert told.stdout.split() == ["1", "1", "True"], told.stderr
