"""Text → plain values: YAML with exact numbers, `${NAME}` replaced, and a path for every fault."""

import difflib
import re
from collections.abc import Collection, Hashable, Iterable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal, InvalidOperation
from typing import Any

import yaml

from connectors import formats

MAX_BYTES = 10 * 1024 * 1024
MAX_VALUES = 500_000  # after aliases have been expanded
PLACEHOLDER = re.compile(r"\$?\$\{([A-Za-z_][A-Za-z0-9_]*)\}")


class InvalidConfiguration(Exception):
    """A file that cannot be applied; `faults` are lines "path: message", all of them."""

    def __init__(self, faults: Iterable[str]) -> None:
        self.faults = list(faults)
        super().__init__("\n".join(self.faults))


class Loader(yaml.SafeLoader):
    """YAML 1.2's idea of scalars: only true and false are booleans, dates are texts, fractions keep their digits."""

    def construct_mapping(self, node: Any, deep: bool = False) -> dict[Hashable, Any]:
        """Keys are texts as they are written (`404`, `NO`); one that occurs twice is a fault."""
        self.flatten_mapping(node)
        mapping: dict[Hashable, Any] = {}
        for key_node, value_node in node.value:
            if not isinstance(key_node, yaml.ScalarNode):
                raise yaml.constructor.ConstructorError(None, None, "a key has to be a text", key_node.start_mark)
            if key_node.value in mapping:
                problem = f"the key {key_node.value!r} occurs twice"
                raise yaml.constructor.ConstructorError(None, None, problem, key_node.start_mark)
            mapping[key_node.value] = self.construct_object(value_node, deep=True)
        return mapping


class Dumper(yaml.SafeDumper):
    """Quotes whatever this loader or an older one would not read as a text; no aliases, lists indented."""

    def ignore_aliases(self, data: Any) -> bool:
        return True

    def increase_indent(self, flow: bool = False, indentless: bool = False) -> Any:
        return super().increase_indent(flow, False)


def _set_up_scalars() -> None:
    null, boolean, integer, decimal, merge = (
        f"tag:yaml.org,2002:{name}" for name in ("null", "bool", "int", "float", "merge")
    )
    patterns = [
        (null, re.compile(r"(?:~|null|Null|NULL|)\Z"), ["~", "n", "N", ""]),
        (boolean, re.compile(r"(?:true|True|TRUE|false|False|FALSE)\Z"), list("tTfF")),
        (integer, re.compile(r"-?(?:0|[1-9][0-9]*)\Z"), list("-0123456789")),
        (decimal, re.compile(r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][-+]?[0-9]+)?\Z"), list("-0123456789")),
        (merge, re.compile(r"<<\Z"), ["<"]),
    ]
    Loader.yaml_implicit_resolvers = {}
    for tag, pattern, first in patterns:
        Loader.add_implicit_resolver(tag, pattern, first)
        Dumper.add_implicit_resolver(tag, pattern, first)
    # nothing else has a constructor: dates, sets and binaries of YAML are faults, since JSON has no such values
    kept = (null, boolean, "tag:yaml.org,2002:str", "tag:yaml.org,2002:seq", None)
    Loader.yaml_constructors = {tag: yaml.SafeLoader.yaml_constructors[tag] for tag in kept}
    Loader.add_constructor(decimal, _construct_decimal)
    Loader.add_constructor(integer, lambda loader, node: int(str(node.value)))
    Loader.add_constructor("tag:yaml.org,2002:map", Loader.construct_mapping)
    Dumper.add_representer(Decimal, lambda dumper, value: dumper.represent_scalar(decimal, str(value)))
    Dumper.add_representer(str, _represent_text)


def _construct_decimal(loader: Any, node: Any) -> Decimal:
    try:
        return Decimal(str(node.value))
    except InvalidOperation:
        raise yaml.constructor.ConstructorError(None, None, "the number is out of range", node.start_mark) from None


def _represent_text(dumper: Any, value: str) -> Any:
    return dumper.represent_scalar("tag:yaml.org,2002:str", value, style="|" if "\n" in value else None)


_set_up_scalars()


@dataclass(frozen=True, slots=True)
class Unset:
    """A value that is nothing but a placeholder whose variable is not set: a secret may keep what is stored."""

    name: str


def read_file(text: str, environ: Mapping[str, str]) -> "Section":
    """The file's top section. Raises InvalidConfiguration if it is not YAML at all."""
    if len(text) > MAX_BYTES:
        raise InvalidConfiguration([f"file: it is larger than {MAX_BYTES} bytes"])
    try:
        document = _load(text)
    except yaml.YAMLError as error:
        raise InvalidConfiguration([f"file: {_explained(error)}"]) from None
    except (RecursionError, ValueError) as error:
        raise InvalidConfiguration([f"file: it cannot be read: {error}"]) from None
    if not isinstance(document, dict):
        raise InvalidConfiguration(["file: it has to be a mapping with the key version"])
    faults: list[str] = []
    replaced = _Replacing(environ, faults).value(document, "")
    return Section(replaced, "", faults)


def _load(text: str) -> Any:
    if text.lstrip().startswith("{"):
        try:
            return formats.parse(text.encode())
        except formats.MalformedBody:
            pass  # flow style YAML begins like this, too
    return yaml.load(text, Loader=Loader)  # noqa: S506 - a SafeLoader


def _explained(error: yaml.YAMLError) -> str:
    mark = getattr(error, "problem_mark", None)
    place = f" (line {mark.line + 1}, column {mark.column + 1})" if mark is not None else ""
    return f"{getattr(error, 'problem', None) or 'it is not YAML'}{place}"


class _Replacing:
    def __init__(self, environ: Mapping[str, str], faults: list[str]) -> None:
        self._environ = environ
        self._faults = faults
        self._count = 0

    def value(self, value: Any, path: str) -> Any:
        self._count += 1
        if self._count > MAX_VALUES:
            raise InvalidConfiguration([f"file: it holds more than {MAX_VALUES} values"])
        if isinstance(value, dict):
            return {key: self.value(item, f"{path}.{key}" if path else key) for key, item in value.items()}
        if isinstance(value, list):
            return [self.value(item, f"{path}[{index}]") for index, item in enumerate(value)]
        return self._text(value, path) if isinstance(value, str) else value

    def _text(self, text: str, path: str) -> Any:
        whole = PLACEHOLDER.fullmatch(text)
        if whole and not text.startswith("$$") and whole[1] not in self._environ:
            return Unset(whole[1])

        def replace(match: re.Match[str]) -> str:
            if match[0].startswith("$$"):
                return match[0][1:]
            if match[1] not in self._environ:
                self._faults.append(f"{path}: the environment variable {match[1]} is not set")
                return ""
            return self._environ[match[1]]

        return PLACEHOLDER.sub(replace, text)


@dataclass(slots=True)
class Section:
    """A mapping of the file. Reading a key checks its type; `end` names the keys that nobody asked for."""

    values: dict[str, Any]
    path: str
    faults: list[str]
    asked: set[str] = field(default_factory=set)

    def at(self, key: str) -> str:
        return f"{self.path}.{key}" if self.path else key

    def fault(self, key: str, message: str) -> None:
        self.faults.append(f"{self.at(key) if key else self.path}: {message}")

    def has(self, key: str) -> bool:
        self.asked.add(key)
        return key in self.values

    def raw(self, key: str, default: Any = None) -> Any:
        """Any value; one that rests on an unset variable is a fault."""
        if not self.has(key):
            return default
        value = self.values[key]
        for unset in _unset(value):
            self.fault(key, f"the environment variable {unset.name} is not set")
            return default
        return value

    def text(self, key: str, default: str = "", *, required: bool = False) -> str:
        value = self.raw(key)
        if value is None:
            if required and not any(line.startswith(f"{self.at(key)}: ") for line in self.faults):
                self.fault(key, "it is required")
            return default
        if isinstance(value, bool | dict | list):
            self.fault(key, "it has to be a text")
            return default
        if required and value == "":
            self.fault(key, "it must not be empty")
        return value if isinstance(value, str) else formats.dump(value).decode()

    def secret(self, key: str) -> str | Unset | None:
        """A secret, the unset variable that stands for it, or None if it is not given."""
        if self.has(key) and isinstance(self.values[key], Unset):
            return self.values[key]
        if not self.has(key):
            return None
        return self.text(key, required=True)

    def choice(self, key: str, choices: Collection[str], default: str) -> str:
        value = self.text(key, default)
        if value not in choices:
            self.fault(key, f"{value!r} is not one of {', '.join(choices)}")
            return default
        return value

    def number(self, key: str, default: float) -> float:
        value = self.raw(key, default)
        if isinstance(value, bool) or not isinstance(value, int | float | Decimal):
            self.fault(key, "it has to be a number")
            return default
        return float(value)

    def integer(self, key: str, default: int) -> int:
        value = self.raw(key, default)
        if isinstance(value, bool) or not isinstance(value, int):
            self.fault(key, "it has to be a whole number")
            return default
        return value

    def boolean(self, key: str, *, default: bool) -> bool:
        value = self.raw(key, default)
        if not isinstance(value, bool):
            self.fault(key, "it has to be true or false")
            return default
        return value

    def section(self, key: str) -> "Section | None":
        if not self.has(key) or self.values[key] is None:
            return None
        if not isinstance(self.values[key], dict):
            self.fault(key, "it has to be a mapping")
            return None
        return Section(self.values[key], self.at(key), self.faults)

    def sections(self, key: str) -> "list[Section]":
        found = []
        values = self.values.get(key) if self.has(key) else None
        if values is not None and not isinstance(values, list):
            self.fault(key, "it has to be a list")
            return []
        for index, value in enumerate(values or []):
            if isinstance(value, dict):
                found.append(Section(value, f"{self.at(key)}[{index}]", self.faults))
            else:
                self.fault(f"{key}[{index}]", "it has to be a mapping")
        return found

    def end(self) -> None:
        """Names unknown keys, with the one that was probably meant."""
        for key in self.values:
            if key not in self.asked:
                close = difflib.get_close_matches(key, self.asked, n=1)
                self.fault(key, f"this key is not known{f'; did you mean {close[0]}?' if close else ''}")


def _unset(value: Any) -> Iterable[Unset]:
    if isinstance(value, Unset):
        yield value
    elif isinstance(value, dict):
        for item in value.values():
            yield from _unset(item)
    elif isinstance(value, list):
        for item in value:
            yield from _unset(item)
