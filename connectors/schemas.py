"""The only door to JSON Schema (2020-12). Offline: a reference to another document is a fault, never a request."""

from dataclasses import dataclass
from itertools import islice
from typing import Any

import jsonschema_rs

from connectors.paths import join_path

MAX_ERRORS = 20
MAX_MESSAGE = 300
MAX_VALUES = 5_000
"""Of larger payloads only the first fault is told: the library finds all before it hands out one, at 12 µs each."""

BACKTRACKS = 50_000
"""Steps back that a pattern with look-around may take for one text, half a millisecond; others are linear anyway."""

DIALECT = "https://json-schema.org/draft/2020-12/schema"
MASK = "the value"  # messages name the rule; values of payloads are other people's data


class InvalidSchema(ValueError):
    """A schema that cannot be used; `path` says where, in the project's path syntax."""

    def __init__(self, message: str, path: str = "$") -> None:
        super().__init__(message if path == "$" else f"{path}: {message}")
        self.message = message
        self.path = path


@dataclass(frozen=True, slots=True)
class SchemaError:
    """One rule that a payload breaks, and where."""

    path: str
    message: str


class Schema:
    """A compiled schema; safe to share between threads."""

    def __init__(self, validator: Any) -> None:
        self._validator = validator

    def errors(self, value: Any, limit: int = MAX_ERRORS) -> tuple[SchemaError, ...]:
        """What is wrong with `value`, the first `limit` faults in the library's order; empty when it is valid."""
        if self._validator.is_valid(value):
            return ()
        if _holds_more_than(value, MAX_VALUES):
            return (_error(self._first(value), value),)
        return tuple(_error(error, value) for error in islice(self._validator.iter_errors(value), limit))

    def _first(self, value: Any) -> jsonschema_rs.ValidationError:
        try:
            self._validator.validate(value)
        except jsonschema_rs.ValidationError as error:
            return error
        raise AssertionError("a value is not both valid and invalid")


def compile_schema(schema: Any) -> Schema:
    """Raises InvalidSchema, also for a `$schema` that names another version, whose rules would be misjudged here."""
    if not isinstance(schema, dict | bool):
        raise InvalidSchema("A schema is an object, or true or false.")
    if isinstance(schema, dict) and schema.get("$schema", DIALECT) not in (DIALECT, f"{DIALECT}#"):
        raise InvalidSchema(
            f"Schemas are read as version 2020-12 ({DIALECT}): convert it, or leave $schema out.", "$schema"
        )
    try:
        _META.validate(schema)
        return Schema(
            jsonschema_rs.Draft202012Validator(
                schema,
                validate_formats=True,
                mask=MASK,
                offline=True,
                pattern_options=jsonschema_rs.FancyRegexOptions(backtrack_limit=BACKTRACKS),
            )
        )
    except jsonschema_rs.ValidationError as error:
        raise InvalidSchema(error.message[:MAX_MESSAGE], _path(error, schema)) from None
    except jsonschema_rs.ReferencingError as error:
        raise InvalidSchema(f"A reference cannot be followed: {error}"[:MAX_MESSAGE]) from None
    except ValueError as error:
        raise InvalidSchema(str(error)[:MAX_MESSAGE]) from None


# not the library's own meta.validate: it fetches a $schema that it does not know
_META = jsonschema_rs.Draft202012Validator({"$ref": DIALECT}, validate_formats=True, offline=True)


def _error(error: jsonschema_rs.ValidationError, value: Any) -> SchemaError:
    path = _path(error, value)
    kind = error.kind
    if isinstance(kind, jsonschema_rs.ValidationErrorKind.Required):
        return SchemaError(join_path([*_steps(error, value), kind.property]), "This property is required.")
    if isinstance(kind, jsonschema_rs.ValidationErrorKind.FalseSchema):
        additional = error.schema_path[-1:] == ["additionalProperties"]
        return SchemaError(path, f"{'No other properties are' if additional else 'Nothing is'} allowed here.")
    return SchemaError(path, error.message[:MAX_MESSAGE])


def _path(error: jsonschema_rs.ValidationError, value: Any) -> str:
    return join_path(_steps(error, value))


def _steps(error: jsonschema_rs.ValidationError, value: Any) -> list[str | int]:
    """The error's place, mended by the value: the library gives `007` as the number 7, and leaves out empty names."""
    steps: list[str | int] = []
    for step in error.instance_path:
        member = _member(value, step)
        while member is None and isinstance(value, dict) and "" in value:
            steps.append("")
            value = value[""]
            member = _member(value, step)
        steps.append(step if member is None else member)
        value = None if member is None else value[member]
    return steps


def _member(value: Any, step: str | int) -> str | int | None:
    """What the library's step is called in `value`; None if it is not there."""
    if isinstance(value, list):
        return step if isinstance(step, int) and step < len(value) else None
    if not isinstance(value, dict):
        return None
    if isinstance(step, str):
        return step if step in value else None
    return next((name for name in value if _reads_as(name, step)), None)


def _reads_as(name: str, number: int) -> bool:
    digits = name.removeprefix("+")
    return digits.isascii() and digits.isdigit() and len(digits) < 100 and int(digits) == number


def _holds_more_than(value: Any, limit: int) -> bool:
    todo = [value]
    found = 1
    while todo:
        item = todo.pop()
        children = item.values() if isinstance(item, dict) else item if isinstance(item, list) else ()
        found += len(children)
        if found > limit:
            return True
        todo.extend(children)
    return False
