"""Masking: what is kept and shown of names and values that are secret."""

import pytest

from connectors.masking import REDACTED, hide, masked_url, redacted, secret_parameters, without


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


@pytest.mark.parametrize(
    ("url", "masked"),
    [
        ("https://erp/orders", "https://erp/orders"),
        ("https://erp/orders?company=7&page=2", "https://erp/orders?company=7&page=2"),
        ("https://erp/?apikey=s3cr3t&a=1", "https://erp/?apikey=[redacted]&a=1"),
        ("https://erp/?a=1&access%5Ftoken=s3cr3t", "https://erp/?a=1&access%5Ftoken=[redacted]"),
        ("https://erp/?sig=s3cr3t&key=s3cr3t", "https://erp/?sig=[redacted]&key=[redacted]"),
        ("https://erp/?idempotency-key=7&monkey=1", "https://erp/?idempotency-key=7&monkey=1"),
        ("https://erp/?token=", "https://erp/?token="),
        ("https://erp/?token={order.token}", "https://erp/?token={order.token}"),  # the message's own
        ("https://erp/?token={{s3cr3t}}", "https://erp/?token=[redacted]"),  # braces that are braces
    ],
)
def test_address_keeps_no_secret(url, masked):
    assert masked_url(url) == masked
    assert bool(secret_parameters(url)) == (url != masked)


def test_values_that_are_secret_by_their_names_are_kept_apart():
    given = {"X-Tenant": "main", "X-Token": "new", "X-Api-Key": REDACTED, "X-Auth": REDACTED}

    shown, hidden = hide(given, {"X-Api-Key": "old", "X-Gone": "old"})

    assert shown == {"X-Tenant": "main", "X-Token": REDACTED, "X-Api-Key": REDACTED, "X-Auth": REDACTED}
    assert hidden == {"X-Token": "new", "X-Api-Key": "old"}  # of X-Auth nothing is known


@pytest.mark.parametrize(
    ("body", "kept"),
    [
        (b'{"auth": "Bearer s3/cr3t+\xc3\xa4"}', b'{"auth": "Bearer [redacted]"}'),
        (b"code=s3%2Fcr3t%2B%C3%A4&a=1", b"code=[redacted]&a=1"),
        (rb'{"a": "s3\/cr3t+\u00e4"}', b'{"a": "[redacted]"}'),  # JSON as PHP writes it
        (b"s3/cr3t", b"s3/cr3t"),
    ],
)
def test_body_without_a_secret_however_it_is_written(body, kept):
    assert without(body, ["s3/cr3t+\u00e4"]) == kept


def test_short_secret_is_left_alone_where_it_may_stand_by_chance():
    assert without(b"4711 and 12345678", ["4711", "12345678"]) == b"4711 and [redacted]"
