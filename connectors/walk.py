"""Walks a mapping's tree one item at a time, and names every row that fails."""

from typing import Any, Final

from connectors.conversions import ConversionFailed, shown
from connectors.expressions import ExpressionFailed
from connectors.paths import MISSING, read_steps
from connectors.targets import FieldError, Iteration, Leaf, ListNode, Node, NumberedNode, ObjectNode, numbered_text

MAX_ITEMS_NAMED: Final = 50
"""Items that are named for each row; the last one says how many more there are. Every row that fails is named."""


_FAILED: Final = object()
"""In the slot of an iteration whose rows are already named."""


class Walk:
    """One pass over one payload: `slots` as `connectors.targets` numbers them, `errors` as they are found."""

    def __init__(self, slots: list[Any]) -> None:
        self.slots = slots
        self.numbers: list[int] = []
        self.failed: dict[Leaf, list[FieldError]] = {}
        self.unnamed: dict[Leaf, int] = {}

    def errors(self) -> tuple[FieldError, ...]:
        found = []
        for leaf, errors in self.failed.items():
            found += errors
            if leaf in self.unnamed:
                found.append(FieldError(leaf.row.target, leaf.row.source, f"{self.unnamed[leaf]} more items fail."))
        return tuple(found)

    def build(self, node: Node) -> Any:
        """The value for a node, or MISSING."""
        if isinstance(node, Leaf):
            return self._leaf(node)
        if isinstance(node, ObjectNode):
            return self._object(node) or MISSING
        if isinstance(node, NumberedNode):
            return numbered_list({number: self.build(place) for number, place in node.places.items()})
        return self._list(node)

    def fail(self, leaf: Leaf, message: str) -> None:
        errors = self.failed.setdefault(leaf, [])
        if len(errors) >= MAX_ITEMS_NAMED:
            self.unnamed[leaf] = self.unnamed.get(leaf, 0) + 1
            return
        # the `[]` that stands for an expression's list is ours, nobody wrote it
        is_path = leaf.source and not leaf.row.source.startswith("=")
        source = numbered_text(leaf.source, self.numbers) if is_path else leaf.row.source
        errors.append(FieldError(numbered_text(leaf.target, self.numbers), source, message))

    def _leaf(self, leaf: Leaf) -> Any:
        constant = leaf.row.constant
        value = self.slots[leaf.slot] if constant is MISSING else constant
        if value is _FAILED:
            return MISSING
        if isinstance(value, ExpressionFailed):
            self.fail(leaf, str(value))
            return MISSING
        try:
            return leaf.settle(read_steps(value, leaf.steps) if constant is MISSING else constant)
        except ConversionFailed as error:
            self.fail(leaf, str(error))
            return MISSING

    def _object(self, node: ObjectNode) -> dict[str, Any]:
        made = {name: self.build(child) for name, child in node.fields.items()}
        return {name: value for name, value in made.items() if value is not MISSING}

    def _list(self, node: ListNode) -> Any:
        sources = {iteration.slot: self._source(iteration) for iteration in node.iterations.values()}
        lengths = [len(source) for source in sources.values() if isinstance(source, list)]
        repeating = [source for source in sources.values() if not isinstance(source, list) and source is not MISSING]
        if node.iterations and not lengths and not repeating:
            return MISSING
        result = []
        for number in range(max(lengths, default=1)):
            self.numbers.append(number)
            for slot, source in sources.items():
                self.slots[slot] = item_of(source, number)
            value = self._item(node.item)
            self.numbers.pop()
            if value is not MISSING:
                result.append(value)
        return result

    def _item(self, node: Node | None) -> Any:
        if isinstance(node, ObjectNode):
            return self._object(node)  # also when it is empty: items keep their places
        return MISSING if node is None else self.build(node)

    def _source(self, iteration: Iteration) -> Any:
        """The list, or the value that repeats, or MISSING, or _FAILED; errors are recorded."""
        parent = self.slots[iteration.parent]
        if parent is _FAILED:
            return _FAILED
        if isinstance(parent, ExpressionFailed):
            for leaf in iteration.leaves:
                self.fail(leaf, str(parent))
            return _FAILED
        value = read_steps(parent, iteration.steps)
        if isinstance(value, list):
            return value
        if value is None or value is MISSING:
            for leaf in iteration.leaves:
                if leaf.row.required and leaf.row.default is MISSING:
                    self.fail(leaf, "It is required, and the source list is not there.")
            return MISSING
        if iteration.loose:
            return value
        for leaf in iteration.leaves:
            self.fail(leaf, f"The source is {shown(value)}, where a list is expected.")
        return _FAILED


def item_of(source: Any, number: int) -> Any:
    """The item of a list, MISSING behind its end; a value that is no list repeats."""
    if isinstance(source, list):
        return source[number] if number < len(source) else MISSING
    return source


def numbered_list(made: dict[int, Any]) -> Any:
    """A list with the values at their numbers and null between them; MISSING when there are none."""
    there = {number: value for number, value in made.items() if value is not MISSING}
    return [there.get(number) for number in range(max(there) + 1)] if there else MISSING
