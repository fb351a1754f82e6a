import gc
import threading

import pytest

from connectors.formats.collecting import LARGE_BYTES, paused_collector


def test_small_bodies_leave_the_collector_alone():
    with paused_collector(LARGE_BYTES - 1):
        assert gc.isenabled()


def test_collector_works_again_when_all_are_done():
    inside, done = threading.Event(), threading.Event()

    def other():
        with paused_collector(LARGE_BYTES):
            inside.set()
            done.wait(10)

    thread = threading.Thread(target=other)
    with paused_collector(LARGE_BYTES):
        thread.start()
        inside.wait(10)
    still_paused = not gc.isenabled()  # the other thread is not done
    done.set()
    thread.join()

    assert still_paused
    assert gc.isenabled()


def test_collector_works_again_behind_an_error():
    with pytest.raises(ZeroDivisionError), paused_collector(LARGE_BYTES):
        1 / 0  # noqa: B018

    assert gc.isenabled()


def test_collector_that_was_off_stays_off():
    gc.disable()
    try:
        with paused_collector(LARGE_BYTES):
            pass
        assert not gc.isenabled()
    finally:
        gc.enable()
