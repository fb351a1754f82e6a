"""What tests that start the platform's processes share."""

import contextlib
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

from tests import settings

ROOT = Path(__file__).parents[1]
START_SECONDS = 30.0


def environment_of_a_user() -> dict[str, str]:
    """The environment without anything that the tests have put into it."""
    return {name: value for name, value in os.environ.items() if name not in (*settings.OWN, "DJANGO_SETTINGS_MODULE")}


@contextlib.contextmanager
def python_server(*words: str, folder: Path, environment: Mapping[str, str] | None = None) -> Iterator[int]:
    """The port of a server of modules in `folder`, as soon as it listens; `{port}` in its arguments stands for it."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    command = [sys.executable, *(word.format(port=port) for word in words)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), **(environment or {})}
    server = subprocess.Popen(
        command, cwd=folder, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        end = time.monotonic() + START_SECONDS
        while True:
            try:
                socket.create_connection(("127.0.0.1", port), 1).close()
                break
            except OSError:
                assert time.monotonic() < end, "the server did not start"
                time.sleep(0.05)
        yield port
    finally:
        server.terminate()
        server.wait(15)
