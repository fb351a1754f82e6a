"""How the tests are dealt out to several processes (pytest-xdist, `--dist loadscope`).

By their files: xdist's own `loadgroup`, which goes by a marker, renames tests, which pytest 9.2 does not notice.
"""

from typing import Any

import pytest
from xdist.scheduler import LoadScopeScheduling

from tests.other_database import MARKER

ONE_AFTER_THE_OTHER = ("processes", "browser", "redis", MARKER)
"""Markers of tests that wait for real servers: side by side they would take the processors from each other."""
THEIRS = (
    *("tests/flows/", "tests/faults/", "tests/browser/", "tests/test_on_postgresql.py"),
    *(f"tests/integration_platform/test_{name}.py" for name in ("chunked", "door", "start", "supervisor", "worker")),
)


class Dealer(LoadScopeScheduling):
    """Those that wait for real servers go to one process, all others, file by file, to whoever is free."""

    def __init__(self, config: pytest.Config, log: Any = None) -> None:
        super().__init__(config, log)
        config.option.loadscopereorder = False  # they take longest, and come first: see `order`

    def _split_scope(self, nodeid: str) -> str:
        return "real servers" if nodeid.startswith(THEIRS) else nodeid.partition("::")[0]


def order(items: list[pytest.Item]) -> None:
    """Those that wait for real servers first, among them the one that waits for the run on PostgreSQL last."""
    items.sort(key=lambda item: (not item.nodeid.startswith(THEIRS), item.get_closest_marker(MARKER) is not None))


def check(item: pytest.Item) -> None:
    """A test that waits for real servers has to stand where `Dealer` knows that it does."""
    if any(item.get_closest_marker(name) for name in ONE_AFTER_THE_OTHER) and not item.nodeid.startswith(THEIRS):
        raise pytest.UsageError(f"{item.nodeid} waits for real servers: tests.dealing.THEIRS does not know its file")
