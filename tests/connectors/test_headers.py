"""Headers: what an administrator may type, and what may be stored."""

import pytest

from connectors.headers import REDACTED, check_header, redacted


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("X-Tenant", "main"),
        ("x-empty", ""),  # an empty value is a value
        ("!#$%&'*+-.^_`|~09", "every sign that a token may hold"),
        ("X-Tab", "a\tb"),  # the one control character that RFC 9110 lets through
        ("X-Latin", "Zürich"),  # obs-text
        ("Authorization", "Bearer abc"),  # its secrecy is the business of `redacted`
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


@pytest.mark.parametrize(
    "name",
    [
        "Authorization",
        "proxy-authorization",
        "Cookie",
        "Set-Cookie",
        "X-API-Key",
        "apikey",
        "api_key",
        "X-Goog-Api-Key",
        "X-Access-Key",
        "Ocp-Apim-Subscription-Key",
        "X-Functions-Key",
        "X-Auth",
        "X-Auth-Token",
        "X-Amz-Security-Token",
        "PRIVATE-TOKEN",
        "X-Client-Secret",
        "X-Password",
        "X-Session-Id",
        "webhook-signature",
        "X-Hub-Signature-256",
        "Stripe-Signature",
        "X-Shopify-Hmac-Sha256",
    ],
)
def test_secret_is_masked_by_the_name_of_its_header(name):
    assert redacted([(name, "s3cr3t")]) == [[name, REDACTED]]


@pytest.mark.parametrize(
    "name",
    [
        "Idempotency-Key",  # support staff look for it
        "X-Correlation-ID",
        "Content-Type",
        "Author",
        "X-Authority",
        "Retry-After",
        "WWW-Authenticate",  # a challenge: what an integrator needs to see behind a 401
        "traceparent",
    ],
)
def test_what_support_staff_need_stays_readable(name):
    assert redacted([(name, "value")]) == [[name, "value"]]


def test_redacted_keeps_order_and_repeats():
    headers = [("Via", "a"), ("Set-Cookie", "s=1"), ("via", "b"), ("set-cookie", "s=2")]

    stored = redacted(headers)

    assert stored == [["Via", "a"], ["Set-Cookie", REDACTED], ["via", "b"], ["set-cookie", REDACTED]]


def test_header_of_the_auth_in_use_is_masked_whatever_its_name():
    headers = [("X-Door", "s3cr3t"), ("X-Other", "plain")]

    stored = redacted(headers, also={"x-door"})

    assert stored == [["X-Door", REDACTED], ["X-Other", "plain"]]
