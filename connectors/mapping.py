"""Field rows and whole-expression mappings (section 7 of the contract): from a payload to what the destination gets.

- The k-th `[]` of a target iterates the k-th `[]` of its source. Rows of one target list with different source lists
  are merged item by item; the longest list says how many items there are.
- A source without `[]` under a `[]` target repeats into every item that other rows make. It makes none by itself, but
  when no row of that list iterates, the list has one item. A constant repeats in the same way.
- Further `[]` of a source give a list as the value, nested lists flattened; type and lookup are applied to its items.
- An empty source list gives an empty target list; one that is absent or null leaves the target list out.
- An absent source without `default` leaves its target out, unless it is `required`. Items of a list of objects stay,
  even when they are empty; items of a list of values go. Other objects that would be empty are left out. A null source
  counts as absent for `default` and `required`, and otherwise stays null. Where there is a `default`, nothing is
  missing, so `required` says nothing more.
- `lookup` takes the value's text as key. An entry that is not there gives the `default`, or else a failure. `type` is
  applied to what the lookup gave, and to defaults and constants.
- `=expression` reads the whole payload, wherever its target is. Under a `[]` target a list is what is iterated, by the
  outermost `[]`; any other result repeats.
- The order of the output's keys is the order of the rows. The output shares parts with the payload: only read both.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, Final

from connectors.columns import Column, GiveUp, Space, compile_column
from connectors.conversions import CONVERSIONS, ConversionFailed
from connectors.expressions import (
    Expression,
    ExpressionFailed,
    InvalidExpression,
    compile_expression,
    evaluate_all,
)
from connectors.paths import EACH, MISSING, PathError, Step, compile_path
from connectors.targets import MAX_NUMBER, Conflict, FieldError, FieldRow, ListNode, Node, Tree, settler
from connectors.walk import Walk

__all__ = [
    "TYPES",
    "FieldError",
    "FieldRow",
    "InvalidMapping",
    "Mapper",
    "MappingFailed",
    "RowFault",
    "compile_definition",
    "compile_expression_mapping",
    "compile_rows",
]

Mapper = Callable[[Any], Any]
"""From a payload to a value; raises MappingFailed."""

TYPES: Final = tuple(CONVERSIONS)


class MappingFailed(Exception):
    """A payload that could not be mapped; `errors` names every failing row."""

    def __init__(self, errors: Sequence[FieldError]) -> None:
        self.errors = tuple(errors)
        first = self.errors[0]
        more = f" (and {len(self.errors) - 1} more)" if len(self.errors) > 1 else ""
        super().__init__(f"{first.target}: {first.message}{more}" if first.target else f"{first.message}{more}")


@dataclass(frozen=True, slots=True)
class RowFault:
    """What is wrong with a row as it was written: its index from 0, the field at fault, and a sentence.

    For a mapping that is one expression, `index` is 0 and `field` is "expression".
    """

    index: int
    field: str
    message: str


class InvalidMapping(ValueError):
    """A definition that cannot be compiled; `faults` names every one, in the order of the rows."""

    def __init__(self, faults: Sequence[RowFault]) -> None:
        self.faults = tuple(sorted(faults, key=lambda fault: fault.index))
        super().__init__("; ".join(f"row {fault.index + 1}, {fault.field}: {fault.message}" for fault in self.faults))


def compile_definition(definition: Mapping[str, Any], lookups: Mapping[str, Mapping[str, Any]]) -> Mapper:
    """A stored definition, {"fields": [row, …]} or {"expression": text}. Raises InvalidMapping."""
    if definition.keys() == {"expression"}:
        return compile_expression_mapping(definition["expression"])
    if definition.keys() != {"fields"}:
        raise InvalidMapping([RowFault(0, "fields", "A mapping is either a list of rows or one expression.")])
    unknown = [
        RowFault(index, key, "A row has no such key.")
        for index, row in enumerate(definition["fields"])
        for key in row
        if key not in _ROW_KEYS
    ]
    missing = [
        RowFault(index, "target", "A row needs a target.")
        for index, row in enumerate(definition["fields"])
        if "target" not in row
    ]
    if unknown or missing:
        raise InvalidMapping(unknown + missing)
    return compile_rows([FieldRow(**row) for row in definition["fields"]], lookups)


def compile_expression_mapping(text: str) -> Mapper:
    """A whole mapping as one JSONata expression, without a leading `=`. Raises InvalidMapping."""
    try:
        expression = compile_expression(text)
    except InvalidExpression as error:
        raise InvalidMapping([RowFault(0, "expression", str(error))]) from error

    def mapper(payload: Any) -> Any:
        try:
            result = expression.evaluate(payload)
        except ExpressionFailed as error:
            raise MappingFailed([FieldError("", "=", str(error))]) from error
        if result is MISSING:
            raise MappingFailed([FieldError("", "=", "The expression gives no value for this payload.")])
        return result

    return mapper


def compile_rows(rows: Sequence[FieldRow], lookups: Mapping[str, Mapping[str, Any]]) -> Mapper:
    """`lookups` are the entries of each lookup table by slug. Raises InvalidMapping."""
    if not rows:
        raise InvalidMapping([RowFault(0, "target", "A mapping has at least one row.")])
    faults: list[RowFault] = []
    checked = [_Checked(index, row, lookups, faults) for index, row in enumerate(rows)]
    tree = Tree()
    for one in checked:
        if one.expression is not None:
            tree.reserve(one.expression)
    for one in checked:
        if one.settle is None:
            continue
        try:
            tree.place(one.row, target=one.target, source=one.source, settle=one.settle)
        except Conflict as conflict:
            faults.append(RowFault(one.index, "target", str(conflict)))
    if faults or tree.root is None:
        raise InvalidMapping(faults)
    return _mapper(tree.root, compile_column(tree.root, item=True), tuple(tree.expressions.values()), tree.width)


_ROW_KEYS: Final = frozenset(field.name for field in fields(FieldRow))


def _mapper(root: Node, column: Column, expressions: tuple[Expression, ...], width: int) -> Mapper:
    empty: type = list if isinstance(root, ListNode) else dict
    unused = [None] * (width - 1 - len(expressions))

    def mapper(payload: Any) -> Any:
        given = [payload]
        failed = False
        if expressions:
            outcomes = evaluate_all(expressions, payload)
            failed = any(isinstance(outcome, ExpressionFailed) for outcome in outcomes)
            given += outcomes
        if not failed:
            try:
                (result,) = column(Space([[value] for value in given] + unused, 1))
            except (ConversionFailed, GiveUp):
                pass
            else:
                return empty() if result is MISSING else result
        walk = Walk(given + unused)
        result = walk.build(root)
        if errors := walk.errors():
            raise MappingFailed(errors)
        return empty() if result is MISSING else result

    return mapper


class _Checked:
    """A row with its parts compiled; what is wrong goes to `faults`, and then `settle` stays None."""

    def __init__(
        self, index: int, row: FieldRow, lookups: Mapping[str, Mapping[str, Any]], faults: list[RowFault]
    ) -> None:
        self.index = index
        self.row = row
        self.expression: Expression | None = None
        self.settle: Callable[[Any], Any] | None = None
        self._faults = faults
        before = len(faults)
        self.target = self._path("target", row.target)
        self.source = self._source()
        self._check(lookups)
        if len(faults) == before:
            self._compile(lookups)

    def _fault(self, field: str, message: str) -> None:
        self._faults.append(RowFault(self.index, field, message))

    def _path(self, field: str, text: str) -> tuple[Step, ...]:
        try:
            return compile_path(text).steps
        except PathError as error:
            self._fault(field, str(error))
            return ()

    def _source(self) -> tuple[Step, ...]:
        row = self.row
        if row.source and row.constant is not MISSING:
            self._fault("constant", "A row has a source or a constant, not both.")
        if not row.source:
            if row.constant is MISSING:
                self._fault("source", "A row needs a source or a constant.")
            return ()
        if not row.source.startswith("="):
            return self._path("source", row.source)
        try:
            self.expression = compile_expression(row.source[1:])
        except InvalidExpression as error:
            self._fault("source", str(error))
        # an expression's list is iterated by the first `[]` of the target
        return (EACH,) if EACH in self.target else ()

    def _check(self, lookups: Mapping[str, Mapping[str, Any]]) -> None:
        row = self.row
        if row.target.strip() == "$":
            self._fault("target", "A target names a field of the outgoing object.")
        if any(isinstance(step, int) and step > MAX_NUMBER for step in self.target):
            self._fault("target", f"The number of an item in a target is at most {MAX_NUMBER}.")
        if row.type and row.type not in CONVERSIONS:
            self._fault("type", f"{row.type!r} is not a type; choose one of {', '.join(TYPES)}.")
        if row.lookup and row.lookup not in lookups:
            self._fault("lookup", f"There is no lookup table {row.lookup!r}.")

    def _compile(self, lookups: Mapping[str, Mapping[str, Any]]) -> None:
        row = self.row
        spread = self.source.count(EACH) > self.target.count(EACH)
        try:
            settle = settler(row, spread=spread, entries=lookups[row.lookup] if row.lookup else None)
        except ConversionFailed as error:
            self._fault("default", str(error))
            return
        if row.constant is not MISSING and not row.lookup:  # tables change after a mapping is saved
            try:
                settle(row.constant)
            except ConversionFailed as error:
                self._fault("constant", str(error))
                return
        self.settle = settle
