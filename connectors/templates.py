"""Addresses and headers with values of the outgoing payload in them: `/orders/{order.id}`. Pure.

A value lands where its placeholder stands and nowhere else: in an address it is percent-encoded, so that it changes
neither host nor the number of path segments; in a header it is checked like any other header's value.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, urlsplit

from connectors.conversions import ConversionFailed, to_string
from connectors.headers import check_header
from connectors.mapping import MappingFailed
from connectors.paths import MISSING, Path, PathError, compile_path
from connectors.targets import FieldError

_TOKEN = re.compile(r"\{\{|\}\}|\{((?:`(?:[^`]|``)*`|[^{}`])*)\}|[{}]")
_MARK = "\ue000"  # stands for a placeholder while an address is taken apart; nobody writes it
_DOTS = (".", "..")  # also where they are percent-encoded, many servers take them for steps up the path


class InvalidTemplate(ValueError):
    """A text that is no template; the message is a sentence."""


@dataclass(frozen=True, slots=True)
class Template:
    """Literals and, between each two of them, a path."""

    literals: tuple[str, ...]
    paths: tuple[Path, ...]

    def fill(self, payload: Any, encode: Callable[[str], str], fault: Callable[[Path, str], None]) -> str:
        """Reports every path without a usable value to `fault`."""
        text = self.literals[0]
        for path, literal in zip(self.paths, self.literals[1:], strict=True):
            value = path.read(payload)
            if value is MISSING or value is None:
                fault(path, "There is no value here.")
                continue
            try:
                text += encode(to_string(value)) + literal
            except (ConversionFailed, UnicodeEncodeError):  # a list or an object; half a surrogate pair
                fault(path, "The value is not a text or a number.")
        return text


def compile_template(text: str) -> Template:
    """`{path}` is a placeholder; `{{` and `}}` are the braces themselves. Raises InvalidTemplate."""
    literals, paths, position = [""], [], 0
    for match in _TOKEN.finditer(text):
        literals[-1] += text[position : match.start()]
        position = match.end()
        if match[0] in ("{{", "}}"):
            literals[-1] += match[0][0]
        elif match[1] is None:
            raise InvalidTemplate("A brace belongs to {path}; write {{ and }} for the braces themselves.")
        else:
            paths.append(_path(match[1]))
            literals.append("")
    literals[-1] += text[position:]
    return Template(tuple(literals), tuple(paths))


def _path(text: str) -> Path:
    try:
        path = compile_path(text)
    except PathError as error:
        raise InvalidTemplate(str(error)) from None
    if path.iterations:
        raise InvalidTemplate(f"{{{text}}} names several values; one is wanted, as by [0].")
    return path


class RequestTemplate:
    """An endpoint's address, query parameters and headers, compiled. Raises InvalidTemplate."""

    def __init__(self, url: str, query: Mapping[str, str], headers: Mapping[str, str]) -> None:
        whole = compile_template(url)
        if _MARK in url:
            raise InvalidTemplate("The URL holds a character that cannot be sent.")
        parts = urlsplit(_MARK.join(whole.literals))
        if not parts.scheme or not parts.netloc or _MARK in parts.scheme + parts.netloc:
            raise InvalidTemplate(
                "Only the path and the query of a URL can hold {path}, never what stands before them."
            )
        paths = iter(whole.paths)
        self._base = f"{parts.scheme}://{parts.netloc}"
        self._segments = [_rejoined(segment, paths) for segment in parts.path.split("/")]
        own_query = _rejoined(parts.query, paths)
        named = [(_encoded(name), _encoded_literals(compile_template(value))) for name, value in query.items()]
        self._query = [*([("", own_query)] if parts.query else []), *named]
        self._headers = [(name, compile_template(value)) for name, value in headers.items()]
        every = [*self._segments, *(template for _, template in [*self._query, *self._headers])]
        self.is_constant = not any(template.paths for template in every)

    def fill(self, payload: Any) -> tuple[str, tuple[tuple[str, str], ...]]:
        """The URL and the headers of one message. Raises MappingFailed, which names all values that are not there."""
        errors: list[FieldError] = []

        def fault_of(target: str) -> Callable[[Path, str], None]:
            return lambda path, message: errors.append(FieldError(target, path.text, message))

        segments = [self._segment(template, payload, fault_of("url")) for template in self._segments]
        query = []
        for name, template in self._query:
            value = template.fill(payload, _encoded, fault_of(f"query.{name}" if name else "url"))
            query.append(f"{name}={value}" if name else value)
        headers = []
        for name, template in self._headers:
            value = template.fill(payload, str, fault_of(f"headers.{name}"))
            if template.paths and (problem := check_header(name, value)):
                errors.append(FieldError(f"headers.{name}", template.paths[0].text, problem))
            headers.append((name, value))
        if errors:
            raise MappingFailed(errors)
        return f"{self._base}{'/'.join(segments)}{'?' if query else ''}{'&'.join(query)}", tuple(headers)

    def _segment(self, template: Template, payload: Any, fault: Callable[[Path, str], None]) -> str:
        """One between two slashes: what comes from the payload can neither empty it nor make it a step up."""
        faults: list[Path] = []

        def noted(path: Path, message: str) -> None:
            faults.append(path)
            fault(path, message)

        text = template.fill(payload, _encoded, noted)
        if template.paths and not faults and (text in _DOTS or not text):
            fault(template.paths[0], "The value is empty." if not text else "The value is a step in a path (. or ..).")
        return text


def _rejoined(text: str, paths: Iterator[Path]) -> Template:
    literals = tuple(text.split(_MARK))
    return Template(literals, tuple(next(paths) for _ in literals[1:]))


def _encoded_literals(template: Template) -> Template:
    return Template(tuple(map(_encoded, template.literals)), template.paths)


def _encoded(text: str) -> str:
    return quote(text, safe="")
