"""Several machines: web servers and workers with nothing in common but PostgreSQL, one of them with a fast clock."""

import subprocess
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import psutil
import psycopg
import pytest

from tests.destination import Answer, Destination, Received
from tests.flows.conftest import Platform, configuration, postgresql_database
from tests.senders import SENDER

pytestmark = [pytest.mark.processes, pytest.mark.postgresql, pytest.mark.timeout(240)]
LANES, EACH = 12, 15


@pytest.fixture
def database() -> Iterator[str]:
    yield from postgresql_database()


def test_two_machines_send_each_message_once_and_in_order(database: str, tmp_path: Path) -> None:
    with Destination() as destination:
        destination.answers("/plain", Answer(200, {"ok": True}, delay_seconds=0.1))
        one, other = machines(database, tmp_path, destination)
        try:
            one.start(configuration(destination))
            keys = tmp_path / "other" / "data" / "encryption_keys"
            keys.parent.mkdir()
            keys.write_bytes((tmp_path / "one" / "data" / "encryption_keys").read_bytes())
            other.serve()
            other.wait_until_ready()
            wait_for_workers(database, 2)

            for number in range(EACH):
                for lane in range(LANES):
                    answer = (one, other)[lane % 2].push("/webhooks/plain", {"lane": f"L{lane}", "number": number})
                    assert answer.status_code == 202, answer.text
            asynchronous = destination.wait_for(LANES * EACH, timeout=90, path="/plain")
            waiting = [machine.result(answer) for machine in (one, other)]
            answers = [
                machine.push("/webhooks/plain/sync", {"lane": "L0", "number": EACH + number})
                for number, machine in enumerate((one, other))
            ]
            processes = [pids(process) for machine in (one, other) for process in machine.processes]
        finally:
            one.stop()
            other.stop()

    numbers = defaultdict(list)
    for request in destination.received("/plain"):
        numbers[request.json()["lane"]].append(request.json()["number"])
    expected = {f"L{lane}": list(range(EACH)) for lane in range(LANES)}
    assert numbers == {**expected, "L0": list(range(EACH + 2))}, "each once, in order"
    assert [result["status"] for result in waiting] == ["succeeded", "succeeded"]
    assert [answer.status_code for answer in answers] == [200, 200]
    one_web, one_worker, other_web, other_worker = processes
    assert senders(asynchronous) & one_worker
    assert senders(asynchronous) & other_worker
    synchronous = destination.received("/plain")[LANES * EACH :]
    assert [senders([request]) <= web for request, web in zip(synchronous, (one_web, other_web), strict=True)] == [
        True,
        True,
    ]


def machines(database: str, folder: Path, destination: Destination) -> list[Platform]:
    made = []
    for name, settings in (("one", "tests.flows.named"), ("other", "tests.flows.ahead")):
        (folder / name).mkdir()
        machine = Platform(folder / name, database, allowed=f"127.0.0.1/32:{destination.port}")
        machine.environment |= {
            "DJANGO_SETTINGS_MODULE": settings, "SECRET_KEY": "of-both-machines", "QUEUE_WORKERS": "1",
        }  # fmt: skip
        made.append(machine)
    return made


def senders(requests: list[Received]) -> set[int]:
    return {int(request.header(SENDER)) for request in requests}


def pids(process: "subprocess.Popen[bytes]") -> set[int]:
    return {process.pid, *(child.pid for child in psutil.Process(process.pid).children(recursive=True))}


def wait_for_workers(database: str, count: int) -> None:
    """Both have written their sign of life."""
    with psycopg.connect(database, autocommit=True) as connection:
        for _ in range(600):
            (found,) = connection.execute("SELECT count(*) FROM messaging_worker").fetchone() or (0,)
            if found >= count:
                return
            connection.execute("SELECT pg_sleep(0.1)")
    raise AssertionError("The other worker did not start.")
