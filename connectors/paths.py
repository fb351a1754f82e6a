"""Paths: they name a value in a payload, e.g. `line_items[].tax_lines[0].rate` or `` meta.`order-id` ``.

Grammar (section 7 of the contract; signs that it leaves open are names where nothing else could be meant):

    path  = "$" | [ "$" ] step *( "." name | index ), behind a leading "$" also "." name
    step  = name | index
    index = "[]" (each item) | "[" digits "]" (one item, from 0)
    name  = letters and digits of any script, _ - $ @ # : / and spaces inside, or anything between backticks (`` is one)

`$` alone names the whole payload; before other steps it says nothing, as in JSONPath. A name `$` needs backticks.
"""

import re
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final


class _Missing:
    """There is no value here. Not the same as null, which is a value."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "MISSING"

    def __bool__(self) -> bool:
        return False

    def __reduce__(self) -> str:
        return "MISSING"


class _Each:
    """The step `[]`."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "[]"


MISSING: Final = _Missing()
EACH: Final = _Each()

Step = str | int | _Each
MAX_STEPS = 64
MAX_INDEX_DIGITS = 9

_INDEX = re.compile(r"\[([0-9]*)\]")
_QUOTED = re.compile(r"`((?:[^`]|``)*+)`")  # possessive: a doubled backtick is never taken for a closing one
_PLAIN_NAME = re.compile(r"[\w$@#:/\-]+\Z")
_SIGNS = frozenset("_-$@#:/\u200c\u200d")  # the joiners belong to words of Persian and of Indian languages


class PathError(ValueError):
    """A text that is not a path: `reason` is a sentence, `position` the offset of the character at fault."""

    def __init__(self, path: str, reason: str, position: int) -> None:
        super().__init__(f"{path!r} is not a path: {reason} (character {position + 1}).")
        self.path = path
        self.reason = reason
        self.position = position


@dataclass(frozen=True, slots=True)
class Path:
    """A compiled path. `steps` are names, item numbers and EACH; none at all for the whole payload."""

    text: str
    steps: tuple[Step, ...]

    @property
    def iterations(self) -> int:
        """How many `[]` it has."""
        return self.steps.count(EACH)

    def read(self, value: Any) -> Any:
        """The value that the path names, or MISSING. With `[]`: the list of what is there, nested lists flattened."""
        return read_steps(value, self.steps)


def read_steps(value: Any, steps: Sequence[Step]) -> Any:
    """`Path.read` for steps alone. A name reads from objects only, a number or `[]` from lists only."""
    for index, step in enumerate(steps):
        if isinstance(step, str):
            if type(value) is not dict or step not in value:
                return MISSING
            value = value[step]
        elif isinstance(step, int):
            if type(value) is not list or step >= len(value):
                return MISSING
            value = value[step]
        else:
            return _read_each(value, steps[index + 1 :])
    return value


def _read_each(items: Any, rest: Sequence[Step]) -> Any:
    if type(items) is not list:
        return MISSING
    found = [read_steps(item, rest) for item in items]
    kept = [value for value in found if value is not MISSING]
    if EACH not in rest:
        return kept
    return [value for inner in kept for value in inner]


@lru_cache(maxsize=4096)
def compile_path(text: str) -> Path:
    """Raises PathError. Spaces around the path are not part of it."""
    end = len(text.rstrip())
    start = len(text) - len(text.lstrip())
    if start >= end:
        raise PathError(text, "it is empty", 0)
    steps: list[Step] = []
    position = start
    expect_name = True  # at the start and behind a dot
    if text[start] == "$" and (start + 1 == end or text[start + 1] in ".["):
        position, expect_name = start + 1, False
    while position < end:
        char = text[position]
        if char == "[" and (not expect_name or position == start):
            step, position = _index(text, position)
            steps.append(step)
            expect_name = False
        elif char == "." and not expect_name:
            position, expect_name = position + 1, True
        elif expect_name:
            name, position = _name(text, position)
            steps.append(name)
            expect_name = False
        else:
            raise PathError(
                text, "names are separated by dots; names with other signs stand between backticks", position
            )
    if expect_name:
        raise PathError(text, "a name is missing behind the dot", end)
    if len(steps) > MAX_STEPS:
        raise PathError(text, f"it has more than {MAX_STEPS} steps", start)
    return Path(text, tuple(steps))


def _index(text: str, position: int) -> tuple[Step, int]:
    match = _INDEX.match(text, position)
    if match is None:
        raise PathError(text, "write [] for each item, or [0] for one item, counted from 0", position)
    if len(match[1]) > MAX_INDEX_DIGITS:
        raise PathError(text, "the item's number is too large", position)
    return int(match[1]) if match[1] else EACH, match.end()


def _name(text: str, position: int) -> tuple[str, int]:
    if text[position] == "`":
        match = _QUOTED.match(text, position)
        if match is None:
            raise PathError(text, "the backtick is not closed", position)
        return match[1].replace("``", "`"), match.end()
    end = position
    while end < len(text) and (_is_name_sign(text[end]) or (text[end] == " " and end > position)):
        end += 1
    name = text[position:end].rstrip(" ")
    if not name:
        raise PathError(text, "a name is missing here; names with other signs stand between backticks", position)
    return name, position + len(name)


def _is_name_sign(char: str) -> bool:
    # marks (category M) are the vowel signs and accents that many scripts write behind a letter
    return char.isalnum() or char in _SIGNS or unicodedata.category(char)[0] == "M"


def quote_name(name: str) -> str:
    """A name as a path writes it, between backticks where it needs them."""
    return name if _PLAIN_NAME.match(name) and name != "$" else "`" + name.replace("`", "``") + "`"


def join_path(steps: Iterable[Step]) -> str:
    """The text of a path; `$` for no steps at all."""
    text = ""
    for step in steps:
        if isinstance(step, str):
            text += f".{quote_name(step)}" if text else quote_name(step)
        else:
            text += "[]" if step is EACH else f"[{step}]"
    return text or "$"
