"""The queue beside a destination that hangs: what is left of the throughput of another, in messages a second.

    python -m bench bulkhead

A real `manage.py worker`. The hanging endpoint has as many waiting lanes as the worker could ever hold, answers nobody
in the time that is measured, and its circuit breaker is off: this is the time before one opens.
"""

import json
import os
import sys
import time

from bench.lanes import THREADS, WORKERS
from bench.running import Platform, databases, destination

LANES, COUNT, HANGING_LANES = 100, 3000, 1000
SETTLE_SECONDS = 3.0
TARGET = "80%"
CONFIGURATION = """
version: 1
applications:
  - {{slug: shop}}
  - slug: erp
    endpoints:
      - {{slug: well, url: "http://127.0.0.1:{port}/50"}}
      - {{slug: hangs, url: "http://127.0.0.1:{port}/3600000", timeout_seconds: 20, circuit: {{enabled: false}}}}
routes:
  - {{slug: well, source: shop, endpoint: well, ordering_key: lane}}
  - {{slug: hangs, source: shop, endpoint: hangs, ordering_key: lane}}
"""


def throughput(platform: Platform) -> float:
    told = json.loads(platform.run("-m", "bench.fill", "well", str(LANES), str(COUNT)))
    return COUNT / float(told["seconds"])


def main() -> None:
    sys.stdout.write(f"Beside a destination that hangs, load average {os.getloadavg()[0]:.1f}\n\n")
    sys.stdout.write(f"{'database':12}{'alone/s':>10}{'beside/s':>10}{'share':>8}{'target':>8}\n")
    with destination() as port, databases() as urls:
        for name, url in urls.items():
            with Platform(url, CONFIGURATION.format(port=port), port) as platform:
                platform.environment |= {"QUEUE_WORKERS": str(WORKERS[name]), "QUEUE_THREADS": str(THREADS)}
                platform.start("manage.py", "worker")
                platform.run("-m", "bench.fill", "well", "50", "200")  # warm
                alone = throughput(platform)
                platform.run("-m", "bench.fill", "hangs", str(HANGING_LANES), str(HANGING_LANES), "--leave")
                time.sleep(SETTLE_SECONDS)  # it has all that it can get
                beside = throughput(platform)
                sys.stdout.write(f"{name:12}{alone:>10,.0f}{beside:>10,.0f}{beside / alone:>8.0%}{TARGET:>8}\n")
                sys.stdout.flush()


if __name__ == "__main__":
    main()
