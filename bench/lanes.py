"""The queue: messages a second from accepted to recorded, beside bare `requests.Session` calls without any database.

    python -m bench lanes

A real `manage.py worker`; all messages of a case become visible by one commit, and the time runs from the first attempt
to the last record. The bare calls are made by as many processes and threads as the queue has, to the same destination.
With one lane the bare call is made by one thread: the serial limit, one message a round trip.
"""

import json
import multiprocessing
import os
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import requests

from bench.running import Platform, cpu_seconds, databases, destination

CASES = ((1, 0, 400), (100, 0, 3000), (10_000, 0, 10_000), (1, 50, 60), (100, 50, 2000), (10_000, 50, 10_000))
BARE_SECONDS = 2.0
THREADS = 32
WORKERS = {"SQLite": 1, "PostgreSQL": 2}
CPU_TARGET_MS = 1.5
CONFIGURATION = """
version: 1
applications:
  - {{slug: shop}}
  - slug: erp
    endpoints:
      - {{slug: quick, url: "http://127.0.0.1:{port}/0"}}
      - {{slug: slow, url: "http://127.0.0.1:{port}/50"}}
routes:
  - {{slug: delay-0, source: shop, endpoint: quick, ordering_key: lane}}
  - {{slug: delay-50, source: shop, endpoint: slow, ordering_key: lane}}
"""


def bare(port: int, delay: int, *, processes: int, threads: int) -> float:
    """Calls a second of bare sessions, one a thread."""
    with multiprocessing.get_context("spawn").Pool(processes) as pool:
        return sum(pool.starmap(_bare_process, [(port, delay, threads)] * processes))


def _bare_process(port: int, delay: int, threads: int) -> float:
    url, body = f"http://127.0.0.1:{port}/{delay}", b"x" * 450

    def work(end: float) -> int:
        calls = 0
        with requests.Session() as session:
            session.trust_env = False
            while time.perf_counter() < end:
                session.post(url, data=body, headers={"Content-Type": "application/json"}, timeout=(5, 10))
                calls += 1
        return calls

    with ThreadPoolExecutor(threads) as pool:
        begin = time.perf_counter()
        calls = sum(pool.map(work, [begin + BARE_SECONDS] * threads))
        return calls / (time.perf_counter() - begin)


def main() -> None:
    sys.stdout.write(f"The queue, load average {os.getloadavg()[0]:.1f}\n\n")
    head = f"{'database':12}{'lanes':>8}{'delay ms':>10}{'messages/s':>12}{'bare/s':>10}{'share':>8}{'target':>8}"
    sys.stdout.write(f"{head}{'CPU ms':>9}{'target':>8}\n")
    with destination() as port, databases() as urls:
        for name, url in urls.items():
            with Platform(url, CONFIGURATION.format(port=port), port) as platform:
                platform.environment |= {"QUEUE_WORKERS": str(WORKERS[name]), "QUEUE_THREADS": str(THREADS)}
                worker = platform.start("manage.py", "worker")
                platform.run("-m", "bench.fill", "delay-0", "50", "200")  # warm
                for lanes, delay, count in CASES:
                    before = cpu_seconds(worker)
                    told = json.loads(platform.run("-m", "bench.fill", f"delay-{delay}", str(lanes), str(count)))
                    cpu = (cpu_seconds(worker) - before) / count * 1000
                    serial = lanes == 1
                    base = bare(port, delay, processes=1 if serial else WORKERS[name], threads=1 if serial else THREADS)
                    rate = count / told["seconds"]
                    wanted = 0.9 if serial and delay else 0.6 if lanes == 100 else 0.0
                    target = f"{wanted:.0%}" if wanted else ""
                    cpu_target = f"{CPU_TARGET_MS}" if lanes == 100 and not delay else ""
                    sys.stdout.write(
                        f"{name:12}{lanes:>8,}{delay:>10}{rate:>12,.0f}{base:>10,.0f}{rate / base:>8.0%}{target:>8}"
                        f"{cpu:>9.2f}{cpu_target:>8}"
                        f"{'  missed' if rate / base < wanted or (cpu_target and cpu > CPU_TARGET_MS) else ''}\n"
                    )
                    sys.stdout.flush()


if __name__ == "__main__":
    main()
