"""The fast way through a mapping's tree gives what the careful way gives."""

from typing import Any
from unittest import mock

from hypothesis import given, settings
from hypothesis import strategies as st

from connectors import mapping
from connectors.columns import GiveUp
from connectors.mapping import MappingFailed, compile_rows
from tests.connectors.rows import LOOKUPS, field_rows, payloads


def outcome(mapper: Any, payload: Any) -> Any:
    try:
        return repr(mapper(payload))
    except MappingFailed as failure:
        return failure.errors


def giving_up(space: Any) -> Any:
    raise GiveUp


@settings(max_examples=300)
@given(st.lists(field_rows, min_size=1, max_size=6, unique_by=lambda row: row.target), payloads)
def test_the_fast_way_and_the_way_that_names_errors_agree(rows, payload):
    fast = compile_rows(rows, LOOKUPS)
    with mock.patch.object(mapping, "compile_column", return_value=giving_up):
        careful = compile_rows(rows, LOOKUPS)

    assert outcome(fast, payload) == outcome(careful, payload)
