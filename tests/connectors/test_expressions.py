"""Expressions: what they give, and that none of them escapes its limits."""

import resource
import threading
import time
from decimal import Decimal

import pytest

from connectors.expressions import (
    MAX_TEXT,
    Expression,
    ExpressionFailed,
    InvalidExpression,
    compile_expression,
    evaluate_all,
)
from connectors.paths import MISSING

ORDER = {
    "id": 9007199254740993,
    "none": None,
    "lines": [{"sku": "A", "price": Decimal("19.90"), "quantity": 2}, {"sku": "B", "price": 5, "quantity": 1}],
}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("lines.sku", ["A", "B"]),
        ("lines[sku='B'].price", 5),  # JSONata gives a single value for a sequence of one
        ("$sum(lines.(price * quantity))", 44.8),
        ("{'first': lines[0].sku}", {"first": "A"}),
        ("nothing", MISSING),
        ("none", None),
        ("[nothing]", []),
        ("$exists(nothing)", False),
        ("0.1 + 0.2", 0.30000000000000004),  # doubles
        ("id", 9007199254740992),  # beyond 2**53: the last digit is lost, which is why rows exist
        ("6 / 2", 3),
        ("1e21", 10**21),
        ("$string(lines[0].price)", "19.9"),
        ("'ä😀' & '\\u0000'", "ä😀\0"),
        ("'null'", "null"),
    ],
)
def test_expression_gives(text, expected):
    result = compile_expression(text).evaluate(ORDER)

    assert result == expected
    assert type(result) is type(expected)


@pytest.mark.parametrize("text", ["1/0", "-1/0", "0/0", "[1, {'a': [1/0]}]", "$sum([1e308, 1e308])", "1e308 * 10"])
def test_result_that_is_not_finite_is_a_failure_and_never_null(text):
    with pytest.raises(ExpressionFailed, match="not finite"):
        compile_expression(text).evaluate({})


def test_number_that_no_double_holds_stops_only_the_expressions_that_give_it():
    payload = {"huge": 10**400, "small": -(10**400), "id": 7, "none": None, "price": Decimal("19.90")}
    texts = ("id", "price * 2", "huge > id", "small > id", "none", "nothing", "$sum", "huge", "[small]")

    outcomes = evaluate_all([compile_expression(text) for text in texts], payload)

    assert outcomes[:6] == [7, 39.8, True, False, None, MISSING]
    assert "function" in str(outcomes[6])
    assert ["not finite" in str(outcome) for outcome in outcomes[7:]] == [True, True]


def test_text_that_looks_like_a_number_that_is_not_finite_is_a_text():
    suspicious = "null \u7ff0 \x7f\x00"

    assert compile_expression("{'a': t, 'b': null}").evaluate({"t": suspicious}) == {"a": suspicious, "b": None}


def test_function_is_not_a_result():
    with pytest.raises(ExpressionFailed, match="function"):
        compile_expression("$sum").evaluate({})


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "empty"),
        ("  ", "empty"),
        ("1 +", "S0207"),
        ("a[0", "S0203"),
        ("'open", "S0101"),
        ("a\0b", "NUL"),
        ("'\ud800'", "surrogate"),
        ("1" * (MAX_TEXT + 1), "longer than"),
        ("(" * 5000 + "1" + ")" * 5000, "nesting depth"),
        ("[" * 20000, "nesting depth"),
        ("-" * 20000 + "1", "nesting depth"),
    ],
)
def test_text_that_is_no_expression_is_refused(text, words):
    with pytest.raises(InvalidExpression, match=words) as caught:
        compile_expression(text)

    assert caught.value.reason


def test_position_is_given_where_it_is_known():
    with pytest.raises(InvalidExpression) as caught:
        compile_expression("ab\0")

    assert caught.value.position == 2


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("$number('abc')", "D3030"),
        ("$error('Order is closed')", "Order is closed"),  # an administrator's own failure keeps its words
        ("$assert(false, 'No lines')", "No lines"),
        ("$nofunction(1)", "T1006"),
        ("'a' + 1", "T2001"),
    ],
)
def test_failure_on_a_payload_says_why(text, words):
    with pytest.raises(ExpressionFailed, match=words):
        compile_expression(text).evaluate(ORDER)


def test_messages_are_short_however_long_the_payload_is():
    with pytest.raises(ExpressionFailed) as caught:
        compile_expression("$number(long)").evaluate({"long": "9" * 100_000})

    assert len(str(caught.value)) <= 300


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("($f := function(){$f()}; $f())", "processor time"),  # endless, without growing
        ("($f := function($n){$f($n+1)+1}; $f(0))", "D1011"),  # endless, growing the stack
        ("[1..10000000]", "D2015"),
        ("$count([1..100000].[1..100000])", "D2015|memory|processor time"),
        ("($f := function($a,$n){$n=0 ? $a : $f($append($a,$a),$n-1)}; $f([1,2,3],30))", "D2015"),
        # a string that doubles asks for more memory at once than there is; within one process that aborts the process
        ("($f := function($x,$n){$n=0 ? $x : $f($x & $x,$n-1)}; $length($f('abcdefgh',40)))", "memory|processor time"),
        # a structure that shares its parts is small until it is written out
        ("($f := function($x,$n){$n=0 ? $x : $f([$x,$x],$n-1)}; $f([1],40))", "memory|processor time"),
        ("($f := function($x,$n){$n=0 ? $x : $f({'a':$x,'b':$x},$n-1)}; $string($f(1,40)))", "memory|processor time"),
        ("($f := function($x,$n){$n=0 ? $x : $f([[$x]],$n-1)}; $f([1],100000))", "recursion|nested"),  # a deep result
        ("(" * 900 + "1" + ")" * 900, "D1011"),  # a deep expression that just compiles
        ("$pad('', 1000000000)", "memory|processor time"),
        ("$pad('', -1000000000, 'xy')", "memory|processor time"),
        ("$replace($pad('',100000,'a'), 'a', $pad('',100000,'b'))", "memory|processor time"),
        ("$formatNumber(1, $pad('',10000000,'0'))", "memory|processor time"),
        ("$match('x', /(a{1000}){1000}/)", "size limit"),  # a regular expression that explodes when it is compiled
        ("$join([1..200000].('aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa'))", "larger than 8 MiB"),
        ("$eval('($f := function(){$f()}; $f())')", "processor time"),  # no way around the limits
    ],
)
def test_hostile_expression_ends_soon_and_harms_nobody(text, words):
    expression = compile_expression(text)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    started = time.monotonic()

    with pytest.raises(ExpressionFailed, match=words):
        expression.evaluate({})

    assert time.monotonic() - started < 8  # 1 s of processor time, on a machine that may be busy
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 64 * 1024  # KiB, of this process
    assert compile_expression("1 + 1").evaluate({}) == 2  # and the next one finds everything as it was


@pytest.mark.parametrize(
    "text",
    ["$match(s, /^(a+)+$/)", "$replace(s, /^(a|aa)+$/, 'x')", "$split(s, /(a*)*b/)", "$contains(s, /(a|a)*b/)"],
)
def test_regular_expressions_do_not_explode(text):
    started = time.monotonic()

    compile_expression(text).evaluate({"s": "a" * 50_000 + "!"})

    assert time.monotonic() - started < 5


def test_several_expressions_share_a_request_and_keep_their_own_outcomes():
    expressions = [compile_expression(text) for text in ("id", "nothing", "$error('no')", "lines.sku")]

    number, missing, failure, skus = evaluate_all(expressions, {"id": 1, "lines": [{"sku": "A"}, {"sku": "B"}]})

    assert (number, missing, skus) == (1, MISSING, ["A", "B"])
    assert isinstance(failure, ExpressionFailed)


def test_expression_that_breaks_a_limit_does_not_take_others_along():
    expressions = [compile_expression(text) for text in ("id", "$pad('', 1000000000)", "id + 1")]

    first, hostile, last = evaluate_all(expressions, {"id": 1})

    assert (first, last) == (1, 2)
    assert isinstance(hostile, ExpressionFailed)


def test_payload_that_json_cannot_say_is_a_failure():
    with pytest.raises(ExpressionFailed, match="payload"):
        compile_expression("1").evaluate({"a": object()})
    with pytest.raises(ExpressionFailed, match="payload"):
        compile_expression("1").evaluate({"a": "\ud800"})


def test_large_payload_passes():
    payload = {"texts": ["x" * 1000] * 2000}

    assert compile_expression("$count(texts)").evaluate(payload) == 2000
    assert compile_expression("$").evaluate(payload) == payload


def test_one_expression_serves_many_threads():
    expression = compile_expression("n * 2")
    results: dict[int, list[int]] = {}

    def work(number: int) -> None:
        results[number] = [expression.evaluate({"n": number * 1000 + turn}) for turn in range(50)]

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert results == {number: [2 * (number * 1000 + turn) for turn in range(50)] for number in range(8)}


def test_compiling_gives_a_value_object():
    assert compile_expression("a.b") == Expression("a.b")


def test_many_endless_expressions_do_not_add_up() -> None:
    endless = compile_expression("($f := function($x){ $f($x + 1) }; $f(1))")
    begun = resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime

    outcomes = evaluate_all([endless] * 10, {})

    assert all(isinstance(outcome, ExpressionFailed) for outcome in outcomes)
    assert 0 < resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime - begun < 8
