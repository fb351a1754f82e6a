"""The sandbox's processes: borrowed, replaced when they die, left behind by nobody."""

import contextlib
import os
import signal
import threading
import time
from pathlib import Path

import pytest

from connectors import sandbox
from connectors.sandbox import SandboxDied, ask
from connectors.sandbox_limits import EVALUATE, FAILED, UNDEFINED, VALUE

SLOW = "($f := function($n){$n = 0 ? 1 : $f($n - 1)}; $f(100000))"


def pids() -> set[int]:
    return {process.popen.pid for process in sandbox._pool.processes}


def end_all() -> None:
    for pid in pids():
        os.kill(pid, signal.SIGKILL)


def test_answers_come_in_the_order_of_the_texts():
    answers = ask(EVALUATE, ["a", "nothing", "$error('no')", "'ä'"], b'{"a": [1, 2.5]}')

    assert answers[0] == (VALUE, b"[1,2.5]")
    assert answers[1] == (UNDEFINED, b"")
    assert answers[2][0] == FAILED
    assert answers[3] == (VALUE, '"ä"'.encode())


def test_process_is_used_again():
    ask(EVALUATE, ["1"], b"{}")
    before = pids()

    ask(EVALUATE, ["2"], b"{}")

    assert pids() == before


def test_there_are_never_more_processes_than_places():
    threads = [
        threading.Thread(target=lambda: [ask(EVALUATE, ["1"], b"{}") for _ in range(20)])
        for _ in range(4 * sandbox.SIZE)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert 1 <= len(pids()) <= sandbox.SIZE


def test_processes_that_somebody_ended_are_replaced_without_a_failure():
    threads = [threading.Thread(target=ask, args=(EVALUATE, [SLOW], b"{}")) for _ in range(sandbox.SIZE)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    before = pids()
    end_all()

    answers = ask(EVALUATE, ["1 + 1"], b"{}")

    assert answers == [(VALUE, b"2")]
    assert pids() - before


def test_broken_limit_is_the_requests_own_fault_and_is_not_tried_again():
    with pytest.raises(SandboxDied, match="memory") as caught:
        ask(EVALUATE, ["$pad('', 2000000000)"], b"{}")

    assert caught.value.culprit


def test_dead_processes_are_reaped():
    before = pids()

    with contextlib.suppress(SandboxDied):
        ask(EVALUATE, ["$pad('', 2000000000)"], b"{}")

    for pid in before - pids():
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)


def test_interrupted_caller_leaves_no_answer_behind_for_the_next(monkeypatch):
    ask(EVALUATE, ["1"], b"{}")

    def interrupt(*arguments):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(sandbox, "receive", interrupt)
        with pytest.raises(KeyboardInterrupt):
            ask(EVALUATE, ["'of the interrupted'"], b"{}")

    assert ask(EVALUATE, ["'of the next'"], b"{}") == [(VALUE, b'"of the next"')]


def test_stopped_process_is_given_up_after_a_while(monkeypatch):
    end_all()
    monkeypatch.setattr(sandbox, "WALL_SECONDS", 1)
    ask(EVALUATE, ["1"], b"{}")
    stopped = pids()
    for pid in stopped:
        os.kill(pid, signal.SIGSTOP)

    with pytest.raises(SandboxDied, match="no answer"):
        ask(EVALUATE, ["1"], b"{}")

    assert len(pids() & stopped) == len(stopped) - 1
    for pid in pids() & stopped:
        os.kill(pid, signal.SIGKILL)


def test_terminal_signals_do_not_end_a_process_at_work():
    ask(EVALUATE, ["1"], b"{}")
    working = threading.Event()
    answers = []

    def work() -> None:
        working.set()
        answers.extend(ask(EVALUATE, [SLOW], b"{}"))

    thread = threading.Thread(target=work)
    thread.start()
    working.wait()
    for pid in pids():
        os.kill(pid, signal.SIGINT)
        os.kill(pid, signal.SIGTERM)
    thread.join()

    assert answers == [(VALUE, b"1")]


def test_forked_child_starts_its_own_and_leaves_the_parents_alone():
    ask(EVALUATE, ["1"], b"{}")
    before = pids()
    reading, writing = os.pipe()

    child = os.fork()
    if child == 0:  # in the child: report what it sees, and end without any of the test runner's own endings
        try:
            known = len(sandbox._pool.processes)
            answer = ask(EVALUATE, ["'child'"], b"{}")
            os.write(writing, f"{known} {answer[0][1].decode()} {not (pids() & before)}".encode())
            sandbox._at_exit()
        finally:
            os._exit(0)
    os.waitpid(child, 0)
    report = os.read(reading, 1000).decode()
    os.close(reading)
    os.close(writing)

    assert report == '0 "child" True'
    assert ask(EVALUATE, ["'parent'"], b"{}") == [(VALUE, b'"parent"')]
    assert pids() == before


def test_process_ends_when_nobody_holds_its_socket():
    process = sandbox._Process()

    process.connection.close()

    assert process.popen.wait(timeout=10) == 0


@pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="needs /proc")
def test_process_does_not_get_our_environment(monkeypatch):
    monkeypatch.setenv("SHOP_API_KEY", "canary-7f3a")
    process = sandbox._Process()
    deadline = time.monotonic() + 10

    environment = b""
    while not environment and time.monotonic() < deadline:
        environment = Path(f"/proc/{process.popen.pid}/environ").read_bytes()
    process.end()

    assert b"PYTHONPATH" in environment
    assert b"canary-7f3a" not in environment
