"""The tree that the targets of all field rows make, and where each row reads.

A row reads from a slot: the payload (slot 0), the result of an expression, or the current item of an iteration. The
k-th `[]` of a target is a list node of this tree, and the k-th `[]` of the row's source makes an iteration of that
node, with a slot of its own; rows that have the source up to there in common share it.

The tree is walked by `connectors.columns`, the fast way, and by `connectors.walk`, the way that names every error.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from connectors.conversions import CONVERSIONS, ConversionFailed, shown, to_string
from connectors.expressions import Expression
from connectors.paths import EACH, MISSING, Step, join_path

PAYLOAD: Final = 0
MAX_NUMBER: Final = 999
"""Of an item in a target such as `lines[0].sku`: places below it are made, so a large one would be a large list."""


@dataclass(frozen=True, slots=True)
class FieldRow:
    """One row: `target` and `source` are paths, `source` may be an `=expression`; MISSING means "not given"."""

    target: str
    source: str = ""
    type: str = ""
    required: bool = False
    default: Any = MISSING
    lookup: str = ""
    constant: Any = MISSING


@dataclass(frozen=True, slots=True)
class FieldError:
    """Why one row failed on a payload; `target` and `source` name the item, e.g. lines[2].price."""

    target: str
    source: str
    message: str


@dataclass(frozen=True, slots=True, eq=False)
class Leaf:
    """One row in its place. `settle` makes of what was read what is written; it raises ConversionFailed."""

    row: FieldRow
    target: tuple[Step, ...]
    source: tuple[Step, ...]
    slot: int
    steps: tuple[Step, ...]
    settle: Callable[[Any], Any]

    def slots(self) -> Iterator[int]:
        if self.row.constant is MISSING:
            yield self.slot


@dataclass(slots=True, eq=False)
class Iteration:
    """One source list: it is read by `steps` from the slot `parent`, its current item is in `slot`.

    `loose`: the list is the result of an expression, which gives a single value where others give a list of one
    (JSONata's singleton sequences): such a value repeats.
    """

    parent: int
    steps: tuple[Step, ...]
    slot: int
    loose: bool
    leaves: list[Leaf] = field(default_factory=list)

    @property
    def required(self) -> bool:
        """Whether it is an error when the list is not there."""
        return any(leaf.row.required and leaf.row.default is MISSING for leaf in self.leaves)


@dataclass(slots=True, eq=False)
class ObjectNode:
    """Fields by name, in the order of the rows."""

    fields: dict[str, "Node"] = field(default_factory=dict)

    def slots(self) -> Iterator[int]:
        for node in self.fields.values():
            yield from node.slots()


@dataclass(slots=True, eq=False)
class NumberedNode:
    """A list with places that rows name: `lines[0].sku`."""

    places: dict[int, "Node"] = field(default_factory=dict)

    def slots(self) -> Iterator[int]:
        for node in self.places.values():
            yield from node.slots()


@dataclass(slots=True, eq=False)
class ListNode:
    """A list that is made by iterating: one item for each item of the longest source list."""

    item: "Node | None" = None
    iterations: dict[Any, Iteration] = field(default_factory=dict)

    def slots(self) -> Iterator[int]:
        """What is read from outside this list's own iterations."""
        own = {iteration.slot for iteration in self.iterations.values()}
        yield from (iteration.parent for iteration in self.iterations.values())
        if self.item is not None:
            yield from (slot for slot in self.item.slots() if slot not in own)


Node = Leaf | ObjectNode | NumberedNode | ListNode

_KINDS: Final = {Leaf: "a value", ObjectNode: "an object", NumberedNode: "a numbered list", ListNode: "a list of items"}


class Conflict(ValueError):
    """A target that cannot stand beside the targets before it."""


class Tree:
    """`root` is None until the first row is placed; `expressions` fill the slots 1, 2, 3 …"""

    def __init__(self) -> None:
        self.root: Node | None = None
        self.expressions: dict[str, Expression] = {}
        self.width = 1

    def reserve(self, expression: Expression) -> None:
        """Gives an expression its slot. Before the first row is placed, so that these slots come first."""
        self.expressions.setdefault(expression.text, expression)
        self.width = 1 + len(self.expressions)

    def expression_slot(self, text: str) -> int:
        return 1 + list(self.expressions).index(text)

    def place(
        self, row: FieldRow, *, target: tuple[Step, ...], source: tuple[Step, ...], settle: Callable[[Any], Any]
    ) -> None:
        """Adds a row whose parts are checked. Raises Conflict and leaves the tree as it was, but for empty nodes."""
        loose = row.source.startswith("=")
        reading = _Reading(self.expression_slot(row.source[1:]) if loose else PAYLOAD, source, loose)
        passed: list[Iteration] = []
        put: Callable[[Node], Node] = self._put_root
        node = self.root
        for step in target:
            node = put(self._fitting(node, step))
            if isinstance(node, ObjectNode) and isinstance(step, str):
                put, node = _putter(node.fields, step), node.fields.get(step)
            elif isinstance(node, NumberedNode) and isinstance(step, int):
                put, node = _putter(node.places, step), node.places.get(step)
            elif isinstance(node, ListNode):
                iteration = reading.iterate(node, self)
                if iteration is not None:
                    passed.append(iteration)
                put, node = _item_putter(node), node.item
        if node is not None:
            raise Conflict(f"Another row makes {_KINDS[type(node)]} of the same target.")
        leaf = Leaf(row, target, source, reading.slot, reading.steps, settle)
        put(leaf)
        for iteration in passed:
            iteration.leaves.append(leaf)

    def new_slot(self) -> int:
        self.width += 1
        return self.width - 1

    def _put_root(self, node: Node) -> Node:
        self.root = node
        return node

    @staticmethod
    def _fitting(node: Node | None, step: Step) -> Node:
        kind = ObjectNode if isinstance(step, str) else NumberedNode if isinstance(step, int) else ListNode
        if node is None:
            return kind()
        if not isinstance(node, kind):
            raise Conflict(f"Another row makes {_KINDS[type(node)]} of what is {_KINDS[kind]} here.")
        return node


def _putter(places: dict[Any, Node], key: Any) -> Callable[[Node], Node]:
    def put(node: Node) -> Node:
        places[key] = node
        return node

    return put


def _item_putter(parent: ListNode) -> Callable[[Node], Node]:
    def put(node: Node) -> Node:
        parent.item = node
        return node

    return put


class _Reading:
    """Where a row has got to on its way through the lists of its target."""

    def __init__(self, slot: int, steps: tuple[Step, ...], loose: bool) -> None:
        self.slot = slot
        self.steps = steps
        self.loose = loose

    def iterate(self, node: ListNode, tree: Tree) -> Iteration | None:
        """Enters the next source list at this list node; None when there is none left, and the row repeats."""
        if not self.loose and EACH not in self.steps:
            return None
        before = () if self.loose else self.steps[: self.steps.index(EACH)]
        key = (self.slot, before)
        if key not in node.iterations:
            node.iterations[key] = Iteration(self.slot, before, tree.new_slot(), self.loose)
        iteration = node.iterations[key]
        self.slot, self.steps, self.loose = iteration.slot, self.steps[len(before) + 1 :], False
        return iteration


def settler(row: FieldRow, *, spread: bool, entries: Mapping[str, Any] | None) -> Callable[[Any], Any]:
    """What is done with a value that was read: default, lookup, conversion. The default is converted here, once.

    `spread`: the source has more `[]` than the target, so that the value is a list, each item of which is converted.
    The result raises ConversionFailed, and so does this function for a default that the type cannot take.
    """
    convert = CONVERSIONS[row.type] if row.type else None
    default = row.default
    if convert is not None and default is not MISSING and default is not None:
        default = _each(convert, default) if spread and isinstance(default, list) else convert(default)

    def single(value: Any) -> Any:
        if entries is not None:
            key = to_string(value)
            if key in entries:
                value = entries[key]
            elif default is not MISSING:
                return default
            else:
                raise ConversionFailed(f"The lookup table {row.lookup} has no entry {shown(key)}.")
        return value if convert is None or value is None else convert(value)

    def settle(value: Any) -> Any:
        if value is not MISSING and value is not None:
            return _each(single, value) if spread else single(value)
        if default is not MISSING:
            return default
        if row.required:
            raise ConversionFailed("It is required, and the source is " + ("null." if value is None else "not there."))
        return value

    return settle


def _each(single: Callable[[Any], Any], values: list[Any]) -> list[Any]:
    result, reasons = [], []
    for number, value in enumerate(values):
        try:
            result.append(None if value is None else single(value))
        except ConversionFailed as error:
            reasons.append(f"Item {number}: {error}")
    if reasons:
        more = f" (and {len(reasons) - 3} more)" if len(reasons) > 3 else ""
        raise ConversionFailed(" ".join(reasons[:3]) + more)
    return result


def numbered_text(steps: tuple[Step, ...], numbers: list[int]) -> str:
    """The text of a path with the numbers of the current items in its first `[]`."""
    left = iter(numbers)
    return join_path(next(left, EACH) if step is EACH else step for step in steps)
