"""Text → plain values: `${NAME}` replaced, types checked, and a path for every fault."""

import difflib
import json
import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from connectors import formats
from connectors.configuration import notation

MAX_BYTES = 10 * 1024 * 1024
MAX_VALUES = 500_000  # after aliases have been expanded
MAX_LETTERS = 4 * MAX_BYTES  # likewise, and after placeholders have been replaced
NAME = r"\{([A-Za-z_][A-Za-z0-9_]*)\}"
PLACEHOLDER = re.compile(rf"\$?\${NAME}")
_CONTROLS = re.compile(r"[\x00-\x1f\x7f]")
_PLAIN_KEY = re.compile(r"[\w$][\w$-]*\Z")


class InvalidConfiguration(Exception):
    """A file that cannot be applied; `faults` are lines "path: message", all of them."""

    def __init__(self, faults: Iterable[str]) -> None:
        self.faults = list(dict.fromkeys(_CONTROLS.sub(" ", fault) for fault in faults))
        super().__init__("\n".join(self.faults))


@dataclass(frozen=True, slots=True)
class Unset:
    """A value that is nothing but a placeholder whose variable is not set: a secret may keep what is stored."""

    name: str


class Faults(list[str]):
    """Lines "path: message". A value that came from the environment is named in them, never shown."""

    def __init__(self) -> None:
        super().__init__()
        self._replaced: list[tuple[str, str, str]] = []

    def replaced(self, path: str, name: str, value: str) -> None:
        """Remembers that a part of what stands at `path` came from the variable `name`."""
        if value:
            self._replaced.append((path, name, value))

    def add(self, path: str, message: str) -> None:
        for place, name, value in self._replaced:
            if place == path or place.startswith((f"{path}.", f"{path}[")):
                for written in (value, repr(value)[1:-1]):
                    message = message.replace(written, f"${{{name}}}")
        self.append(f"{path}: {message}")


def read_file(text: str, environ: Mapping[str, str]) -> "Section":
    """The file's top section. Raises InvalidConfiguration if it is not YAML at all."""
    if len(text) > MAX_BYTES or len(text.encode("utf-8", "surrogatepass")) > MAX_BYTES:
        raise InvalidConfiguration([f"file: it is larger than {MAX_BYTES} bytes"])
    faults = Faults()
    try:
        document = notation.load(text)
        if not isinstance(document, dict):
            raise InvalidConfiguration(["file: it has to be a mapping with the key version"])
        replaced = _Replacing(environ, faults).value(document, "")
    except notation.NotReadable as error:
        raise InvalidConfiguration([f"file: {error}"]) from None
    except RecursionError:  # aliases nest deeper than what is written
        raise InvalidConfiguration(["file: it is nested too deeply"]) from None
    return Section(replaced, "", faults)


def below(path: str, key: str) -> str:
    """The path of a key, on one line: `routes[0].retry`, `entries["United Kingdom"]`."""
    if not _PLAIN_KEY.match(key):
        return f"{path}[{json.dumps(key[:100])}]"
    return f"{path}.{key}" if path else key


class _Replacing:
    """Replaces placeholders in texts, never in keys; refuses what no database and no JSON can hold."""

    def __init__(self, environ: Mapping[str, str], faults: Faults) -> None:
        self._environ = environ
        self._faults = faults
        self._values = 0
        self._letters = 0

    def value(self, value: Any, path: str) -> Any:
        self._values += 1
        if self._values > MAX_VALUES:
            raise InvalidConfiguration([f"file: it holds more than {MAX_VALUES} values"])
        if isinstance(value, dict):
            return {self._whole(key, path): self.value(item, below(path, key)) for key, item in value.items()}
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
                self._faults.add(path, f"the environment variable {match[1]} is not set")
                return ""
            self._faults.replaced(path, match[1], self._environ[match[1]])
            return self._environ[match[1]]

        return self._whole(PLACEHOLDER.sub(replace, text) if "${" in text else text, path)

    def _whole(self, text: str, path: str) -> str:
        """`text` with escaped surrogates joined to the letters they stand for; half a pair is a fault."""
        self._letters += len(text)
        if self._letters > MAX_LETTERS:
            raise InvalidConfiguration([f"file: it holds more than {MAX_LETTERS} letters"])
        if text.isascii():
            return text
        try:
            return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le")
        except UnicodeDecodeError:
            self._faults.add(path, "it holds half of a surrogate pair, which is not a letter")
            return ""


@dataclass(slots=True)
class Section:
    """A mapping of the file. Reading a key checks its type; `end` names the keys that nobody asked for.

    Whatever is read is usable: in the place of a faulty value its default is returned, and the fault is kept.
    """

    values: dict[str, Any]
    path: str
    faults: Faults
    owner: str = ""  # the slug of the object it is a part of, for people who do not count list items
    asked: set[str] = field(default_factory=set)

    def at(self, key: str) -> str:
        return below(self.path, key) if key else self.path

    def fault(self, key: str, message: str) -> None:
        """`key` may be a path below this section, or "" for the section itself."""
        path = f"{self.path}.{key}" if self.path and key else self.path or key
        self.faults.add(path, f"{message} (in {self.owner})" if self.owner and key != "slug" else message)

    def has(self, key: str) -> bool:
        self.asked.add(key)
        return key in self.values

    def raw(self, key: str, default: Any = None) -> Any:
        """Any JSON value."""
        return self.values[key] if self.has(key) and self._is_sound(key) else default

    def text(self, key: str, default: str = "", *, required: bool = False) -> str:
        """A text; whole numbers and those without exponent are taken as they are written."""
        value = self.values[key] if self.has(key) else None
        if isinstance(value, Unset):
            self._is_sound(key)  # says which variable it is
            return default
        if value is None:
            if required:
                self.fault(key, "it is required")
            return default
        if isinstance(value, bool | dict | list):
            self.fault(key, "it has to be a text")
            return default
        text = str(value)
        if not isinstance(value, str) and "E" in text:
            self.fault(key, "it has to be a text; put it into quotes")
            return default
        if "\0" in text:
            self.fault(key, "it must not hold the character NUL")
            return default
        if required and text == "":
            self.fault(key, "it must not be empty")
        return text

    def secret(self, key: str, *, lines: bool = False) -> str | Unset | None:
        """A secret, the unset variable that stands for it, or None if it is not given.

        Controls are refused: no header and no HTTP Basic can carry them (RFC 9110, 5.5; RFC 7617, 2). Most often they
        are the line feed at the end of a file that somebody put into a variable. With `lines` it may have several.
        """
        given = self.values[key] if self.has(key) else None
        if given is None or isinstance(given, Unset):
            return given
        text = self.text(key, required=True)
        if not lines and _CONTROLS.search(text):
            self.fault(key, "a secret must not hold control characters such as a line feed")
            return ""
        return text

    def choice(self, key: str, choices: Collection[str], default: str) -> str:
        value = self.text(key, default)
        if value not in choices:
            self.fault(key, f"{value!r} is not one of {', '.join(choices)}")
            return default
        return value

    def moment(self, key: str) -> datetime | None:
        """A time such as 2027-01-31T12:00:00+01:00 (ISO 8601), in UTC unless it says otherwise; None if not given."""
        text = self.text(key)
        if not text:
            return None
        try:
            found = datetime.fromisoformat(text)
            return (found if found.tzinfo else found.replace(tzinfo=UTC)).astimezone(UTC)
        except (ValueError, OverflowError):
            self.fault(key, "it has to be a time such as 2027-01-31T12:00:00Z")
            return None

    def number(self, key: str, default: float) -> float:
        value = self.raw(key, default)
        if isinstance(value, bool) or not isinstance(value, int | float | Decimal):
            self.fault(key, "it has to be a number")
            return default
        try:
            return float(value)
        except OverflowError:  # a whole number of some hundred digits
            self.fault(key, "the number is out of range")
            return default

    def integer(self, key: str, default: int) -> int:
        value = self.raw(key, default)
        if isinstance(value, bool) or not isinstance(value, int):
            self.fault(key, "it has to be a whole number")
            return default
        return value

    def optional_integer(self, key: str) -> int | None:
        return None if self.raw(key, None) is None else self.integer(key, 0)

    def boolean(self, key: str, *, default: bool) -> bool:
        value = self.raw(key, default)
        if not isinstance(value, bool):
            self.fault(key, "it has to be true or false")
            return default
        return value

    def mapping(self, key: str) -> dict[str, Any] | None:
        """A mapping with any keys, or None if it is not given."""
        value = self.raw(key)
        if value is None or isinstance(value, dict):
            return value
        self.fault(key, "it has to be a mapping")
        return None

    def section(self, key: str) -> "Section":
        """A mapping with known keys; an empty one if it is not given."""
        values = self.values[key] if self.has(key) else None
        if values is not None and not isinstance(values, dict):
            self.fault(key, "it has to be a mapping")
            values = None
        return Section(values or {}, self.at(key), self.faults, self.owner)

    def sections(self, key: str) -> "list[Section]":
        """A list of mappings with known keys; an empty one if it is not given."""
        found = []
        values = self.values[key] if self.has(key) else None
        if values is not None and not isinstance(values, list):
            self.fault(key, "it has to be a list")
            return []
        for index, value in enumerate(values or []):
            if isinstance(value, dict):
                slug = value.get("slug")
                owner = slug[:100] if isinstance(slug, str) else self.owner
                found.append(Section(value, f"{self.at(key)}[{index}]", self.faults, owner))
            else:
                self.fault(f"{key}[{index}]", "it has to be a mapping")
        return found

    def end(self) -> None:
        """Names unknown keys, with the one that was probably meant."""
        for key in self.values:
            if key not in self.asked:
                close = difflib.get_close_matches(key, self.asked, n=1)
                self.faults.add(
                    below(self.path, key), f"this key is not known{f'; did you mean {close[0]}?' if close else ''}"
                )

    def _is_sound(self, key: str) -> bool:
        """Whether a value rests on no unset variable and can be kept as JSON; names what does not."""
        value = self.values[key]
        if isinstance(value, str):
            return True
        unset = list(_unset(value, self.at(key)))
        for path, name in unset:
            self.faults.add(path, f"the environment variable {name} is not set")
        if unset:
            return False
        try:
            formats.parse(formats.dump(value))
        except (formats.UnwritableValue, formats.MalformedBody):
            nested = f"it holds a number out of range, or is nested deeper than {formats.MAX_DEPTH} levels"
            self.fault(key, nested if isinstance(value, dict | list) else "the number is out of range")
            return False
        return True


def _unset(value: Any, path: str) -> Iterable[tuple[str, str]]:
    if isinstance(value, Unset):
        yield path, value.name
    elif isinstance(value, dict):
        for key, item in value.items():
            yield from _unset(item, below(path, key))
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from _unset(item, f"{path}[{index}]")
