"""The fast way through a mapping's tree: whole columns instead of single values.

A list of 20 items under 10 rows is built by 10 comprehensions and not by 200 calls; nested lists are laid end to end
first and cut again afterwards. Measured on an order with 20 lines: 2.9 times the hand-written mapping, against 5.6 for
one closure a value.

Only payloads that can be mapped come to an end here. Anything else raises ConversionFailed or GiveUp, and
`connectors.walk` goes over the payload again to name what is wrong.
"""

from collections.abc import Callable
from decimal import Decimal
from itertools import chain, islice, repeat
from typing import Any

from connectors.paths import MISSING, Step, read_steps
from connectors.targets import Iteration, Leaf, ListNode, Node, NumberedNode, ObjectNode
from connectors.walk import item_of, numbered_list


class GiveUp(Exception):
    """A payload that needs the other way."""


class Space:
    """Rows of equal right: `slots` holds a column of `size` values for each slot that is read here.

    `gaps`: some value that was made here is MISSING.
    """

    __slots__ = ("gaps", "size", "slots")

    def __init__(self, slots: list[Any], size: int) -> None:
        self.slots = slots
        self.size = size
        self.gaps = False


Column = Callable[[Space], list[Any]]


def compile_column(node: Node, *, item: bool = False) -> Column:
    """`item`: the values are items of a list, or the whole result; an object among them stays even when it is empty."""
    if isinstance(node, Leaf):
        return _constant(node) if node.row.constant is not MISSING else _leaf(node)
    if isinstance(node, ObjectNode):
        return _object({name: compile_column(child) for name, child in node.fields.items()}, keep=item)
    if isinstance(node, NumberedNode):
        return _numbered({number: compile_column(place) for number, place in node.places.items()})
    return _list(node)


def _constant(leaf: Leaf) -> Column:
    settle, constant = leaf.settle, leaf.row.constant
    if leaf.row.lookup:  # its entry may be missing, which fails when a payload is mapped
        return lambda space: [settle(constant)] * space.size
    value = settle(constant)
    return lambda space: [value] * space.size


def _leaf(leaf: Leaf) -> Column:
    slot, steps, settle, finish = leaf.slot, leaf.steps, leaf.settle, _finisher(leaf)
    names = _names(steps)

    def column(space: Space) -> list[Any]:
        values = space.slots[slot]
        if names:
            try:
                for name in names:
                    values = [value[name] for value in values]
                return finish(values)
            except (KeyError, TypeError):  # something is not there, or is not an object
                values = space.slots[slot]
        values = [settle(read_steps(value, steps)) for value in values]
        if any(value is MISSING for value in values):
            space.gaps = True
        return values

    return column


def _finisher(leaf: Leaf) -> Callable[[list[Any]], list[Any]]:
    """Settles values that are there, most of them without a call: those that are of the right kind already."""
    settle, kind = leaf.settle, leaf.row.type
    if leaf.row.lookup or kind in ("date", "datetime", "json"):
        return lambda values: [settle(value) for value in values]
    if kind == "string":
        return lambda values: [value if type(value) is str else settle(value) for value in values]
    if kind == "integer":
        return lambda values: [value if type(value) is int else settle(value) for value in values]
    if kind == "boolean":
        return lambda values: [value if type(value) is bool else settle(value) for value in values]
    if kind == "decimal":
        return lambda values: [
            value if type(value) is Decimal and value.adjusted() < 300 and value.is_finite() else settle(value)
            for value in values
        ]
    if kind == "number":
        return lambda values: [value if type(value) is int else settle(value) for value in values]
    if leaf.row.required or leaf.row.default is not MISSING:
        return lambda values: [settle(value) if value is None else value for value in values]
    return lambda values: values


def _names(steps: tuple[Step, ...]) -> tuple[str, ...]:
    """The steps where all of them are names, else none: a number would also read from a text."""
    names = tuple(step for step in steps if isinstance(step, str))
    return names if len(names) == len(steps) else ()


def _object(fields: dict[str, Column], *, keep: bool) -> Column:
    names, makers = tuple(fields), tuple(fields.values())

    def column(space: Space) -> list[Any]:
        columns = [make(space) for make in makers]
        if not space.gaps:
            # the same as a comprehension of dict(zip(names, values)), but without a step of the interpreter for each
            return list(map(dict, map(zip, repeat(names), zip(*columns, strict=True))))
        made = [
            {name: value for name, value in zip(names, values, strict=True) if value is not MISSING}
            for values in zip(*columns, strict=True)
        ]
        return made if keep else [value or MISSING for value in made]

    return column


def _numbered(places: dict[int, Column]) -> Column:
    numbers, makers = tuple(places), tuple(places.values())

    def column(space: Space) -> list[Any]:
        columns = [make(space) for make in makers]
        made = [numbered_list(dict(zip(numbers, values, strict=True))) for values in zip(*columns, strict=True)]
        if any(value is MISSING for value in made):
            space.gaps = True
        return made

    return column


def _list(node: ListNode) -> Column:
    iterations = tuple(node.iterations.values())
    spread = _one_source(iterations[0]) if len(iterations) == 1 and not iterations[0].loose else _sources(iterations)
    own = {iteration.slot for iteration in iterations}
    outer = tuple({slot for slot in node.item.slots() if slot not in own}) if node.item is not None else ()
    make = compile_column(node.item, item=True) if node.item is not None else _constant_gap
    keeps_all = isinstance(node.item, ObjectNode)

    def column(space: Space) -> list[Any]:
        columns, lengths = spread(space)
        counts = [length or 0 for length in lengths]
        slots: list[Any] = [()] * len(space.slots)
        for slot in outer:
            slots[slot] = _repeated(space.slots[slot], counts)
        for slot, values in columns.items():
            slots[slot] = values
        inner = Space(slots, sum(counts))
        items = make(inner)
        if space.size == 1 and lengths[0] is not None:
            lists: list[Any] = [items]
        else:
            left = iter(items)
            lists = [MISSING if length is None else list(islice(left, length)) for length in lengths]
            if None in lengths:
                space.gaps = True
        if inner.gaps and not keeps_all:
            lists = [values and [value for value in values if value is not MISSING] for values in lists]
        return lists

    return column


def _constant_gap(space: Space) -> list[Any]:
    space.gaps = True
    return [MISSING] * space.size


def _repeated(values: list[Any], counts: list[int]) -> list[Any]:
    if len(values) == 1:
        return values * counts[0]
    return [value for value, count in zip(values, counts, strict=True) for _ in range(count)]


_LISTS = {list}

Spread = Callable[[Space], tuple[dict[int, list[Any]], list[int | None]]]


def _one_source(iteration: Iteration) -> Spread:
    """All source lists end to end, and the length of each; None where there is no list."""
    parent, steps, slot, required = iteration.parent, iteration.steps, iteration.slot, iteration.required
    names = _names(steps)

    def spread(space: Space) -> tuple[dict[int, list[Any]], list[int | None]]:
        sources = space.slots[parent]
        try:
            for name in names:
                sources = [value[name] for value in sources]
            if names and set(map(type, sources)) == _LISTS:
                return {slot: list(chain.from_iterable(sources))}, list(map(len, sources))
        except (KeyError, TypeError):
            pass  # something is not there, or is not an object
        sources = [read_steps(value, steps) for value in space.slots[parent]]
        lengths: list[int | None] = []
        for source in sources:
            if type(source) is list:
                lengths.append(len(source))
            elif (source is None or source is MISSING) and not required:
                lengths.append(None)
            else:
                raise GiveUp
        return {slot: [item for source in sources if type(source) is list for item in source]}, lengths

    return spread


def _sources(iterations: tuple[Iteration, ...]) -> Spread:
    """Several source lists, merged by index; none at all, for one item; or those of expressions, which may repeat."""

    def spread(space: Space) -> tuple[dict[int, list[Any]], list[int | None]]:
        columns: dict[int, list[Any]] = {iteration.slot: [] for iteration in iterations}
        lengths: list[int | None] = []
        for row in range(space.size):
            sources = {
                iteration.slot: _source(iteration, space.slots[iteration.parent][row]) for iteration in iterations
            }
            there = [source for source in sources.values() if source is not MISSING]
            if iterations and not there:
                lengths.append(None)
                continue
            length = max((len(source) for source in there if type(source) is list), default=1)
            lengths.append(length)
            for slot, source in sources.items():
                columns[slot] += [item_of(source, number) for number in range(length)]
        return columns, lengths

    return spread


def _source(iteration: Iteration, parent: Any) -> Any:
    source = read_steps(parent, iteration.steps)
    if type(source) is list:
        return source
    if source is None or source is MISSING:
        if iteration.required:
            raise GiveUp
        return MISSING
    if iteration.loose:
        return source
    raise GiveUp
