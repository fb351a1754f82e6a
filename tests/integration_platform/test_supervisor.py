import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from integration_platform.supervisor import Child, Supervisor, silent, unanswered

pytestmark = pytest.mark.processes
PATIENT = (
    "import signal,sys,time; signal.signal(signal.SIGTERM, lambda *a: sys.exit(0));"
    "open({0!r}, 'a').write('x'); time.sleep(60)"
)
DEAF = "import signal,time; signal.signal(signal.SIGTERM, signal.SIG_IGN); open({0!r}, 'a').write('x'); time.sleep(60)"
PARENT = (
    "import subprocess,sys,time; p = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)']);"
    "open({0!r}, 'w').write(str(p.pid)); time.sleep(60)"
)


def python(code: str, path: Path) -> list[str]:
    return [sys.executable, "-c", code.format(str(path))]


def until(condition: Callable[[], object], seconds: float = 10.0) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.02)


def is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


@pytest.fixture
def supervise() -> Iterator[Callable[..., Supervisor]]:
    """Runs supervisors in threads and ends them."""
    running: list[tuple[Supervisor, threading.Thread]] = []

    def begin(*children: Child, grace_seconds: float = 5.0) -> Supervisor:
        supervisor = Supervisor(children, grace_seconds=grace_seconds)
        thread = threading.Thread(target=supervisor.run)
        thread.start()
        running.append((supervisor, thread))
        return supervisor

    yield begin
    for supervisor, thread in running:
        supervisor.stop()
        thread.join(15)
        assert not thread.is_alive()


def test_child_that_dies_is_started_again(supervise: Callable[..., Supervisor], tmp_path: Path) -> None:
    child = Child("sleeper", python(PATIENT, tmp_path / "starts"))
    supervise(child)
    until(lambda: (tmp_path / "starts").exists())

    assert child.process is not None
    os.kill(child.process.pid, signal.SIGKILL)

    until(lambda: (tmp_path / "starts").read_text() == "xx")


def test_child_that_is_sick_is_replaced_with_its_whole_group(
    supervise: Callable[..., Supervisor], tmp_path: Path
) -> None:
    sick = threading.Event()
    child = Child("parent", python(PARENT, tmp_path / "pid"), sick=lambda now: "hangs" if sick.is_set() else None)
    supervise(child)
    until(lambda: (tmp_path / "pid").exists() and (tmp_path / "pid").read_text())
    grandchild = int((tmp_path / "pid").read_text())

    sick.set()
    until(lambda: not is_alive(grandchild))
    sick.clear()

    until(lambda: (tmp_path / "pid").read_text() != str(grandchild))


def test_stopping_asks_first_and_kills_what_does_not_listen(
    supervise: Callable[..., Supervisor], tmp_path: Path
) -> None:
    polite = Child("polite", python(PATIENT, tmp_path / "polite"))
    deaf = Child("deaf", python(DEAF, tmp_path / "deaf"))
    supervisor = supervise(polite, deaf, grace_seconds=1.0)
    until(lambda: (tmp_path / "polite").exists() and (tmp_path / "deaf").exists())

    supervisor.stop()

    until(lambda: not polite.alive and not deaf.alive)
    assert polite.process is not None
    assert polite.process.wait(5) == 0
    assert deaf.process is not None
    assert deaf.process.wait(5) == -signal.SIGKILL


@pytest.mark.parametrize("program", [PATIENT, PARENT])
def test_children_do_not_outlive_a_killed_supervisor(tmp_path: Path, program: str) -> None:
    code = (
        "import sys; from integration_platform.supervisor import Child, Supervisor;"
        f"Supervisor([Child('c', {python(program, tmp_path / 'x')!r})], grace_seconds=1).run()"
    )
    supervisor = subprocess.Popen([sys.executable, "-c", code], cwd=Path(__file__).parents[2])
    until(lambda: (tmp_path / "x").exists() and (tmp_path / "x").read_text())
    (guardian,) = Path(f"/proc/{supervisor.pid}/task/{supervisor.pid}/children").read_text().split()
    group = subprocess.run(["/usr/bin/env", "pgrep", "-g", guardian], capture_output=True, text=True, check=True)
    pids = [int(pid) for pid in group.stdout.split()]

    supervisor.kill()
    supervisor.wait()

    assert len(pids) >= 2
    until(lambda: not any(is_alive(pid) for pid in pids))


def test_what_a_child_left_behind_is_gone_before_it_starts_again(
    supervise: Callable[..., Supervisor], tmp_path: Path
) -> None:
    child = Child("sleeper", python(PATIENT, tmp_path / "starts"))
    child.before_start = lambda: (tmp_path / "starts").unlink(missing_ok=True)
    supervise(child)
    until(lambda: (tmp_path / "starts").exists())
    first = child.process
    assert first is not None

    first.kill()

    until(lambda: child.process not in (None, first) and (tmp_path / "starts").exists())
    assert (tmp_path / "starts").read_text() == "x"


def touched(path: Path, *, seconds_ago: float | None) -> Path:
    if seconds_ago is not None:
        path.touch()
        os.utime(path, (time.time() - seconds_ago, time.time() - seconds_ago))
    return path


@pytest.mark.parametrize(
    ("shown_ago", "started_ago", "hangs"),
    [
        (2, 100, False),  # fresh
        (40, 100, True),  # silent
        (None, 20, False),  # still starting
        (None, 70, True),  # never came
        (40, 20, False),  # its file is older than the process: still starting
    ],
)
def test_silent_role_is_found(tmp_path: Path, shown_ago: float | None, started_ago: int, hangs: bool) -> None:
    role = touched(tmp_path / "worker", seconds_ago=shown_ago)

    reason = silent(role, seconds=30, start_seconds=60, started_at=time.monotonic() - started_ago)

    assert (reason is not None and "its worker has been silent" in reason) == hangs


@pytest.mark.parametrize(
    ("asked_ago", "answered_ago", "hangs"),
    [
        (None, None, False),  # nothing has been asked yet
        (None, 100, False),
        (100, 99, False),  # nothing has been asked since: it may be silent for as long as it likes
        (20, 100, False),  # it still has time
        (40, 100, True),
        (40, None, True),  # it has never answered at all
    ],
)
def test_missing_answer_is_found(
    tmp_path: Path, asked_ago: float | None, answered_ago: float | None, hangs: bool
) -> None:
    asked = touched(tmp_path / "ended", seconds_ago=asked_ago)
    answer = touched(tmp_path / "monitor", seconds_ago=answered_ago)

    reason = unanswered(asked, answer, seconds=30)

    assert (reason is not None and "its monitor has not answered" in reason) == hangs
