"""What is different between two values, by path."""

import random
import time
from typing import Any

import pytest

from connectors import differences, formats
from connectors.differences import ADDED, REMOVED, SAME


def read(text: str) -> Any:
    return formats.parse(text.encode())


@pytest.mark.parametrize(
    ("old", "new", "found"),
    [
        ("1", "1", []),
        ('{"a":1,"b":2}', '{"b":2,"a":1}', []),  # the order of keys means nothing in JSON
        ('{"a":1.10}', '{"a":1.1}', [("a", "changed")]),  # digits do
        ('{"a":1}', '{"a":1.0}', [("a", "changed")]),
        ('{"a":1}', '{"a":true}', [("a", "changed")]),  # equal in Python
        ('{"a":null}', "{}", [("a", "removed")]),
        ("{}", '{"a":null}', [("a", "added")]),
        ('{"a":{"b":[1,{"c":2}]}}', '{"a":{"b":[1,{"c":3}]}}', [("a.b[1].c", "changed")]),
        ('{"a.b":{"c":1}}', '{"a.b":{"c":2}}', [("`a.b`.c", "changed")]),  # as a mapping would name it
        ('{"a":{"b":1}}', '{"a":[1]}', [("a", "changed")]),  # the outermost that says it all
        ("[1,2,3]", "[0,1,2,3]", [("[0]", "added")]),  # what comes before others does not change them
        ("[1,2,3]", "[1,3]", [("[1]", "removed")]),
        ("[1,9,2,9,3]", "[1,9,9,3,4]", [("[2]", "removed"), ("[4]", "added")]),
        ("[[1],[2]]", "[[1],[2],[3]]", [("[2]", "added")]),
        ("1", '"1"', [("", "changed")]),
    ],
)
def test_changes_are_named_by_their_place(old: str, new: str, found: list[tuple[str, str]]) -> None:
    assert [(change.path, change.kind) for change in differences.changes(read(old), read(new))] == found


def test_change_tells_what_was_and_what_is() -> None:
    (change,) = differences.changes(read('{"price":1.10}'), read('{"price":2.20}'))

    assert (str(change.old), str(change.new)) == ("1.10", "2.20")


def test_lines_of_a_text_are_named_by_their_number() -> None:
    found = differences.changed_items("a\nb\nc".splitlines(), "a\nB\nc\nd".splitlines())

    assert [(change.path, change.old or None, change.new) for change in found] == [
        ("line 2", "b", "B"),
        ("line 4", None, "d"),
    ]


def test_marked_lines_are_the_value_as_it_is_written() -> None:
    value = read('{"z":1,"a":{"ü":[1,2,{}]},"c":[]}')
    other = read('{"a":{"ü":[1,3,{}]},"z":1}')

    lines = differences.marked(value, other, REMOVED)

    assert "\n".join(text for _, text in lines) == formats.dump_pretty(value)
    assert [text.strip() for kind, text in lines if kind == REMOVED] == ["2,", '"c": []']


@pytest.mark.parametrize("seed", range(20))
def test_any_value_keeps_its_text_when_it_is_marked(seed: int) -> None:
    chance = random.Random(seed)
    old, new = _some(chance, 4), _some(chance, 4)

    for value, other in ((old, new), (new, old), (old, old)):
        lines = differences.marked(value, other, ADDED)
        assert "\n".join(text for _, text in lines) == formats.dump_pretty(value)
    assert bool(list(differences.changes(old, new))) == (
        ADDED in {kind for kind, _ in differences.marked(old, new, ADDED)}
    )


def _some(chance: random.Random, depth: int) -> Any:
    kind = chance.choice(["leaf", "list", "dict"]) if depth < 4 else "dict"
    if not depth or kind == "leaf":
        return chance.choice([1, True, None, "x", "1", 2])
    if kind == "list":
        return [_some(chance, depth - 1) for _ in range(chance.randrange(1, 5))]
    return {name: _some(chance, depth - 1) for name in chance.sample("abcdef", chance.randrange(1, 5))}


def test_merged_lines_show_what_is_near_a_difference_only() -> None:
    old, new = read('{"a":1,"b":2,"c":3,"d":4,"e":1.10}'), read('{"a":1,"b":2,"c":3,"d":4,"e":2.20}')

    assert differences.merged(old, new, around=1) == [
        (SAME, '   "d": 4,'),
        (REMOVED, '-  "e": 1.10,'),
        (ADDED, '+  "e": 2.20,'),
        (SAME, " }"),
    ]
    assert differences.merged(old, old) == []


def test_gap_stands_between_differences_that_are_far_apart() -> None:
    lines = differences.merged_lines("abcdef", "Abcdef!"[:6] + "!", around=1)

    assert [text for _, text in lines] == ["-a", "+A", " b", "  …", " f", "+!"]


@pytest.mark.parametrize("compare", [differences.merged, lambda old, new: differences.marked(old, new, REMOVED)])
def test_repetitive_json_is_compared_in_a_moment(compare: Any) -> None:
    items = [{"sku": "A-1", "quantity": 1, "price": "19.90"} for _ in range(2_500)]
    old, new = {"items": items}, {"items": [{**one, "quantity": 2} for one in items]}
    assert len(formats.dump(old)) > 90_000

    begin = time.thread_time()
    compare(old, new)

    assert time.thread_time() - begin < 2
