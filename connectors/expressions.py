"""JSONata expressions: compile, evaluate, and say what went wrong. The engine runs in the sandbox, under its limits.

Numbers are doubles inside, integers too: beyond 2**53 they lose digits, so money and long integers belong into field
rows. A result that is a whole number comes back as int, any other number as float. What is not finite is a failure,
never null.

An `Expression` may be used by any thread: compiled forms live in the sandbox's processes, each of which has one thread.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final

import msgspec

from connectors.paths import MISSING
from connectors.sandbox import SandboxDied, ask
from connectors.sandbox_limits import COMPILE, EVALUATE, FAILED, UNDEFINED

MAX_TEXT: Final = 64 * 1024
"""Characters of one expression."""

MAX_MESSAGE: Final = 300
"""Characters of the engine's message that we pass on; it may quote values of the payload."""


MAX_STOPPED: Final = 2
"""Expressions of one mapping that may run into a limit on one payload before the rest is given up."""


class InvalidExpression(ValueError):
    """A text that is not a JSONata expression: `reason` is a sentence, with the engine's error code.

    `position` is the offset of the fault; None where the engine does not tell, which is so for syntax errors.
    """

    def __init__(self, reason: str, position: int | None = None) -> None:
        super().__init__(reason if position is None else f"{reason} (character {position + 1})")
        self.reason = reason
        self.position = position


class ExpressionFailed(Exception):
    """An expression that failed on a payload, ran out of a limit, or gave a number that is not finite."""


class ExpressionStopped(ExpressionFailed):
    """An expression that ran out of a limit."""


@dataclass(frozen=True, slots=True)
class Expression:
    """A checked expression."""

    text: str

    def evaluate(self, value: Any) -> Any:
        """The result for a payload; MISSING where JSONata says undefined. Raises ExpressionFailed."""
        (outcome,) = evaluate_all((self,), value)
        if isinstance(outcome, ExpressionFailed):
            raise outcome
        return outcome


@lru_cache(maxsize=1024)
def compile_expression(text: str) -> Expression:
    """Raises InvalidExpression."""
    if not text.strip():
        raise InvalidExpression("The expression is empty.")
    if len(text) > MAX_TEXT:
        raise InvalidExpression(f"The expression is longer than {MAX_TEXT} characters.")
    if "\0" in text:
        raise InvalidExpression("The expression holds a NUL character.", text.index("\0"))
    try:
        ((status, content),) = ask(COMPILE, (text,), b"")
    except UnicodeEncodeError as error:
        raise InvalidExpression("The expression holds an unpaired surrogate.", error.start) from None
    except SandboxDied as death:
        raise InvalidExpression(f"The expression cannot be compiled. {death}") from None
    if status == FAILED:
        raise InvalidExpression(_sentence(content))
    return Expression(text)


def evaluate_all(expressions: Sequence[Expression], value: Any) -> list[Any]:
    """The outcome of each expression for one payload: a value, MISSING or an ExpressionFailed, which is not raised.

    One request to the sandbox for all of them, since writing the payload is a third of the cost.
    """
    try:
        # not formats.dump: payloads come from its parser and hold no floats, so that looking for infinite ones, which
        # costs most of its time, would find nothing
        document = _encoder.encode(value)
    except (TypeError, ValueError, OverflowError, RecursionError, msgspec.MsgspecError) as error:
        failure = ExpressionFailed(f"The payload cannot be given to an expression: {error}")
        return [failure] * len(expressions)
    try:
        answers = ask(EVALUATE, [expression.text for expression in expressions], document)
    except SandboxDied as death:
        if len(expressions) == 1:
            return [ExpressionStopped(f"The expression was stopped. {death}")]
        # one of them broke a limit and took the others' answers along: alone, each is told its own outcome
        return _one_by_one(expressions, value)
    return [_outcome(status, content) for status, content in answers]


def _one_by_one(expressions: Sequence[Expression], value: Any) -> list[Any]:
    """Gives up after MAX_STOPPED: a mapping of thirty endless expressions must not take thirty times their limit."""
    outcomes: list[Any] = []
    stopped = 0
    for expression in expressions:
        if stopped < MAX_STOPPED:
            outcomes += evaluate_all((expression,), value)
            stopped += isinstance(outcomes[-1], ExpressionStopped)
        else:
            outcomes.append(ExpressionFailed("It was not evaluated, since other expressions had to be stopped."))
    return outcomes


def _outcome(status: bytes, content: bytes) -> Any:
    if status == UNDEFINED:
        return MISSING
    if status == FAILED:
        return ExpressionFailed(_sentence(content))
    try:
        return _decoder.decode(content)
    except (msgspec.DecodeError, ValueError, RecursionError) as error:
        return ExpressionFailed(f"The result cannot be read: {error}")


def _sentence(content: bytes) -> str:
    text = content.decode(errors="replace").removeprefix("Parse error: ").removeprefix("Argument error: ")
    return text if len(text) <= MAX_MESSAGE else f"{text[: MAX_MESSAGE - 1]}…"


def _number(text: str) -> int | float:
    number = float(text)
    return int(number) if number.is_integer() else number


_encoder = msgspec.json.Encoder(decimal_format="number")
_decoder = msgspec.json.Decoder(float_hook=_number)
