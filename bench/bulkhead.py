"""The queue beside a destination that hangs: what is left of the throughput of another, in messages a second.

    python -m bench bulkhead

A real `manage.py worker`. The hanging endpoint has more waiting lanes than the worker could ever hold, answers nobody,
and its circuit breaker is off: this is the time before one opens. Alone and beside take turns, so that a change of the
machine's load meets both, and of the rounds the median counts.
"""

import json
import os
import statistics
import sys
import time

from bench.lanes import THREADS, WORKERS
from bench.running import Platform, databases, destination

LANES, COUNT, HANGING_LANES = 100, 3000, 2000
ROUNDS = 3
TIMEOUT_SECONDS = 6
SETTLE_SECONDS = 2.0
TARGET = "80%"
CONFIGURATION = """
version: 1
applications:
  - {{slug: shop}}
  - slug: erp
    endpoints:
      - {{slug: well, url: "http://127.0.0.1:{port}/50"}}
      - {{slug: hangs, url: "http://127.0.0.1:{port}/3600000", timeout_seconds: 6, circuit: {{enabled: false}}}}
routes:
  - {{slug: well, source: shop, endpoint: well, ordering_key: lane}}
  - {{slug: hangs, source: shop, endpoint: hangs, ordering_key: lane}}
"""


def throughput(platform: Platform) -> float:
    told = json.loads(platform.run("-m", "bench.fill", "well", str(LANES), str(COUNT)))
    return COUNT / float(told["seconds"])


def rounds(platform: Platform) -> tuple[float, float]:
    """Messages a second alone and beside the endpoint that hangs: the medians."""
    found: dict[str, list[float]] = {"alone": [], "beside": []}
    for _ in range(ROUNDS):
        pause(platform, paused=True)
        time.sleep(TIMEOUT_SECONDS + SETTLE_SECONDS)  # what hangs has ended
        found["alone"].append(throughput(platform))
        pause(platform, paused=False)
        time.sleep(SETTLE_SECONDS)  # it has all that it can get
        found["beside"].append(throughput(platform))
    return statistics.median(found["alone"]), statistics.median(found["beside"])


def pause(platform: Platform, *, paused: bool) -> None:
    change = f"from connectors.models import Route; Route.objects.filter(slug='hangs').update(paused={paused})"
    platform.run("manage.py", "shell", "-c", change)


def main() -> None:
    sys.stdout.write(f"Beside a destination that hangs, load average {os.getloadavg()[0]:.1f}\n\n")
    sys.stdout.write(f"{'database':12}{'alone/s':>10}{'beside/s':>10}{'share':>8}{'target':>8}\n")
    with destination() as port, databases() as urls:
        for name, url in urls.items():
            with Platform(url, CONFIGURATION.format(port=port), port) as platform:
                platform.environment |= {"QUEUE_WORKERS": str(WORKERS[name]), "QUEUE_THREADS": str(THREADS)}
                platform.start("manage.py", "worker")
                platform.run("-m", "bench.fill", "well", "50", "200")  # warm
                platform.run("-m", "bench.fill", "hangs", str(HANGING_LANES), str(HANGING_LANES), "--leave")
                alone, beside = rounds(platform)
                sys.stdout.write(f"{name:12}{alone:>10,.0f}{beside:>10,.0f}{beside / alone:>8.0%}{TARGET:>8}\n")
                sys.stdout.flush()


if __name__ == "__main__":
    main()
