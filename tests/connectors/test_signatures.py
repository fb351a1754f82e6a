"""Signatures against the senders' own published examples, independent signers, and hostile bytes."""

import base64
import hashlib
import hmac
import json
from datetime import UTC, datetime
from typing import Any

import pytest
import standardwebhooks
import stripe
from hypothesis import given
from hypothesis import strategies as st

from connectors import signatures
from connectors.choices import Scheme as SchemeChoice
from connectors.keys import MAKES_SECRETS, generate_secret, hash_key, key_matches
from connectors.signatures import (
    SCHEMES,
    InvalidCredential,
    NotAuthentic,
    Request,
    Secret,
    Signed,
    challenge_of,
    check_secret,
)

NOW = 1_700_000_000.0
BODY = b'{"id":"evt_1","total":19.90}'
WHSEC = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
OTHER_WHSEC = "whsec_" + base64.b64encode(b"another secret of 32 bytes, yes!").decode()


def build(scheme: str, *secrets: str | Secret, **options: Any) -> signatures.Scheme:
    stored = [secret if isinstance(secret, Secret) else Secret(secret) for secret in secrets]
    return SCHEMES[scheme](stored, options)


def request(body: bytes = BODY, now: float = NOW, **headers: str | bytes) -> Request:
    """Header names are written with underscores."""
    named = {
        name.replace("_", "-").lower(): value.encode() if isinstance(value, str) else value
        for name, value in headers.items()
    }
    return Request(named, body, now)


def reason(scheme: signatures.Scheme, sent: Request) -> str:
    with pytest.raises(NotAuthentic) as caught:
        scheme.verify(sent)
    return str(caught.value)


def mac(key: str | bytes, content: bytes, algorithm: str = "sha256") -> bytes:
    return hmac.new(key.encode() if isinstance(key, str) else key, content, algorithm).digest()


def test_every_scheme_that_can_be_chosen_has_a_class() -> None:
    assert set(SCHEMES) == set(SchemeChoice.values)


# --- the senders' own examples ---


def test_example_of_standard_webhooks() -> None:
    sent = request(
        b'{"test": 2432232314}',
        1614265330,
        webhook_id="msg_p5jXN8AQM9LWM0D4loKWxJek",
        webhook_timestamp="1614265330",
        webhook_signature="v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
    )

    proof = build("standard_webhooks", WHSEC).verify(sent)

    assert (proof.id_name, proof.own_id) == ("webhook-id", b"msg_p5jXN8AQM9LWM0D4loKWxJek")


def test_example_of_github() -> None:
    sent = request(
        b"Hello, World!",
        x_hub_signature_256="sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17",
        x_github_delivery="72d3162e-cc78-11e3-81ab-4c9367dc0958",
    )

    assert build("github", "It's a Secret to Everybody").verify(sent).own_id == b"72d3162e-cc78-11e3-81ab-4c9367dc0958"


def test_example_of_slack() -> None:
    body = (
        b"token=xyzz0WbapA4vBCDEFasx0q6G&team_id=T1DC2JH3J&team_domain=testteamnow&channel_id=G8PSS9T3V"
        b"&channel_name=foobar&user_id=U2CERLKJA&user_name=roadrunner&command=%2Fwebhook-collect&text="
        b"&response_url=https%3A%2F%2Fhooks.slack.com%2Fcommands%2FT1DC2JH3J%2F397700885554"
        b"%2F96rGlfmibIGlgcZRskXaIFfN&trigger_id=398738663015.47445629121.803a0bc887a14d10d2c447fce8b6703c"
    )
    sent = request(
        body,
        1531420618,
        x_slack_request_timestamp="1531420618",
        x_slack_signature="v0=a2114d57b48eac39b9ad189dd8316235a7b4a8d21a10bd27519666489c69b503",
    )

    build("slack", "8f742231b10e8888abcd99yyyzzz85a5").verify(sent)


# --- independent signers ---


@given(st.text(max_size=50), st.integers(-300, 300))
def test_requests_signed_by_the_package_of_standard_webhooks_are_proven(text: str, ahead: int) -> None:
    body = json.dumps({"text": text})
    timestamp = datetime.fromtimestamp(int(NOW) + ahead, tz=UTC)
    signature = standardwebhooks.Webhook(WHSEC).sign("msg_1", timestamp, body)
    sent = request(
        body.encode(),
        webhook_id="msg_1",
        webhook_timestamp=str(int(NOW) + ahead),
        webhook_signature=signature,
    )

    assert build("standard_webhooks", WHSEC).verify(sent).own_id == b"msg_1"
    reason(build("standard_webhooks", OTHER_WHSEC), sent)


@given(st.text(max_size=50))
def test_requests_signed_by_the_package_of_stripe_are_proven(text: str) -> None:
    body = json.dumps({"id": "evt_1", "text": text})
    timestamp = int(NOW)
    signature = stripe.WebhookSignature._compute_signature(f"{timestamp}.{body}", "whsec_test_secret")
    sent = request(body.encode(), Stripe_Signature=f"t={timestamp},v1={signature},v0=ffff")

    assert build("stripe", "whsec_test_secret").verify(sent).own_id == b"evt_1"
    reason(build("stripe", "whsec_other"), sent)


# --- one request that fits for each scheme, and what breaks it ---


def stripe_header(secret: str, body: bytes = BODY, timestamp: int = int(NOW)) -> str:
    return f"t={timestamp},v1={mac(secret, b'%d.' % timestamp + body).hex()}"


def fitting(scheme: str, secret: str, body: bytes = BODY, timestamp: int = int(NOW)) -> dict[str, str]:
    """Headers that prove `body`, written with the standard library alone."""
    time = str(timestamp)
    match scheme:
        case "api_key":
            return {"X_API_Key": secret}
        case "basic":
            return {"Authorization": "Basic " + base64.b64encode(f"shop:{secret}".encode()).decode()}
        case "hmac":
            return {"X_Signature": mac(secret, body).hex()}
        case "standard_webhooks":
            key = base64.b64decode(secret.removeprefix("whsec_"))
            signature = base64.b64encode(mac(key, b"msg_1." + time.encode() + b"." + body)).decode()
            return {"webhook_id": "msg_1", "webhook_timestamp": time, "webhook_signature": f"v1,{signature}"}
        case "github":
            return {"X_Hub_Signature_256": f"sha256={mac(secret, body).hex()}", "X_GitHub_Delivery": "guid-1"}
        case "stripe":
            return {"Stripe_Signature": stripe_header(secret, body, timestamp)}
        case "shopify":
            signature = base64.b64encode(mac(secret, body)).decode()
            return {"X_Shopify_Hmac_Sha256": signature, "X_Shopify_Event_Id": "event-1"}
        case "slack":
            signature = mac(secret, b"v0:" + time.encode() + b":" + body).hex()
            return {"X_Slack_Request_Timestamp": time, "X_Slack_Signature": f"v0={signature}"}
    raise AssertionError(scheme)


def secret_of(scheme: str, number: int = 1) -> str:
    return (WHSEC, OTHER_WHSEC)[number - 1] if scheme == "standard_webhooks" else f"secret-{number}"


def stored(scheme: str, number: int = 1, until: float | None = None) -> Secret:
    plain = secret_of(scheme, number)
    return Secret(hash_key(plain) if scheme == "api_key" else plain, until)


OPTIONS: dict[str, dict[str, Any]] = {"basic": {"username": "shop"}}
SIGNING = [name for name, scheme in SCHEMES.items() if issubclass(scheme, Signed)]
TIMED = ["standard_webhooks", "stripe", "slack"]
OWN_IDS = {
    "standard_webhooks": b"msg_1", "github": b"guid-1", "stripe": b"evt_1", "shopify": b"event-1",
}  # fmt: skip


@pytest.mark.parametrize("scheme", SCHEMES)
def test_request_that_fits_is_proven_under_the_senders_own_id(scheme: str) -> None:
    sent = request(**fitting(scheme, secret_of(scheme)))
    verifier = build(scheme, stored(scheme), **OPTIONS.get(scheme, {}))

    assert verifier.verify(sent).own_id == OWN_IDS.get(scheme)


@pytest.mark.parametrize("scheme", SIGNING)
def test_signed_request_is_known_by_its_own_header(scheme: str) -> None:
    for other in SIGNING:
        verifier = build(other, stored(other))
        assert isinstance(verifier, Signed)
        assert verifier.is_presented(request(**fitting(scheme, secret_of(scheme)))) == (other == scheme)


@pytest.mark.parametrize("scheme", SCHEMES)
def test_another_secret_does_not_fit(scheme: str) -> None:
    said = reason(
        build(scheme, stored(scheme, 2), **OPTIONS.get(scheme, {})), request(**fitting(scheme, secret_of(scheme)))
    )

    assert secret_of(scheme) not in said
    assert secret_of(scheme, 2) not in said


@pytest.mark.parametrize("scheme", SIGNING)
def test_another_body_does_not_fit(scheme: str) -> None:
    headers = fitting(scheme, secret_of(scheme))

    for body in (BODY + b" ", BODY[:-1], b"", BODY.upper()):
        reason(build(scheme, stored(scheme)), request(body, **headers))


@pytest.mark.parametrize("scheme", SCHEMES)
def test_two_secrets_are_in_force_until_the_older_ends(scheme: str) -> None:
    verifier = build(scheme, stored(scheme, 2), stored(scheme, 1, until=NOW), **OPTIONS.get(scheme, {}))
    old, new = (fitting(scheme, secret_of(scheme, number)) for number in (1, 2))

    for now in (NOW - 1, NOW, NOW + 1):
        verifier.verify(request(now=now, **new))
    verifier.verify(request(now=NOW - 0.001, **old))
    reason(verifier, request(now=NOW, **old))


@pytest.mark.parametrize("scheme", TIMED)
@pytest.mark.parametrize(("ahead", "passes"), [(-301, False), (-300, True), (0, True), (300, True), (301, False)])
def test_timestamp_is_tolerated_for_five_minutes_on_both_sides(scheme: str, ahead: int, passes: bool) -> None:
    sent = request(**fitting(scheme, secret_of(scheme), timestamp=int(NOW) + ahead))
    verifier = build(scheme, stored(scheme))

    if passes:
        verifier.verify(sent)
    else:
        assert "301 s" in reason(verifier, sent)


@pytest.mark.parametrize("scheme", TIMED)
@pytest.mark.parametrize(
    "timestamp",
    ["", "soon", "1_700_000_000", "+1700000000", "1700000000.0", "1.7e9", "9" * 400, "１７００"],
)
def test_odd_timestamp_proves_nothing(scheme: str, timestamp: str) -> None:
    """Even if it is signed: what Python's `int` reads is more than what senders write."""
    secret = secret_of(scheme)
    key: Any = base64.b64decode(secret.removeprefix("whsec_")) if scheme == "standard_webhooks" else secret
    time = timestamp.encode()
    headers: dict[str, dict[str, Any]] = {
        "standard_webhooks": {
            "webhook_id": "m",
            "webhook_timestamp": time,
            "webhook_signature": b"v1," + base64.b64encode(mac(key, b"m." + time + b"." + BODY)),
        },
        "stripe": {"Stripe_Signature": b"t=" + time + b",v1=" + mac(key, time + b"." + BODY).hex().encode()},
        "slack": {
            "X_Slack_Request_Timestamp": time,
            "X_Slack_Signature": "v0=" + mac(key, b"v0:" + time + b":" + BODY).hex(),
        },
    }

    assert "whole number" in reason(build(scheme, secret), request(**headers[scheme]))


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("absent", [0, 1, 2])
def test_missing_header_proves_nothing(scheme: str, absent: int) -> None:
    headers = fitting(scheme, secret_of(scheme))
    ids = {"X_GitHub_Delivery", "X_Shopify_Event_Id"}  # not what proves
    names = [name for name in headers if name not in ids]
    headers.pop(names[absent % len(names)])

    reason(build(scheme, stored(scheme), **OPTIONS.get(scheme, {})), request(**headers))


SEVERAL = [
    # scheme, header, and a value in which the fitting signature stands among others
    ("standard_webhooks", "webhook_signature", "v1,AAAA v2,xyz {}"),
    ("standard_webhooks", "webhook_signature", "v1a,AAAA,{}"),  # two lines of the header
    ("github", "X_Hub_Signature_256", "sha256=00, {}"),
    ("stripe", "Stripe_Signature", "v1=00,{},v0=1"),
    ("shopify", "X_Shopify_Hmac_Sha256", "AAAA,{}"),
    ("slack", "X_Slack_Signature", "v0=00,{}"),
    ("hmac", "X_Signature", "00, {}"),
]


@pytest.mark.parametrize(("scheme", "header", "text"), SEVERAL)
def test_any_of_several_signatures_is_enough(scheme: str, header: str, text: str) -> None:
    headers = fitting(scheme, secret_of(scheme))
    headers[header] = text.format(headers[header])

    build(scheme, stored(scheme)).verify(request(**headers))


@pytest.mark.parametrize(
    ("scheme", "header", "text"),
    [
        ("standard_webhooks", "webhook_signature", "v2,{0[3:]}"),
        ("standard_webhooks", "webhook_signature", "g0hM9SsE"),  # no comma
        ("standard_webhooks", "webhook_signature", "v1,!!!"),
        ("standard_webhooks", "webhook_signature", ""),
        ("github", "X_Hub_Signature_256", "sha1={0}"),
        ("github", "X_Hub_Signature_256", "sha256="),
        ("stripe", "Stripe_Signature", "t=1,{0}"),  # two timestamps
        ("stripe", "Stripe_Signature", "v1=00"),
        ("stripe", "Stripe_Signature", ",,=,"),
        ("shopify", "X_Shopify_Hmac_Sha256", "\xff"),
        ("slack", "X_Slack_Signature", "v1=00"),
        ("hmac", "X_Signature", "sha256={0}"),
    ],
)
def test_signature_that_is_written_otherwise_proves_nothing(scheme: str, header: str, text: str) -> None:
    headers = fitting(scheme, secret_of(scheme))
    headers[header] = text.replace("{0[3:]}", headers[header][3:]).replace("{0}", headers[header])

    reason(build(scheme, stored(scheme)), request(**headers))


def test_only_so_many_signatures_are_looked_at() -> None:
    good = fitting("hmac", "secret-1")["X_Signature"]

    reason(build("hmac", "secret-1"), request(X_Signature="00," * 20 + good))
    build("hmac", "secret-1").verify(request(X_Signature="00," * 19 + good))


@pytest.mark.parametrize("name", ["webhook", "svix"])
def test_names_of_standard_webhooks_and_of_svix(name: str) -> None:
    headers = {key.replace("webhook", name): value for key, value in fitting("standard_webhooks", WHSEC).items()}

    assert build("standard_webhooks", WHSEC).verify(request(**headers)).id_name == f"{name}-id"


# --- generic HMAC ---

TIME = str(int(NOW)).encode()
GENERIC = [
    # options, and the headers of a sender who follows them
    ({}, {"X_Signature": mac("k", BODY).hex()}),
    ({}, {"X_Signature": mac("k", BODY).hex().upper()}),
    ({"header": "X-Acme-Sign", "prefix": "sha256="}, {"X_Acme_Sign": "sha256=" + mac("k", BODY).hex()}),
    ({"prefix": "HMAC-SHA256"}, {"X_Signature": "HMAC-SHA256 " + mac("k", BODY).hex()}),
    ({"algorithm": "sha512"}, {"X_Signature": mac("k", BODY, "sha512").hex()}),
    ({"encoding": "base64"}, {"X_Signature": base64.b64encode(mac("k", BODY)).decode()}),
    ({"encoding": "base64"}, {"X_Signature": base64.urlsafe_b64encode(mac("k", BODY)).decode().rstrip("=")}),
    ({"timestamp_header": "X-Time"}, {"X_Time": TIME, "X_Signature": mac("k", TIME + b"." + BODY).hex()}),
    (
        {"timestamp_header": "X-Time", "template": "v0:{timestamp}:{body}:{timestamp}"},
        {"X_Time": TIME, "X_Signature": mac("k", b"v0:" + TIME + b":" + BODY + b":" + TIME).hex()},
    ),
    (
        {"timestamp_header": "X-Time"},  # milliseconds
        {"X_Time": TIME + b"250", "X_Signature": mac("k", TIME + b"250." + BODY).hex()},
    ),
    ({"template": "{body}é"}, {"X_Signature": mac("k", BODY + "é".encode()).hex()}),
]


@pytest.mark.parametrize(("options", "headers"), GENERIC)
def test_generic_signature(options: dict[str, Any], headers: dict[str, Any]) -> None:
    verifier = build("hmac", "k", **options)

    verifier.verify(request(**headers))
    reason(verifier, request(BODY + b" ", **headers))


@pytest.mark.parametrize(("apart", "passes"), [(-11, False), (-10, True), (10, True), (11, False)])
@pytest.mark.parametrize("unit", [1, 1000])
def test_generic_timestamp_has_a_tolerance_of_its_own(apart: int, passes: bool, unit: int) -> None:
    time = str((int(NOW) + apart) * unit).encode()
    sent = request(X_Time=time, X_Signature=mac("k", time + b"." + BODY).hex())
    verifier = build("hmac", "k", timestamp_header="X-Time", tolerance_seconds=10)

    if passes:
        verifier.verify(sent)
    else:
        assert "11 s" in reason(verifier, sent)


@pytest.mark.parametrize(
    ("options", "field"),
    [
        ({"header": "no header"}, "header"),
        ({"timestamp_header": "é"}, "timestamp_header"),
        ({"prefix": "a,"}, "prefix"),
        ({"algorithm": "md5"}, "algorithm"),
        ({"encoding": "rot13"}, "encoding"),
        ({"template": "fixed"}, "template"),  # whoever saw one signature could send anything
        ({"template": "{body}{body}"}, "template"),
        ({"template": "{timestamp}.{body}"}, "template"),
        ({"timestamp_header": "X-Time", "template": "{body}"}, "template"),  # a time that is not signed protects nobody
    ],
)
def test_generic_signature_that_cannot_work_or_protect_is_refused(options: dict[str, Any], field: str) -> None:
    with pytest.raises(InvalidCredential) as caught:
        build("hmac", "k", **options)

    assert caught.value.field == field


# --- keys and passwords ---


@pytest.mark.parametrize("sent", ["ключ-é", "ключ-é".encode()])
def test_api_key_beyond_ascii_fits_as_utf8(sent: str | bytes) -> None:
    build("api_key", hash_key("ключ-é")).verify(request(X_API_Key=sent))


def test_api_key_and_password_fit_in_latin1_too() -> None:
    """What common HTTP clients make of letters beyond ASCII."""
    authorization = b"Basic " + base64.b64encode("shöp:pässword".encode("latin-1"))

    build("api_key", hash_key("schlüssel")).verify(request(Authorization="Bearer schlüssel".encode("latin-1")))
    build("basic", "pässword", username="shöp").verify(request(Authorization=authorization))


def test_user_names_without_one_that_was_set() -> None:
    usual = {"names": ("application", "credential")}

    for secret, sent in [("u:p", "u:p"), ("p", "application:p"), ("p", "credential:p"), ("a:b:c", "a:b:c")]:
        token = base64.b64encode(sent.encode()).decode()
        build("basic", secret, **usual).verify(request(Authorization=f"Basic {token}"))
        reason(build("basic", "other", **usual), request(Authorization=f"Basic {token}"))


@pytest.mark.parametrize(
    ("scheme", "plain", "sound"),
    [
        ("api_key", "demo-shop-key", True),
        ("api_key", " key", False),  # no header carries it
        ("api_key", "key\n", False),
        ("basic", " pass word ", True),
        ("basic", "pass\tword", False),
        ("stripe", "whsec_x", True),
        ("stripe", "whsec_x ", False),
        ("standard_webhooks", WHSEC, True),
        ("standard_webhooks", WHSEC.removeprefix("whsec_"), True),
        ("standard_webhooks", "whsec_" + base64.b64encode(b"x" * 23).decode(), False),
        ("standard_webhooks", "whsec_" + base64.b64encode(b"x" * 64).decode(), True),
        ("standard_webhooks", "whsec_" + base64.b64encode(b"x" * 65).decode(), False),
        ("standard_webhooks", "whsec_é", False),
        ("standard_webhooks", "canary", False),
    ],
)
def test_secret_is_judged_before_it_is_stored(scheme: str, plain: str, sound: bool) -> None:
    if sound:
        check_secret(scheme, plain)
    else:
        with pytest.raises(InvalidCredential) as caught:
            check_secret(scheme, plain)
        assert caught.value.field == "secret"
        assert plain not in str(caught.value)


@pytest.mark.parametrize("scheme", sorted(MAKES_SECRETS))
def test_made_secrets_are_sound_and_different(scheme: str) -> None:
    made = {generate_secret(scheme) for _ in range(20)}

    assert len(made) == 20
    for secret in made:
        assert len(secret) >= 32
        check_secret(scheme, secret)


def test_equal_keys_are_stored_differently() -> None:
    assert hash_key("k") != hash_key("k")
    assert key_matches("k", hash_key("k"))
    assert not key_matches("k", "")
    assert not key_matches("\ud800", hash_key("k"))


def test_secrets_are_not_in_any_repr() -> None:
    assert "canary" not in repr([Secret("canary"), build("github", "canary"), build("hmac", "canary")])


# --- Slack's question ---


@pytest.mark.parametrize(
    ("body", "challenge"),
    [
        (b'{"type":"url_verification","challenge":"3eZbrw1a","token":"t"}', "3eZbrw1a"),
        (b'{"type":"event_callback","challenge":"x"}', None),
        (b'{"type":"url_verification"}', None),
        (b'{"type":"url_verification","challenge":7}', None),
        (b'{"type":["url_verification"]}', None),
        (b"[]", None),
        (b"", None),
        (b"\xff", None),
        (b"[" * 100_000, None),
    ],
)
def test_challenge_is_read(body: bytes, challenge: str | None) -> None:
    assert challenge_of(body) == challenge


# --- hostile bytes ---

NAMES = (
    "authorization", "x-api-key", "x-signature", "x-time", "webhook-id", "webhook-timestamp", "webhook-signature",
    "svix-signature", "x-hub-signature-256", "x-github-delivery", "stripe-signature", "x-shopify-hmac-sha256",
    "x-shopify-event-id", "x-slack-signature", "x-slack-request-timestamp",
)  # fmt: skip
PIECES = (
    b"v1,",
    b"v1=",
    b"v0=",
    b"sha256=",
    b"t=",
    b"1700000000",
    b"Basic ",
    b"Bearer ",
    b"=",
    b",",
    b" ",
    b"00",
    b"\xff",
)
values = st.one_of(st.binary(max_size=80), st.lists(st.sampled_from(PIECES), max_size=8).map(b"".join))


@given(st.dictionaries(st.sampled_from(NAMES), values), st.one_of(st.none(), st.binary(max_size=60)))
def test_whatever_is_sent_raises_only_what_is_declared(headers: dict[str, bytes], body: bytes | None) -> None:
    sent = Request(headers, body, NOW)
    for name in SCHEMES:
        options = {"timestamp_header": "X-Time"} if name == "hmac" else OPTIONS.get(name, {})
        verifier = build(name, stored(name), **options)
        with pytest.raises(NotAuthentic):
            verifier.verify(sent)


def test_digest_is_that_of_hashlib() -> None:
    salt, _, digest = hash_key("k").partition("$")

    assert digest == hashlib.sha256(f"{salt}k".encode()).hexdigest()
