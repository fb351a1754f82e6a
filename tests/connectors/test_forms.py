"""Form fields in which people write lines and lists, and never have to write JSON."""

from decimal import Decimal
from typing import Any

import pytest
from django.core.exceptions import ValidationError

from connectors.forms import ExactJSONFormField, LinesFormField, ListsFormField, NamesFormField

LINES, LISTS, NAMES = (kind(required=False) for kind in (LinesFormField, ListsFormField, NamesFormField))


@pytest.mark.parametrize(
    ("field", "typed", "value", "shown"),
    [
        (LINES, "", None, ""),
        (LINES, " \n ", None, ""),
        (LINES, "order = id\n\nsku=s[].no", {"order": "id", "sku": "s[].no"}, "order = id\nsku = s[].no"),
        # what follows the first sign is the value, an expression with signs of its own included
        (LINES, "big = =$x[a = 1]", {"big": "=$x[a = 1]"}, "big = =$x[a = 1]"),
        (LINES, '{"order": "id"}', {"order": "id"}, "order = id"),
        (LISTS, "success = 409, 404\npermanent = 5xx", {"success": [409, 404], "permanent": ["5xx"]},
         "success = 409, 404\npermanent = 5xx"),
        (LISTS, '{"success": [409]}', {"success": [409]}, "success = 409"),
        (NAMES, "line, note ,", ["line", "note"], "line, note"),
        (NAMES, '["line"]', ["line"], "line"),
        (NAMES, "", None, ""),
    ],
)  # fmt: skip
def test_lines_become_values_and_come_back(field: Any, typed: str, value: Any, shown: str) -> None:
    assert field.clean(typed) == value
    assert (field.prepare_value(value) or "") == shown
    assert not field.has_changed(value, shown)
    assert field.has_changed(value, "other = 1")


@pytest.mark.parametrize(
    ("field", "typed", "said"),
    [
        (LINES, "order id", "Line 1 has no"),
        (LINES, "a = b\nc =", "Line 2 has no"),
        (LINES, "a = b\na = c", "Line 2: a is there already"),
        (LINES, '{"a"', "not valid JSON"),
        (NAMES, '["a"', "not valid JSON"),
    ],
)
def test_line_that_cannot_be_read_is_named(field: Any, typed: str, said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        field.clean(typed)
    assert field.has_changed(None, typed)


@pytest.mark.parametrize(
    ("stored", "typed", "changed"),
    [
        ({"const": 1}, '{"const": true}', True),  # equal in Python
        ({"limit": Decimal("19.90")}, '{"limit": 19.9}', True),
        ({"limit": Decimal("19.90")}, '{ "limit": 19.90 }', False),
        (None, "", False),
    ],
)
def test_values_are_compared_as_they_are_written(stored: Any, typed: str, changed: bool) -> None:
    assert ExactJSONFormField(required=False).has_changed(stored, typed) == changed
