"""Pages of the admin at a million messages, beside the same pages of a database that has a few.

Limits: ten queries, and three times the time of the small database. BENCH_MESSAGES is another number than a million.
"""

import json
import os
import sys
import time

from bench.running import Platform, databases

FEW = 1_000
MANY = int(os.environ.get("BENCH_MESSAGES", "1000000"))
MAX_QUERIES, MAX_TIMES = 10, 3.0
NOTHING = "version: 1\n"


def main() -> None:
    with databases() as urls:
        for name, url in urls.items():
            with Platform(url, NOTHING, destination_port=9) as platform:
                platform.run("manage.py", "fill", str(FEW))
                small = json.loads(platform.run("-m", "bench.pages"))
                begin = time.monotonic()
                platform.run("manage.py", "fill", str(MANY))
                sys.stdout.write(f"\n{name}: {MANY:,} messages were filled in in {time.monotonic() - begin:.0f} s\n")
                _print(small, json.loads(platform.run("-m", "bench.pages")))


def _print(small: dict[str, dict[str, float]], large: dict[str, dict[str, float]]) -> None:
    sys.stdout.write(f"{'page':<26}{'queries':>9}{f'{FEW:,}':>12}{f'{MANY:,}':>14}{'times':>8}{'KB':>7}\n")
    for page, now in large.items():
        times = now["ms"] / small[page]["ms"]
        limits = ["queries"] if now["queries"] > MAX_QUERIES else []
        limits += ["time"] if times > MAX_TIMES else []
        note = f"  above the limit: {', '.join(limits)}" if limits else ""
        sys.stdout.write(
            f"{page:<26}{now['queries']:>9}{small[page]['ms']:>9.0f} ms{now['ms']:>11.0f} ms{times:>8.1f}"
            f"{now['kb']:>7.0f}{note}\n"
        )
