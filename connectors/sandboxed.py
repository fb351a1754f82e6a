"""What runs inside the sandbox's process: the JSONata engine, and nothing else of the platform.

The only importer of `jsonatapy`. Started by `connectors.sandbox`; it reads requests from the socket that is its
standard input and answers each one, until the other side closes.

Why a process: inside the engine a string, a padding or a shared structure can ask for more memory than there is, and
then the allocation *aborts the process*; writing out a shared structure is not under the engine's own time limit, and
it holds the interpreter's lock meanwhile. No limit within one process stops that. A process has limits of the kernel.
"""

import json
import os
import signal
import socket
from collections import OrderedDict
from typing import Any, Final

import jsonatapy
import msgspec

from connectors.sandbox_limits import (
    ANSWER,
    CPU_SECONDS,
    EVALUATE,
    FAILED,
    LENGTH,
    MAX_RESULT_BYTES,
    MAX_SEQUENCE_LENGTH,
    MAX_STACK_DEPTH,
    REQUEST,
    UNDEFINED,
    VALUE,
    receive,
)

MAX_COMPILED: Final = 256

_ENGINE_TIMEOUT_MILLISECONDS: Final = (
    10_000  # the engine's own limit, of wall time: behind CPU_SECONDS, before WALL_SECONDS
)

# everything that the engine raises for an expression or a payload; its panics end the process, and the parent says so
_ENGINE_ERRORS = (ValueError, TypeError, RuntimeError, ArithmeticError, LookupError, MemoryError)


class Engine:
    """Compiled expressions by text, the least recently used one goes first."""

    def __init__(self) -> None:
        self._compiled: OrderedDict[str, jsonatapy.JsonataExpression] = OrderedDict()

    def answer(self, kind: bytes, text: str, document: "_Document") -> tuple[bytes, bytes]:
        """Status byte, and the value as JSON or a message."""
        try:
            compiled = self._compile(text)
            return self._evaluate(compiled, text, document) if kind == EVALUATE else (UNDEFINED, b"")
        except _ENGINE_ERRORS as error:
            return FAILED, (str(error) or type(error).__name__).encode(errors="replace")[:2000]

    def _evaluate(self, compiled: jsonatapy.JsonataExpression, text: str, document: "_Document") -> tuple[bytes, bytes]:
        # not the engine's JSON output: it writes null for Infinity and NaN
        value = compiled.evaluate_with_data(document.data)
        if value is None:
            return self._nothing(text, document)
        result = msgspec.json.encode(value)
        if len(result) > MAX_RESULT_BYTES:
            return FAILED, f"The result is larger than {MAX_RESULT_BYTES // 1024 // 1024} MiB.".encode()
        if b"null" in result and not _finite(value):  # msgspec writes null for them, too
            return FAILED, b"The result holds a number that is not finite."
        return VALUE, result

    def _nothing(self, text: str, document: "_Document") -> tuple[bytes, bytes]:
        """Which of the three things that the engine gives to Python as None: undefined, null, or a function."""
        kind = self._compile(f"$type(({text}\n))").evaluate_with_data(document.data)
        if kind is None:
            return UNDEFINED, b""
        if kind == "null":
            return VALUE, b"null"
        return FAILED, b"The result is a function, not a value."

    def _compile(self, text: str) -> jsonatapy.JsonataExpression:
        compiled = self._compiled.get(text)
        if compiled is None:
            compiled = jsonatapy.compile(
                text,
                timeout=_ENGINE_TIMEOUT_MILLISECONDS,
                max_stack_depth=MAX_STACK_DEPTH,
                max_sequence_length=MAX_SEQUENCE_LENGTH,
            )
            self._compiled[text] = compiled
            if len(self._compiled) > MAX_COMPILED:
                self._compiled.popitem(last=False)
        else:
            self._compiled.move_to_end(text)
        return compiled


class _Document:
    """A payload as JSON, and in the engine's own form, which is made once for all expressions of a request."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._data: jsonatapy.JsonataData | None = None

    @property
    def data(self) -> jsonatapy.JsonataData:
        if self._data is None:
            self._data = _read(self._text)
        return self._data


def _read(text: str) -> jsonatapy.JsonataData:
    """A number that no double holds, anywhere in a payload, is infinite: what does not touch it goes its way."""
    try:
        return jsonatapy.JsonataData.from_json(text)
    except ValueError as error:
        if "number out of range" not in str(error):
            raise
    return jsonatapy.JsonataData(json.loads(text, parse_int=float))


_NOT_FINITE: Final = tuple(b"\xcb" + start for start in (b"\x7f\xf0", b"\xff\xf0", b"\x7f\xf8", b"\xff\xf8"))
"""How MessagePack begins a double that is infinite or not a number. A text may hold the same bytes."""


def _finite(value: Any) -> bool:
    """Looks at the bytes of the doubles, and only if one may be there at the values: a tenth of the cost."""
    packed = msgspec.msgpack.encode(value)
    if not any(start in packed for start in _NOT_FINITE):
        return True
    try:
        json.dumps(value, allow_nan=False)
    except ValueError:
        return False
    return True


def serve(connection: socket.socket) -> None:
    """Answers until the other side closes."""
    engine = Engine()
    while True:
        try:
            (kind, text_size, _), body = receive(connection, REQUEST)
        except (EOFError, ConnectionError):
            return
        texts = body[:text_size].decode().split("\0")
        document = _Document(body[text_size:].decode())
        signal.setitimer(signal.ITIMER_PROF, CPU_SECONDS)
        answers = [engine.answer(kind, text, document) for text in texts]
        signal.setitimer(signal.ITIMER_PROF, 0)
        reply = b"".join(ANSWER.pack(status, len(content)) + content for status, content in answers)
        try:
            connection.sendall(LENGTH.pack(len(reply)) + reply)
        except ConnectionError:
            return


def main() -> None:
    """The whole life of the process."""
    serve(socket.socket(fileno=0))
    os._exit(0)  # nothing is left to flush, and a teardown under the memory limit could only fail
