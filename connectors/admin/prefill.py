"""A payload to begin with: what a route would take, and what its mapping reads, with values that are made up."""

from collections.abc import Iterator
from typing import Any

from connectors import formats
from connectors.choices import FieldType
from connectors.examples import example_of
from connectors.models import LookupTable, MappingVersion, Route
from connectors.paths import MISSING, PathError, Step, compile_path
from connectors.schemas import InvalidSchema, compile_schema

PLACEHOLDER = "text"
"""What `example_of` puts where a schema says nothing."""
KEY = "4711"
OF_TYPE: dict[str, Any] = {
    FieldType.INTEGER: 1,
    FieldType.NUMBER: 1,
    FieldType.DECIMAL: 1,
    FieldType.BOOLEAN: True,
    FieldType.DATE: "2026-11-23",
    FieldType.DATETIME: "2026-11-23T08:16:54Z",
}
LONGEST_LIST = 5
"""A path may name the millionth item; nobody wants to see the others."""


def example_body(route: Route) -> str:
    """JSON for people, made of the route's schema, keys and mapping; none of it comes from a stored message."""
    stated = {} if route.schema is None else example_of(route.schema)
    if stated is MISSING:
        return "{}"
    made = formats.parse(formats.dump(stated))
    for steps, value in _wanted(route):
        made = _put(made, steps, value)
    return formats.dump_pretty(made if _fits(made, route.schema) else stated)


def _fits(value: Any, schema: Any) -> bool:
    try:
        return schema is None or not compile_schema(schema).errors(value, 1)
    except InvalidSchema:
        return False


def _wanted(route: Route) -> Iterator[tuple[tuple[Step, ...], Any]]:
    """Where the route looks, and what could stand there; expressions are left to whoever wrote them."""
    search_keys = route.search_keys.values() if isinstance(route.search_keys, dict) else ()
    texts = [(text, KEY) for text in (route.idempotency_key, route.ordering_key, *search_keys)]
    for text, value in [*texts, *_sources(route)]:
        if not text or text.startswith("="):
            continue
        try:
            steps = compile_path(text).steps
        except PathError:
            continue
        if all(not isinstance(step, int) or step < LONGEST_LIST for step in steps):
            yield steps, value


def _sources(route: Route) -> Iterator[tuple[str, Any]]:
    version = MappingVersion.objects.filter(mapping=route.mapping_id).order_by("-number").first()
    rows = version.definition.get("fields", []) if version is not None else []
    tables = dict(LookupTable.objects.values_list("slug", "entries")) if any("lookup" in row for row in rows) else {}
    for row in rows:
        entry = next(iter(tables.get(row.get("lookup", ""), {})), PLACEHOLDER)
        yield row.get("source", ""), OF_TYPE.get(row.get("type", ""), entry)


def _put(value: Any, steps: tuple[Step, ...], sample: Any) -> Any:
    """`value` with `sample` at `steps`; what is there already stays, unless it is a placeholder."""
    if not steps:
        return sample if value in (None, PLACEHOLDER) else value
    step, rest = steps[0], steps[1:]
    if isinstance(step, str):
        members = dict(value) if isinstance(value, dict) else {}
        members[step] = _put(members.get(step), rest, sample)
        return members if isinstance(value, dict) or value in (None, PLACEHOLDER) else value
    if not (isinstance(value, list) or value in (None, PLACEHOLDER)):
        return value
    items = list(value) if isinstance(value, list) else []
    place = step if isinstance(step, int) else 0
    items += [None] * (place + 1 - len(items))
    items[place] = _put(items[place], rest, sample)
    return items
