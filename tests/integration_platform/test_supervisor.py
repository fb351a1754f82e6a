import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from integration_platform.supervisor import Child, Supervisor, silent_role

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


@pytest.mark.parametrize(
    ("ages", "started_ago", "silent"),
    [
        ({"worker": 1, "monitor": 2}, 100, None),  # both fresh
        ({"worker": 1, "monitor": 40}, 100, "monitor"),  # one silent
        ({"worker": 1}, 20, None),  # still starting
        ({"worker": 1}, 70, "monitor"),  # never came
        ({"worker": 1, "monitor": 40}, 20, None),  # its file is older than the process: still starting
    ],
)
def test_silent_roles_are_found(tmp_path: Path, ages: dict[str, int], started_ago: int, silent: str | None) -> None:
    for role, age in ages.items():
        (tmp_path / role).touch()
        os.utime(tmp_path / role, (time.time() - age, time.time() - age))

    reason = silent_role(
        tmp_path, ("worker", "monitor"), seconds=30, start_seconds=60, started_at=time.monotonic() - started_ago
    )

    assert (reason is None) if silent is None else (reason is not None and silent in reason)
