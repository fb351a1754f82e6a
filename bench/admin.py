"""Pages of the admin at a million messages, beside the same pages of a small platform.

Limits: ten queries, and three times the time on the small platform. BENCH_MESSAGES is another number than a million.

The small platform has FEW messages, all of one day and two of a lane: that is how few it takes until every page shows
as many rows as at a million (25 that failed within 24 hours, 25 lanes with work). An empty list would be no measure:
the rows that it does not draw are most of what a list costs, at any size. Both are asked in turns, and the quicker of
ROUNDS counts, so that what else the machine does meets both.
"""

import json
import os
import sys
import time

from bench.running import Platform, databases

FEW = 4_000
MANY = int(os.environ.get("BENCH_MESSAGES", "1000000"))
ROUNDS = 3
MAX_QUERIES, MAX_TIMES = 10, 3.0
NOTHING = "version: 1\n"

Pages = dict[str, dict[str, float]]


def main() -> None:
    with databases() as small_urls, databases() as large_urls:
        for name, url in small_urls.items():
            with Platform(url, NOTHING, 9) as small, Platform(large_urls[name], NOTHING, 9) as large:
                small.run("manage.py", "fill", str(FEW), "--days", "1", "--per-lane", "2")
                begin = time.monotonic()
                large.run("manage.py", "fill", str(MANY))
                sys.stdout.write(f"\n{name}: {MANY:,} messages were filled in in {time.monotonic() - begin:.0f} s\n")
                rounds = [(_measured(small), _measured(large)) for _ in range(ROUNDS)]
                _print(*(_quickest([pair[place] for pair in rounds]) for place in (0, 1)))


def _measured(platform: Platform) -> Pages:
    pages: Pages = json.loads(platform.run("-m", "bench.pages"))
    return pages


def _quickest(rounds: list[Pages]) -> Pages:
    return {page: min((one[page] for one in rounds), key=lambda cost: cost["ms"]) for page in rounds[0]}


def _print(small: Pages, large: Pages) -> None:
    sys.stdout.write(f"{'page':<26}{'queries':>9}{'rows':>10}{f'{FEW:,}':>12}{f'{MANY:,}':>14}{'times':>8}{'KB':>7}\n")
    for page, now in large.items():
        times = now["ms"] / small[page]["ms"]
        limits = ["queries"] if now["queries"] > MAX_QUERIES else []
        limits += ["time"] if times > MAX_TIMES else []
        note = f"  above the limit: {', '.join(limits)}" if limits else ""
        rows = f"{small[page]['rows']:.0f}, {now['rows']:.0f}"
        sys.stdout.write(
            f"{page:<26}{now['queries']:>9}{rows:>10}{small[page]['ms']:>9.0f} ms{now['ms']:>11.0f} ms{times:>8.1f}"
            f"{now['kb']:>7.0f}{note}\n"
        )
