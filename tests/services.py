"""The servers that some tests need: where they are, and what happens where they do not answer."""

import os
import socket
from urllib.parse import urlsplit

import pytest

POSTGRESQL = os.environ.get("TEST_POSTGRESQL_URL", "postgres://postgres@127.0.0.1:5432/postgres")
REDIS = os.environ.get("TEST_REDIS_URL", "redis://127.0.0.1:6379/15")


def answers(url: str) -> bool:
    try:
        _knock(url)
    except OSError:
        return False
    return True


def need(url: str, variable: str) -> str:
    """`url` if somebody answers there; otherwise the test is skipped, or fails if REQUIRE_SERVICES is set."""
    try:
        _knock(url)
    except OSError as error:
        if os.environ.get("REQUIRE_SERVICES"):
            raise
        pytest.skip(f"{urlsplit(url).scheme} does not answer at {variable}: {error}")
    return url


def _knock(url: str) -> None:
    parts = urlsplit(url)
    socket.create_connection((parts.hostname or "", parts.port or 0), 3).close()
