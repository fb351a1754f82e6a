"""A call as a command line that repeats it, without its secrets: they are masked where attempts are stored."""

import shlex
from collections.abc import Iterable
from typing import Any

from connectors.masking import masked_url, redacted

MOST_BYTES = 8 * 1024
"""Longer bodies are taken from a file: the message page offers them for download."""


def as_curl(method: str, url: str, headers: Iterable[Any], body: bytes) -> str:
    """For a shell; `--data-binary @body.bin` where a body is too long for a line, or no text."""
    lines = [f"curl -X {shlex.quote(method)} {shlex.quote(masked_url(url))}"]
    pairs = [(str(name), str(value)) for name, value in headers]
    lines += [f"-H {shlex.quote(f'{name}: {value}')}" for name, value in redacted(pairs)]
    if body:
        lines.append(f"--data-binary {_data(body)}")
    return " \\\n  ".join(lines)


def _data(body: bytes) -> str:
    if len(body) > MOST_BYTES or b"\0" in body:
        return "@body.bin"
    try:
        text = body.decode()
    except UnicodeDecodeError:
        return "@body.bin"
    return "@body.bin" if text.startswith("@") else shlex.quote(text)
