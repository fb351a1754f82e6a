"""What both sides of the sandbox agree on: the limits, and the form of requests and answers.

Request: one byte (COMPILE or EVALUATE), length of the texts, length of the document; the texts, separated by NUL; the
document as JSON. Answer: its length; then for each text one byte (VALUE, UNDEFINED or FAILED), a length, and the value
as JSON or the engine's message. All lengths are four bytes, big-endian.
"""

import resource
import signal
import socket
import struct
from typing import Any, Final

COMPILE: Final = b"c"
EVALUATE: Final = b"e"
VALUE: Final = b"v"
UNDEFINED: Final = b"u"
FAILED: Final = b"f"

REQUEST: Final = struct.Struct(">cII")
LENGTH: Final = struct.Struct(">I")
ANSWER: Final = struct.Struct(">cI")

CPU_SECONDS: Final = 1.0
"""Processor time for one request. Not wall time: a machine that is busy with other things must not fail a message."""

MEMORY_BYTES: Final = 512 * 1024 * 1024
"""Address space of the process. It starts at 150 MiB, of which 15 are in use."""

MAX_STACK_DEPTH: Final = 500
MAX_SEQUENCE_LENGTH: Final = 200_000
MAX_RESULT_BYTES: Final = 8 * 1024 * 1024

_CHUNK: Final = 256 * 1024


def confine() -> None:
    """Takes from this process what it does not need: memory, files, core dumps, and the terminal's signals.

    Before the engine is imported: its allocator reserves 1 GiB of addresses where it may, and what is reserved before a
    limit is set leaves nothing below it.
    """
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    # Ctrl-C and a stop of the process group are for the parent: it may need answers yet, and closing the socket ends us
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    signal.signal(signal.SIGPROF, signal.SIG_DFL)  # the default action is to end the process, whatever it is doing


def receive(connection: socket.socket, head: struct.Struct) -> tuple[tuple[Any, ...], bytes]:
    """One message: the fields of its head and its body, whose size is the sum of the head's integers.

    Nothing is sent behind a message before it is answered, so one read may take what is there.
    Raises EOFError when the other side closes, BlockingIOError when the socket's own time-out passes.
    """
    data = connection.recv(_CHUNK)
    while len(data) < head.size:
        data += _more(connection, data)
    fields = head.unpack_from(data)
    size = head.size + sum(field for field in fields if isinstance(field, int))
    if len(data) < size:
        parts, missing = [data], size - len(data)
        while missing > 0:
            parts.append(_more(connection, data))
            missing -= len(parts[-1])
        data = b"".join(parts)
    return fields, data[head.size :]


def _more(connection: socket.socket, data: bytes) -> bytes:
    part = connection.recv(_CHUNK) if data else b""
    if not part:
        raise EOFError
    return part
