"""Templates: values of the payload land where they are wanted, and nowhere else."""

from decimal import Decimal
from typing import Any
from urllib.parse import unquote, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.mapping import MappingFailed
from connectors.templates import InvalidTemplate, RequestTemplate

PAYLOAD = {"id": 4711, "order": {"no": "A/7"}, "price": Decimal("19.90"), "items": [{"sku": "tea"}], "ok": True}


def url_of(url: str, payload: Any = PAYLOAD, query: dict[str, str] | None = None) -> str:
    return RequestTemplate(url, query or {}, {}).fill(payload)[0]


def failures(template: RequestTemplate, payload: Any) -> list[tuple[str, str]]:
    with pytest.raises(MappingFailed) as caught:
        template.fill(payload)
    return [(error.target, error.source) for error in caught.value.errors]


@pytest.mark.parametrize(
    ("template", "filled"),
    [
        ("https://erp.test/orders", "https://erp.test/orders"),
        ("https://erp.test", "https://erp.test"),
        ("https://erp.test/?a=%20&b", "https://erp.test/?a=%20&b"),
        ("https://erp.test/orders/{id}", "https://erp.test/orders/4711"),
        ("https://erp.test/orders/{order.no}/lines", "https://erp.test/orders/A%2F7/lines"),
        ("https://erp.test/{items[0].sku}.json", "https://erp.test/tea.json"),
        ("https://erp.test/{id}-{price}?ok={ok}&x=1", "https://erp.test/4711-19.90?ok=true&x=1"),
        ("https://erp.test/{{id}}", "https://erp.test/{id}"),
        ("https://erp.test/{`id`}", "https://erp.test/4711"),
    ],
)
def test_placeholder_is_replaced_by_the_value(template: str, filled: str) -> None:
    assert url_of(template) == filled


def test_query_parameters_are_added() -> None:
    query = {"ref no": "{order.no}&", "company": "7 & 8"}

    url = url_of("https://erp.test/orders?a=1", query=query)

    assert url == "https://erp.test/orders?a=1&ref%20no=A%2F7%26&company=7%20%26%208"


@given(st.text(min_size=1))
def test_no_value_changes_host_or_depth(value: str) -> None:
    template = RequestTemplate("https://erp.test/orders/{id}/lines?q={id}", {"p": "{id}"}, {})
    try:
        url, _ = template.fill({"id": value})
    except MappingFailed:  # a step in the path, or half a letter
        assert value in (".", "..") or any("\ud800" <= char <= "\udfff" for char in value)
        return

    parts = urlsplit(url)
    segments = parts.path.split("/")
    assert (parts.scheme, parts.netloc, parts.fragment) == ("https", "erp.test", "")
    assert (segments[1], unquote(segments[2]), segments[3], len(segments)) == ("orders", value, "lines", 4)
    assert parts.query.count("&") == 1


@pytest.mark.parametrize("value", ["", ".", "..", None, [], {}, [1], {"a": 1}])
def test_value_that_cannot_be_a_segment_is_named(value: Any) -> None:
    assert failures(RequestTemplate("https://erp.test/{id}", {}, {}), {"id": value}) == [("url", "id")]


def test_two_values_together_make_no_step_up() -> None:
    template = RequestTemplate("https://erp.test/orders/{a}{b}", {}, {})

    assert failures(template, {"a": ".", "b": "."}) == [("url", "a")]


def test_every_missing_value_is_named() -> None:
    template = RequestTemplate("https://erp.test/{a.b}?c={c}", {"d": "{d}"}, {"X-E": "{e}"})

    named = failures(template, {"a": 1})

    assert named == [("url", "a.b"), ("url", "c"), ("query.d", "d"), ("headers.X-E", "e")]


def test_headers_take_values_too() -> None:
    _, headers = RequestTemplate("https://erp.test/", {}, {"X-Order": "no {order.no}", "X-A": "{{}}"}).fill(PAYLOAD)

    assert headers == (("X-Order", "no A/7"), ("X-A", "{}"))


@pytest.mark.parametrize("value", ["a\r\nX-Evil: 1", "a\nb", "a\0", "€"])
def test_value_that_no_header_can_carry_is_named_and_not_repeated(value: str) -> None:
    template = RequestTemplate("https://erp.test/", {}, {"X-Order": "{id}"})

    with pytest.raises(MappingFailed) as caught:
        template.fill({"id": value})

    assert [(error.target, error.source) for error in caught.value.errors] == [("headers.X-Order", "id")]
    assert value not in str(caught.value)


@pytest.mark.parametrize(
    "url",
    [
        "https://{host}/",
        "{scheme}://erp.test/",
        "https://erp.test:{port}/",
        "https://{user}@erp.test/",
        "https://erp.test{host}/",
        "https://erp.test/{",
        "https://erp.test/}",
        "https://erp.test/{}",
        "https://erp.test/{a..b}",
        "https://erp.test/{items[].sku}",
        "https://erp.test/\ue000",
    ],
)
def test_what_is_no_template_is_refused(url: str) -> None:
    with pytest.raises(InvalidTemplate):
        RequestTemplate(url, {}, {})


@pytest.mark.parametrize(
    ("url", "constant"), [("https://x/", True), ("https://x/{{}}", True), ("https://x/{a}", False)]
)
def test_constant_is_known_as_such(url: str, constant: bool) -> None:
    assert RequestTemplate(url, {"a": "1"}, {}).is_constant == constant
