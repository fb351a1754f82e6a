"""What every format shares: its errors, and how deep a value may be."""

from typing import Any

MAX_DEPTH = 64
CONTAINERS = frozenset({dict, list})


class MalformedBody(ValueError):
    """A body that is not what its media type says; `reason` is a sentence, `position` a byte offset or None."""

    def __init__(self, reason: str, position: int | None = None) -> None:
        super().__init__(reason if position is None else f"{reason} (byte {position})")
        self.reason = reason
        self.position = position


class UnknownFormat(ValueError):
    """A media type, or a charset of one, that nobody here reads; says which are."""


class UnwritableValue(ValueError):
    """A value that the format cannot say, such as a number that is not finite."""


def too_deep() -> MalformedBody:
    return MalformedBody(f"The body is nested deeper than {MAX_DEPTH} levels.")


def count_keys(value: Any) -> int:
    """Number of keys in all objects; level by level, so that depth cannot exhaust the stack. Raises MalformedBody."""
    keys = depth = 0
    level = [value] if isinstance(value, dict | list) else []
    while level:
        depth += 1
        if depth > MAX_DEPTH:
            raise too_deep()
        below: list[Any] = []
        for item in level:
            if type(item) is dict:
                keys += len(item)
                below += item.values()
            else:
                below += item
        level = [child for child in below if type(child) in CONTAINERS]
    return keys
