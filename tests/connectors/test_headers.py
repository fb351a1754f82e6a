"""Headers: what an administrator may type."""

import pytest

from connectors.headers import check_header


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("X-Tenant", "main"),
        ("x-empty", ""),  # an empty value is a value
        ("!#$%&'*+-.^_`|~09", "every sign that a token may hold"),
        ("X-Tab", "a\tb"),  # the one control character that RFC 9110 lets through
        ("X-Latin", "Zürich"),  # obs-text
        ("Authorization", "Bearer abc"),  # its secrecy is the business of `masking`
        ("Connection-Id", "7"),  # only begins like a reserved name
    ],
)
def test_header_that_may_be_sent_is_accepted(name, value):
    assert check_header(name, value) is None


@pytest.mark.parametrize(
    ("name", "word"),
    [
        ("", "name"),
        ("X Tenant", "name"),
        ("X-Tenant:", "name"),
        ("X-Tenant\n", "name"),  # `$` would let it pass
        ("X-Tenant\r\nHost", "name"),
        ("X-Ümlaut", "name"),
        (":authority", "name"),  # HTTP/2's own
        ("Host", "platform"),
        ("HOST", "platform"),
        ("Content-Length", "platform"),
        ("transfer-encoding", "platform"),  # with Content-Length it would smuggle a second request
        ("Connection", "platform"),
        ("Keep-Alive", "platform"),
        ("TE", "platform"),
        ("Trailer", "platform"),
        ("Upgrade", "platform"),
        ("Expect", "platform"),
        ("Proxy-Authorization", "platform"),
        ("Proxy-Connection", "platform"),
    ],
)
def test_name_that_may_not_be_set_is_refused(name, word):
    problem = check_header(name, "value")

    assert problem is not None
    assert word in problem


@pytest.mark.parametrize(
    ("value", "word"),
    [
        ("a\r\nX-Evil: 1", "control"),  # header injection
        ("a\nb", "control"),
        ("a\rb", "control"),
        ("a\n", "control"),
        ("a\x00b", "control"),
        ("a\x1fb", "control"),
        ("a\x7fb", "control"),
        ("10 €", "Latin-1"),
        ("\ud800", "Latin-1"),  # a lone surrogate
    ],
)
def test_value_that_cannot_be_sent_is_refused_without_repeating_it(value, word):
    problem = check_header("X-Tenant", value)

    assert problem is not None
    assert word in problem
    assert value not in problem
