"""A real worker under `manage.py worker`: what hangs is replaced, what is only slow is left alone."""

import contextlib
import time
from collections.abc import Callable, Iterator

import psutil
import pytest

from messages.beats import ENDED, MONITOR, WORKER
from tests.destination import Answer, Destination
from tests.faults.apps import FOLDER
from tests.faults.tree import kind_of
from tests.flows.conftest import KEY, Platform

pytestmark = [pytest.mark.processes, pytest.mark.timeout(180)]
STALE_SECONDS = 8  # of tests.faults.settings
CONFIGURATION = """
version: 1
applications:
  - {{slug: shop, credentials: [{{name: main, scheme: api_key, secret: "{key}"}}]}}
  - {{slug: erp, endpoints: [{{slug: orders, url: "{url}", timeout_seconds: 60, circuit: {{enabled: false}}}}]}}
routes:
  - {{slug: orders, source: shop, endpoint: orders, ordering_key: lane}}
  - {{slug: payments, source: shop, endpoint: orders, ordering_key: lane, on_unknown: stop}}
"""


@pytest.fixture(scope="module")
def destination() -> Iterator[Destination]:
    with Destination() as server:
        yield server


@pytest.fixture(scope="module")
def platform(destination: Destination, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    """One for all of these tests: each leaves it well."""
    folder = tmp_path_factory.mktemp("platform")
    running = Platform(folder, "", allowed=f"127.0.0.1/32:{destination.port}")
    running.environment |= {"DJANGO_SETTINGS_MODULE": "tests.faults.settings", FOLDER: str(folder)}
    running.environment |= {"QUEUE_WORKERS": "1", "TMPDIR": str(folder)}
    try:
        running.start(CONFIGURATION.format(key=KEY, url=destination.url("/orders")))
        yield running
    finally:
        running.stop()


def test_worker_that_waits_for_slow_answers_is_left_alone(platform: Platform, destination: Destination) -> None:
    """Its pump goes on for longer than a monitor may take to answer, and no task ends meanwhile."""
    processes_of_lanes(platform)
    before = len(platform.whole_log())
    destination.answers("/orders", Answer(200, delay_seconds=STALE_SECONDS + 4))

    pushed = [platform.push("/webhooks/orders", {"lane": name}) for name in "AB"]
    results = [platform.result(one, wait=30) for one in pushed]

    destination.answers("/orders")
    assert [result["status"] for result in results] == ["succeeded", "succeeded"]
    assert [result["attempts"] for result in results] == [1, 1]
    assert platform.whole_log()[before:] == ""


@pytest.mark.parametrize(
    ("kind", "noticed"),
    [
        ("qcluster worker", "qcluster lanes hangs: its worker has been silent"),
        ("qcluster monitor", "qcluster lanes hangs: its monitor has not answered"),
        ("qcluster sentinel", "qcluster lanes ended with status"),
        ("guardian", "qcluster lanes ended with status"),
    ],
)
def test_idle_process_of_a_cluster_that_is_killed_is_made_up_for(platform: Platform, kind: str, noticed: str) -> None:
    """A stock qcluster hangs for ever where an idle worker, or its monitor, is killed: it has died with a lock."""
    (victim,) = [process for process in processes_of_lanes(platform) if kind_of(process) == kind]
    before = platform.whole_log().count(noticed)

    victim.kill()
    pushed = platform.push("/webhooks/orders", {"lane": "A"})
    wait_until(lambda: platform.whole_log().count(noticed) > before, platform, seconds=60)
    processes_of_lanes(platform)
    result = platform.result(pushed, wait=30)

    assert (result["status"], result["attempts"]) == ("succeeded", 1)


def test_what_a_worker_had_in_hand_that_was_killed_is_left_to_a_person(
    platform: Platform, destination: Destination
) -> None:
    """On a route that says so: nobody knows whether it has arrived. What waits behind it is not sent either."""
    processes = processes_of_lanes(platform)
    before = len(destination.received("/orders"))
    destination.answers("/orders", Answer(200, delay_seconds=20))
    first, second = (platform.push("/webhooks/payments", {"lane": "A"}) for _ in range(2))
    destination.wait_for(before + 1, path="/orders")

    for process in processes:
        if kind_of(process) == "qcluster worker":
            process.kill()
    result = platform.result(first, wait=30)

    destination.answers("/orders")
    assert (result["status"], result["attempts"]) == ("dead", 1)
    assert result["error"]["detail"].endswith("while it handled the message. It may have arrived all the same.")
    assert platform.result(second, wait=1)["status"] == "queued"
    assert len(destination.received("/orders")) == before + 1


def processes_of_lanes(platform: Platform) -> list[psutil.Process]:
    """The whole group, idle: a guardian, main, sentinel, one worker, monitor, pusher. Both have shown themselves."""
    found: list[psutil.Process] = []

    def are_there() -> bool:
        worker = psutil.Process(platform.processes[1].pid)
        with contextlib.suppress(psutil.NoSuchProcess):
            guardians = [one for one in worker.children() if one.environ().get("Q_CLUSTER_NAME") == "lanes"]
            found[:] = [one for guardian in guardians for one in (guardian, *guardian.children(recursive=True))]
            shown = {path.name for path in platform.folder.glob("platform-beats-*/lanes/*")}
            waits = any(" ".join(one.cmdline()).strip().endswith(" idle") for one in found)
            return len(found) == 6 and waits and shown == {WORKER, MONITOR, ENDED}
        return False

    wait_until(are_there, platform, seconds=60)
    return found


def wait_until(condition: Callable[[], object], platform: Platform, *, seconds: float) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, platform.log()
        time.sleep(0.1)
