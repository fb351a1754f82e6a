"""The door: answers a second beside bare views that do nothing but store (and call), under the same server; and
refusals beside what is accepted.

    python -m bench door

Platform and bare views take turns, the best of ROUNDS counts; one of them runs at a time, since their threads together
have more connections than PostgreSQL allows. The callers are connections of another process that send their next
request as soon as the last one is answered. Each caller has a lane of its own.
"""

import os
import sys

from bench.running import KEY, Load, Platform, databases, destination, load

CALLERS = (1, 16, 64)
SECONDS = 1.5
ROUNDS = 2
WAITING = 900  # answers/s to 64 callers of a destination that takes 50 ms: threads are not the bound
MAX_SPREAD = 5.0  # p95 by p50 with 16 writers: SQLite's own lock is unfair
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
  - slug: strict
    source: shop
    endpoint: quick
    ordering_key: lane
    max_body_bytes: 1000
    schema: {{required: [lane]}}
"""


CASES = [
    *(("async accept", callers, "/webhooks/quick", "/accept", 202, 0.7) for callers in CALLERS),
    *(("sync, 0 ms", callers, "/webhooks/quick/sync", "/answer/{port}/0", 200, 0.5) for callers in CALLERS),
    ("sync, 50 ms", 64, "/webhooks/slow/sync", "/answer/{port}/50", 200, None),
]
OWN = f"X-API-Key: {KEY}"
BODY = f'{{"lane":"one","text":"{"x" * 400}"}}'
REFUSAL_CALLERS = 16
REFUSALS = [  # each should cost less than accepting
    ("accepted", OWN, "", 202),
    ("a stranger", "X-API-Key: another", BODY, 401),
    ("too large", OWN, BODY + " " * 1000, 413),
    ("not JSON", OWN, "{" * 400, 400),
    ("not valid", OWN, BODY.replace("lane", "line"), 422),
    ("repeat", f"{OWN}\r\nIdempotency-Key: one", BODY, 202),
    ("repeat, other body", f"{OWN}\r\nIdempotency-Key: one", BODY.replace("xx", "xy"), 422),
]


def main() -> None:
    sys.stdout.write(f"The door, load average {os.getloadavg()[0]:.1f}\n\n")
    head = f"{'database':12}{'what':20}{'callers':>8}{'answers/s':>11}{'bare/s':>9}{'share':>8}{'target':>8}"
    sys.stdout.write(f"{head}{'p50 ms':>9}{'p95 ms':>9}{'p95/p50':>9}\n")
    with destination() as port, databases() as urls:
        for name, url in urls.items():
            with Platform(url, CONFIGURATION.format(key=KEY, port=port), port) as platform:
                workers, threads = SERVERS[name]
                platform.environment |= {"WEB_WORKERS": str(workers), "WEB_THREADS": str(threads)}
                _measure(name, platform, workers, port)


def _measure(database: str, platform: Platform, workers: int, port: int) -> None:
    application, bare_application = "integration_platform.rsgi:application", "bench.bare_server:application"
    ours: list[list[Load]] = []
    theirs: list[list[Load]] = []
    refused: list[list[Load]] = []
    for _ in range(ROUNDS):
        with platform.serving(bare_application, workers=workers, settings="bench.bare", path="/ready") as base:
            theirs.append([_load(base, bare.format(port=port), n, status) for _, n, _, bare, status, _ in CASES])
        settings = "integration_platform.settings"
        with platform.serving(application, workers=workers, settings=settings, path="/health/live") as base:
            ours.append([_load(base, path, n, status) for _, n, path, _, status, _ in CASES])
            refused.append([_refusal(base, *refusal) for refusal in REFUSALS])
    for case, own, bare in zip(CASES, zip(*ours, strict=True), zip(*theirs, strict=True), strict=True):
        what, callers, *_, target = case
        _line(database, what, callers, max(own, key=_speed), max(bare, key=_speed), target)
    accepted, *others = [max(rounds, key=_speed) for rounds in zip(*refused, strict=True)]
    for (what, *_), found in zip(REFUSALS[1:], others, strict=True):
        _line(database, what, REFUSAL_CALLERS, found, accepted, 1.0)


def _refusal(base: str, what: str, headers: str, body: str, status: int) -> Load:
    """Beside it, in place of a bare view, stands what is accepted on the same route."""
    return load(
        base, "/webhooks/strict",
        callers=REFUSAL_CALLERS, seconds=SECONDS, status=status, headers=headers, body=body,
    )  # fmt: skip


def _load(base: str, path: str, callers: int, status: int) -> Load:
    return load(base, path, callers=callers, seconds=SECONDS, status=status)


def _speed(one: Load) -> float:
    return one.per_second


def _line(database: str, what: str, callers: int, ours: Load, theirs: Load, target: float | None) -> None:
    """`target`: a share of what stands beside it; None: WAITING answers/s, where the bare view has the CPU for that."""
    share, spread = ours.per_second / theirs.per_second, ours.p95 / ours.p50
    if target:
        wanted, missed = f"{target:.0%}", share < target
    else:
        wanted, missed = f"{WAITING}/s", ours.per_second < WAITING <= theirs.per_second
    missed |= database == "SQLite" and callers == 16 and spread > MAX_SPREAD
    sys.stdout.write(
        f"{database:12}{what:20}{callers:>8}{ours.per_second:>11,.0f}{theirs.per_second:>9,.0f}"
        f"{share:>8.0%}{wanted:>8}{ours.p50:>9.1f}{ours.p95:>9.1f}{spread:>9.1f}{'  missed' if missed else ''}\n"
    )
    sys.stdout.flush()


if __name__ == "__main__":
    main()
