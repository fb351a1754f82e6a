"""What the tests of mappings share: tables, short ways to map and to fail, and any rows over any payloads."""

from decimal import Decimal
from typing import Any

import pytest
from hypothesis import strategies as st

from connectors.mapping import FieldRow, MappingFailed, compile_rows
from connectors.paths import MISSING

D = Decimal
LOOKUPS: dict[str, dict[str, Any]] = {
    "countries": {"Germany": "DE", "France": "FR", "7": "SEVEN", "true": "YES", "1.10": "PRICE", "void": None, "n": "5"}
}


def mapped(payload: Any, *rows: FieldRow) -> Any:
    return compile_rows(rows, LOOKUPS)(payload)


def failures(payload: Any, *rows: FieldRow) -> list[tuple[str, str]]:
    with pytest.raises(MappingFailed) as caught:
        compile_rows(rows, LOOKUPS)(payload)
    return [(error.target, error.source) for error in caught.value.errors]


TARGETS = (
    "a",
    "o.b",
    "o.p.c",
    "l[].a",
    "l[].o.b",
    "l[].m[].a",
    "l[].m[].b",
    "l[].t[]",
    "k[]",
    "n[0]",
    "n[2].x",
    "g[][]",
)
SOURCES = ("x", "y.x", "i[].x", "i[].y.x", "i[].j[].x", "i[].j[]", "j[].x", "i[]", "i[0].x", "y", "i[].j[].y.x", "$")

names = st.sampled_from("xyij")
payloads = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(0, 3), st.sampled_from(["", "7", "Germany"]), st.just(D("1.10"))),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(names, inner, max_size=4),
        # lists of objects in the places where rows look for them
        st.fixed_dictionaries({"i": st.lists(st.dictionaries(names, inner, max_size=4), max_size=3)}),
    ),
    max_leaves=20,
)
field_rows = st.builds(
    FieldRow,
    target=st.sampled_from(TARGETS),
    source=st.sampled_from(SOURCES),
    type=st.sampled_from(("", "", "string", "integer", "decimal", "number", "boolean", "json")),
    required=st.booleans(),
    default=st.sampled_from((MISSING, MISSING, None, 1)),
    lookup=st.sampled_from(("", "", "", "countries")),
)
