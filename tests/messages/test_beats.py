"""What the supervisor reads off the files that workers and monitors touch."""

import os
from pathlib import Path

import pytest

from messages import broker
from messages.beats import ENDED, MONITOR, VARIABLE


@pytest.fixture
def beats(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv(VARIABLE, str(tmp_path))
    return tmp_path


def set_back(path: Path, seconds: int) -> float:
    moment = path.stat().st_mtime - seconds
    os.utime(path, (moment, moment))
    return path.stat().st_mtime


def test_first_task_that_the_monitor_has_not_heard_of_is_remembered(beats: Path) -> None:
    """A monitor that hangs is found although tasks go on ending."""
    broker.worker_ended_a_task()
    first = set_back(beats / ENDED, 10)

    broker.worker_ended_a_task()

    assert (beats / ENDED).stat().st_mtime == first


def test_task_that_ends_after_the_monitor_was_heard_has_to_be_heard_of_anew(beats: Path) -> None:
    broker.worker_ended_a_task()
    first = set_back(beats / ENDED, 10)
    broker.monitor_heard_of_it()
    set_back(beats / MONITOR, 5)

    broker.worker_ended_a_task()

    assert (beats / ENDED).stat().st_mtime > first
