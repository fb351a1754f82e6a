"""The door: answers a second beside bare views that do nothing but store (and call), under the same server.

    python -m bench door

Platform and bare views take turns, the best of ROUNDS counts. The callers are connections of another process that send
their next request as soon as the last one is answered. Each caller has a lane of its own.
"""

import os
import sys

from bench.running import KEY, Load, Platform, databases, destination, load

CALLERS = (1, 16, 64)
SECONDS = 1.5
ROUNDS = 2
SERVERS = {"SQLite": (1, 64), "PostgreSQL": (2, 32)}
CONFIGURATION = """
version: 1
applications:
  - {{slug: shop, credentials: [{{name: main, scheme: api_key, secret: "{key}"}}]}}
  - slug: erp
    endpoints:
      - {{slug: quick, url: "http://127.0.0.1:{port}/0"}}
      - {{slug: slow, url: "http://127.0.0.1:{port}/50"}}
routes:
  - {{slug: quick, source: shop, endpoint: quick, patterns: [async, sync], ordering_key: lane}}
  - {{slug: slow, source: shop, endpoint: slow, patterns: [async, sync], ordering_key: lane}}
"""


def main() -> None:
    sys.stdout.write(f"The door, load average {os.getloadavg()[0]:.1f}\n\n")
    head = f"{'database':12}{'what':16}{'callers':>8}{'answers/s':>11}{'bare/s':>9}{'share':>8}{'target':>8}"
    sys.stdout.write(f"{head}{'p50 ms':>9}{'p95 ms':>9}{'p95/p50':>9}\n")
    with destination() as port, databases() as urls:
        for name, url in urls.items():
            platform = Platform(url, CONFIGURATION.format(key=KEY, port=port), port)
            workers, threads = SERVERS[name]
            platform.environment |= {"WEB_WORKERS": str(workers), "WEB_THREADS": str(threads)}
            application = "integration_platform.rsgi:application"
            try:
                own = platform.serve(
                    application, workers=workers,
                    settings="integration_platform.settings", path="/health/live",
                )  # fmt: skip
                bare = platform.serve(application, workers=workers, settings="bench.bare", path="/ready")
                for callers in CALLERS:
                    _line(name, "async accept", callers, (own, "/webhooks/quick", 202), (bare, "/accept", 202), 0.7)
                for callers in CALLERS:
                    subject = (own, "/webhooks/quick/sync", 200)
                    _line(name, "sync, 0 ms", callers, subject, (bare, f"/answer/{port}/0", 200), 0.5)
                subject = (own, "/webhooks/slow/sync", 200)
                _line(name, "sync, 50 ms", 64, subject, (bare, f"/answer/{port}/50", 200), None)
            finally:
                platform.close()


def _line(
    database: str, what: str, callers: int, subject: tuple[str, str, int], bare: tuple[str, str, int],
    target: float | None,
) -> None:  # fmt: skip
    ours, theirs = Load(0, 0, 0), Load(0, 0, 0)
    for _ in range(ROUNDS):
        theirs = max(theirs, _measure(bare, callers), key=lambda one: one.per_second)
        ours = max(ours, _measure(subject, callers), key=lambda one: one.per_second)
    wanted = f"{target:.0%}" if target else ""
    sys.stdout.write(
        f"{database:12}{what:16}{callers:>8}{ours.per_second:>11,.0f}{theirs.per_second:>9,.0f}"
        f"{ours.per_second / theirs.per_second:>8.0%}{wanted:>8}{ours.p50:>9.1f}{ours.p95:>9.1f}"
        f"{ours.p95 / ours.p50:>9.1f}\n"
    )
    sys.stdout.flush()


def _measure(at: tuple[str, str, int], callers: int) -> Load:
    base, path, status = at
    return load(base, path, callers=callers, seconds=SECONDS, status=status)


if __name__ == "__main__":
    main()
