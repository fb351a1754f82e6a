"""A bar chart of hours as SVG, made here: no script, and the same numbers as a table for those who do not see it."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

WIDTH, HEIGHT = 960, 260
LEFT, RIGHT, TOP, BOTTOM = 8, 104, 36, 56
"""The numbers stand on the right: a narrow screen shows the newest hours first, and what they count beside them."""
LINES = 4
EVERY = 3
"""Hours from one label to the next."""


@dataclass(frozen=True, slots=True)
class Hour:
    begins: datetime
    received: int
    failed: int


def chart(hours: Sequence[Hour]) -> dict[str, Any]:
    """What `templates/admin/chart.html` draws: bars of both series, side by side, lines with their numbers, hours."""
    top = nice(max([1, *(one.received for one in hours), *(one.failed for one in hours)]))
    floor, height = HEIGHT - BOTTOM, HEIGHT - BOTTOM - TOP
    step = (WIDTH - LEFT - RIGHT) / max(1, len(hours))
    bar = step * 0.4

    def rectangle(place: int, side: int, count: int) -> dict[str, str]:
        tall = count / top * height
        if count:
            tall = max(tall, 1.5)  # one of a million is not none
        x = LEFT + place * step + step * 0.1 + side * bar
        return {"x": f"{x:.1f}", "y": f"{floor - tall:.1f}", "width": f"{bar:.1f}", "height": f"{tall:.1f}"}

    return {
        "width": WIDTH,
        "height": HEIGHT,
        "left": LEFT,
        "right": WIDTH - RIGHT,
        "floor": floor,
        "lines": [
            {"y": f"{floor - height * line / LINES:.1f}", "text": f"{top * line // LINES:,}"}
            for line in range(LINES + 1)
        ],
        "bars": [
            {
                "title": f"{one.begins:%H:%M}: {one.received:,} received, {one.failed:,} failed",
                "received": rectangle(place, 0, one.received),
                "failed": rectangle(place, 1, one.failed),
            }
            for place, one in enumerate(hours)
        ],
        "labels": [
            {"x": f"{LEFT + (place + 0.5) * step:.1f}", "text": f"{one.begins:%H}:00"}
            for place, one in enumerate(hours)
            if one.begins.hour % EVERY == 0
        ],
        "rows": [
            {"hour": f"{one.begins:%Y-%m-%d %H}:00", "received": f"{one.received:,}", "failed": f"{one.failed:,}"}
            for one in hours
        ],
    }


def nice(count: int) -> int:
    """The next round number that LINES divide: 4, 8, 20, 40, 80, 100, 200, 400 …"""
    size = LINES
    while True:
        for factor in (1, 2, 2.5, 5):
            if size * factor >= count and size * factor % LINES == 0:
                return int(size * factor)
        size *= 10
