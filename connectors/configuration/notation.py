"""The file's notation: YAML with the values of JSON, numbers exact, read and written."""

import re
from collections.abc import Hashable
from decimal import Decimal, InvalidOperation
from typing import Any

import yaml

from connectors import formats

_NULL, _BOOLEAN, _INTEGER, _DECIMAL, _MERGE, _TEXT = (
    f"tag:yaml.org,2002:{name}" for name in ("null", "bool", "int", "float", "merge", "str")
)
# What a word without quotes is: YAML 1.2's idea, so that NO is Norway, and dates, 0777 and 12:30 are texts.
_SCALARS = [
    (_NULL, re.compile(r"(?:~|null|Null|NULL|)\Z"), ["~", "n", "N", ""]),
    (_BOOLEAN, re.compile(r"(?:true|True|TRUE|false|False|FALSE)\Z"), list("tTfF")),
    (_INTEGER, re.compile(r"-?(?:0|[1-9][0-9]*)\Z"), list("-0123456789")),
    (_DECIMAL, re.compile(r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][-+]?[0-9]+)?\Z"), list("-0123456789")),
    (_MERGE, re.compile(r"<<\Z"), ["<"]),
]
_BLOCK_LENGTH = 100  # longer texts become blocks of their own, so that an expression is not folded
_OTHER_BREAKS = re.compile("[\r\x85\u2028\u2029]")  # a reader makes plain line feeds of most of them


class NotReadable(ValueError):
    """A text that is no YAML; says why, with line and column."""


def load(text: str) -> Any:
    """The value of a YAML or JSON text. Raises NotReadable."""
    text = text.removeprefix("\ufeff")
    as_json = ""
    if text.lstrip().startswith("{"):
        try:
            return formats.parse(text.encode())
        except formats.MalformedBody as error:  # YAML's flow style begins like this, too
            as_json = f"; as JSON: {error}"
        except UnicodeEncodeError:
            pass  # half a surrogate pair, which YAML's reader names with its place
    try:
        return yaml.load(text, Loader=Loader)  # noqa: S506 - a SafeLoader
    except yaml.reader.ReaderError as error:
        line, column = text.count("\n", 0, error.position) + 1, error.position - text.rfind("\n", 0, error.position)
        raise NotReadable(f"a character that YAML does not allow (line {line}, column {column})") from None
    except yaml.YAMLError as error:
        raise NotReadable(f"{_explained(error)}{as_json}") from None
    except RecursionError:
        raise NotReadable("it is nested too deeply") from None


def dump(document: dict[str, Any]) -> str:
    """YAML in block style that `load` reads as the same value, keys in the order given."""
    text: str = yaml.dump(document, Dumper=Dumper, sort_keys=False, allow_unicode=True, width=120)
    return text


class Loader(yaml.SafeLoader):
    """Knows the values of JSON only: sets, dates and binaries of YAML are faults."""

    def construct_mapping(self, node: Any, deep: bool = False) -> dict[Hashable, Any]:
        """Keys are texts as they are written (`404`, `NO`); one that occurs twice is a fault.

        What `<<` merges in gives way to the mapping's own keys. It is merged as values: merging nodes, as the base
        class does, lets nested merges grow without bounds.
        """
        mapping: dict[Hashable, Any] = {}
        merged = []
        for key_node, value_node in node.value:
            if key_node.tag == _MERGE:
                merged.append(value_node)
                continue
            if not isinstance(key_node, yaml.ScalarNode):
                raise _fault(key_node, "a key has to be a text")
            if key_node.value in mapping:
                raise _fault(key_node, f"the key {key_node.value!r} occurs twice")
            mapping[key_node.value] = self.construct_object(value_node, deep=True)
        for value_node in merged:
            value = self.construct_object(value_node, deep=True)
            for source in value if isinstance(value, list) else [value]:
                if not isinstance(source, dict):
                    raise _fault(value_node, "<< merges a mapping, or a list of mappings")
                for key, item in source.items():
                    mapping.setdefault(key, item)
        return mapping


class Dumper(yaml.SafeDumper):
    """Quotes whatever this loader or an older one would not read as a text; no aliases, lists indented."""

    def ignore_aliases(self, data: Any) -> bool:
        return True

    def increase_indent(self, flow: bool = False, indentless: bool = False) -> Any:
        return super().increase_indent(flow, False)


def _set_up() -> None:
    Loader.yaml_implicit_resolvers = {}
    for tag, pattern, first in _SCALARS:
        Loader.add_implicit_resolver(tag, pattern, first)
        Dumper.add_implicit_resolver(tag, pattern, first)
    # nothing else has a constructor; None stands for every other tag and names it as a fault
    kept = (_TEXT, "tag:yaml.org,2002:seq", None)
    Loader.yaml_constructors = {tag: yaml.SafeLoader.yaml_constructors[tag] for tag in kept}
    Loader.add_constructor("tag:yaml.org,2002:map", Loader.construct_mapping)
    Loader.add_constructor(_NULL, lambda loader, node: None)
    Loader.add_constructor(_BOOLEAN, _construct_boolean)
    Loader.add_constructor(_INTEGER, _construct_integer)
    Loader.add_constructor(_DECIMAL, _construct_decimal)
    Dumper.add_representer(Decimal, lambda dumper, value: dumper.represent_scalar(_DECIMAL, str(value)))
    Dumper.add_representer(str, _represent_text)


def _construct_boolean(loader: Any, node: Any) -> bool:
    word = str(loader.construct_scalar(node)).lower()
    if word not in ("true", "false"):
        raise _fault(node, "a boolean is true or false")
    return word == "true"


def _construct_integer(loader: Any, node: Any) -> int:
    try:
        return int(str(loader.construct_scalar(node)))
    except ValueError:  # a tag that does not fit, or more digits than Python takes
        raise _fault(node, "the number is out of range") from None


def _construct_decimal(loader: Any, node: Any) -> Decimal:
    try:
        number = Decimal(str(loader.construct_scalar(node)))
    except InvalidOperation:
        raise _fault(node, "the number is out of range") from None
    if not number.is_finite():
        raise _fault(node, "the number is not finite")
    return number


def _represent_text(dumper: Any, value: str) -> Any:
    style = None
    if _OTHER_BREAKS.search(value):
        style = '"'
    elif "\n" in value or len(value) > _BLOCK_LENGTH:
        style = "|"
    return dumper.represent_scalar(_TEXT, value, style=style)


def _fault(node: Any, problem: str) -> yaml.constructor.ConstructorError:
    return yaml.constructor.ConstructorError(None, None, problem, node.start_mark)


def _explained(error: yaml.YAMLError) -> str:
    mark = getattr(error, "problem_mark", None)
    place = f" (line {mark.line + 1}, column {mark.column + 1})" if mark is not None else ""
    said = ", ".join(filter(None, (getattr(error, "context", None), getattr(error, "problem", None))))
    return f"{said or 'it is not YAML'}{place}"


_set_up()
