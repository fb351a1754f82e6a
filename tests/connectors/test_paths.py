"""Paths: what is one, what it reads, and what people are told who wrote something else."""

import copy
import pickle

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.paths import EACH, MISSING, PathError, compile_path, join_path

PAYLOAD = {
    "id": 7,
    "customer": {"name": "Ada", "e-mail": "ada@example.com", "none": None},
    "lines": [
        {"sku": "A", "taxes": [{"rate": 1}, {"rate": 2}]},
        {"sku": "B", "taxes": []},
        {"taxes": [{"rate": 3}, {"other": 4}]},
        "not an object",
    ],
    "grid": [[1, 2], [3]],
    "odd.name": {"with `ticks`": 5},
    "$": 6,
}


@pytest.mark.parametrize(
    ("text", "steps"),
    [
        ("id", ("id",)),
        ("customer.name", ("customer", "name")),
        ("line_items[].tax_lines[].rate", ("line_items", EACH, "tax_lines", EACH, "rate")),
        ("lines[0].sku", ("lines", 0, "sku")),
        ("grid[1][0]", ("grid", 1, 0)),
        ("grid[][]", ("grid", EACH, EACH)),
        ("[].sku", (EACH, "sku")),  # the payload is a list
        ("[0]", (0,)),
        ("$", ()),  # the whole payload
        (" $ ", ()),
        ("$.id", ("id",)),  # as JSONPath writes it
        ("$[].sku", (EACH, "sku")),
        ("$ref.$oid", ("$ref", "$oid")),  # names that begin with the sign
        ("`$`", ("$",)),
        ("$$", ("$$",)),
        ("meta.`order-id`", ("meta", "order-id")),  # the contract's example; this name would not need them
        ("meta.order-id", ("meta", "order-id")),
        ("`a.b[]`.c", ("a.b[]", "c")),
        ("`tick `` inside`", ("tick ` inside",)),
        ("``", ("",)),  # JSON allows a name without letters
        ("Straße.größe", ("Straße", "größe")),
        ("नाम.顧客", ("नाम", "顧客")),  # the first has vowel signs, which are no letters of their own
        ("@type", ("@type",)),
        ("#text", ("#text",)),
        ("soap:Body", ("soap:Body",)),
        ("First Name.x", ("First Name", "x")),  # spaces inside a name
        ("  id  ", ("id",)),  # and around the path
        ("0.1", ("0", "1")),  # names of digits
    ],
)
def test_path_has_these_steps(text, steps):
    path = compile_path(text)

    assert path.steps == steps
    assert path.text == text
    assert path.iterations == steps.count(EACH)


@pytest.mark.parametrize(
    ("text", "position", "words"),
    [
        ("", 0, "empty"),
        ("   ", 0, "empty"),
        ("a..b", 2, "a name is missing"),
        (".a", 0, "a name is missing"),
        ("a.", 2, "behind the dot"),
        ("a[", 1, r"\[\] for each item"),  # not closed
        ("a[1", 1, r"\[\] for each item"),
        ("a[-1]", 1, "counted from 0"),  # negative
        ("a[*]", 1, r"\[\] for each item"),  # JSONPath's way
        ("a['b']", 1, r"\[\] for each item"),
        ("a[1234567890]", 1, "too large"),
        ("a.[]", 2, "a name is missing"),
        ("a[]b", 3, "separated by dots"),
        ("a`b`", 1, "separated by dots"),
        ("`ab", 0, "backtick is not closed"),
        ("`a``", 0, "backtick is not closed"),
        ("a+b", 1, "between backticks"),
        ("=a", 0, "between backticks"),
        ("a . b", 1, "separated by dots"),  # the space belongs to neither name
        ("a\nb", 1, "separated by dots"),
        (".".join("a" * 65), 0, "more than 64 steps"),
    ],
)
def test_what_is_not_a_path_says_where_and_why(text, position, words):
    with pytest.raises(PathError, match=words) as caught:
        compile_path(text)

    assert caught.value.path == text
    assert caught.value.position == position
    assert caught.value.reason in str(caught.value)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("id", 7),
        ("customer.name", "Ada"),
        ("customer.none", None),  # null is a value
        ("customer.nothing", MISSING),
        ("id.name", MISSING),  # a name of what is no object
        ("customer.name.x", MISSING),
        ("customer[0]", MISSING),  # an item of what is no list
        ("customer[]", MISSING),
        ("lines[0].sku", "A"),
        ("lines[9].sku", MISSING),
        ("lines[].sku", ["A", "B"]),  # what is there
        ("lines[].taxes[].rate", [1, 2, 3]),  # flat
        ("lines[].nothing", []),
        ("nothing[].sku", MISSING),  # no list, so not an empty one
        ("grid[]", [[1, 2], [3]]),
        ("grid[][]", [1, 2, 3]),
        ("grid[][0]", [1, 3]),
        ("`odd.name`.`with ``ticks```", 5),
        ("`$`", 6),
        ("$", PAYLOAD),
    ],
)
def test_path_reads(text, expected):
    assert compile_path(text).read(PAYLOAD) == expected


def test_path_reads_from_a_payload_that_is_a_list():
    assert compile_path("[].sku").read([{"sku": 1}, {}, {"sku": 2}]) == [1, 2]
    assert compile_path("[1].sku").read([{}, {"sku": 2}]) == 2
    assert compile_path("[].sku").read({"sku": 1}) is MISSING


def test_missing_is_one_false_thing_that_survives_copies():
    copies = [copy.copy(MISSING), copy.deepcopy([MISSING])[0], pickle.loads(pickle.dumps(MISSING))]  # noqa: S301

    assert all(each is MISSING for each in copies)
    assert not MISSING
    assert repr(MISSING) == "MISSING"


names = st.text(st.characters(exclude_categories=("Cs",)), max_size=12)
steps = st.lists(st.one_of(names, st.integers(0, 999_999_999), st.just(EACH)), max_size=12)


@given(steps)
def test_any_steps_survive_being_written_and_read(steps):
    assert compile_path(join_path(steps)).steps == tuple(steps)


@given(st.text(st.sampled_from("ab.[]0`$ -=*é"), max_size=12))
def test_any_text_is_a_path_or_a_path_error(text):
    position, steps = 0, None
    try:
        steps = compile_path(text).steps
    except PathError as error:
        position = error.position

    assert 0 <= position <= len(text)
    assert steps is None or compile_path(join_path(steps)).steps == steps


@given(st.dictionaries(names, st.integers(), min_size=1))
def test_any_name_can_be_read(payload):
    found = {name: compile_path(join_path([name])).read(payload) for name in payload}

    assert found == payload
