"""The only door to JSON Schema (2020-12). Offline: a reference to another document is a fault, never a request."""

from dataclasses import dataclass
from itertools import islice
from typing import Any

import jsonschema_rs

from connectors.paths import join_path

MAX_ERRORS = 20
MAX_MESSAGE = 300
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
        """What is wrong with `value`, the first `limit` faults in document order; empty when it is valid."""
        if self._validator.is_valid(value):
            return ()
        return tuple(_error(error) for error in islice(self._validator.iter_errors(value), limit))


def compile_schema(schema: Any) -> Schema:
    """Raises InvalidSchema."""
    if not isinstance(schema, dict | bool):
        raise InvalidSchema("A schema is an object, or true or false.")
    try:
        jsonschema_rs.meta.validate(schema)
        return Schema(jsonschema_rs.Draft202012Validator(schema, validate_formats=True, mask=MASK, offline=True))
    except jsonschema_rs.ValidationError as error:
        raise InvalidSchema(error.message[:MAX_MESSAGE], join_path(error.instance_path)) from None
    except jsonschema_rs.ReferencingError as error:
        raise InvalidSchema(f"A reference cannot be followed: {error}"[:MAX_MESSAGE]) from None
    except ValueError as error:
        raise InvalidSchema(str(error)[:MAX_MESSAGE]) from None


def _error(error: Any) -> SchemaError:
    path = list(error.instance_path)
    missing = getattr(error.kind, "property", None)
    if isinstance(error.kind, jsonschema_rs.ValidationErrorKind.Required) and isinstance(missing, str):
        return SchemaError(join_path([*path, missing]), "This property is required.")
    return SchemaError(join_path(path), error.message[:MAX_MESSAGE])
