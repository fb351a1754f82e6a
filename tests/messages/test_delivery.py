import dataclasses
import ssl
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from connectors import transport
from connectors.catalogue import RoutePlan, catalogue
from connectors.models import Route
from connectors.retries import compile_statuses
from messages import delivery
from messages.choices import OutcomeKind
from messages.claims import Work
from messages.outcomes import Outcome
from tests.connectors.test_transport_tls import Authority
from tests.destination import Answer, Destination
from tests.factories import EndpointFactory, MappingVersionFactory, RouteFactory

pytestmark = pytest.mark.django_db
ID = UUID("0198f2c0-0000-7000-8000-000000000001")
JSON = {"Content-Type": "application/json"}
XML_ORDER = b"""<?xml version="1.0" encoding="UTF-8"?>
<Order no="7"><Line><Price>19.90</Price></Line><Line><Price>0.10</Price></Line></Order>"""


def work(body: bytes = b'{"id":4711}', **details: Any) -> Work:
    given = {"content_type": "application/json", "idempotency_key": None, "pattern": "async", **details}
    return Work(message_id=1, correlation_id=ID, lane_id=1, position=1, retryable=True, attempts=0, body=body, **given)


def plan(url: str, *, definition: Any = None, reply_definition: Any = None, **endpoint: Any) -> RoutePlan:
    """A route to `url`, with these mappings and settings of its endpoint."""
    versions = [
        None if one is None else MappingVersionFactory(definition=one) for one in (definition, reply_definition)
    ]
    mapping, reply_mapping = (version and version.mapping for version in versions)
    route = RouteFactory(endpoint=EndpointFactory(url=url, **endpoint), mapping=mapping, reply_mapping=reply_mapping)
    found = catalogue.by_slug(route.slug)
    assert found is not None
    return found


def fields(*rows: dict[str, Any]) -> dict[str, Any]:
    return {"fields": list(rows)}


def sent_headers(outcome: Outcome) -> dict[str, str]:
    assert outcome.sent is not None
    return dict(outcome.sent.headers)


def test_body_without_a_mapping_goes_on_byte_for_byte(destination: Destination) -> None:
    body = b'{ "b":1.10,\n"a":"\\u00e9\xc3\xa9", "big":12345678901234567890123 }'

    outcome = delivery.attempt(work(body, content_type="application/vnd.shop+json"), plan(destination.url("/orders")))

    (request,) = destination.requests
    assert (outcome.kind, request.method, request.body) == (OutcomeKind.SUCCEEDED, "POST", body)
    assert request.header("Content-Type") == "application/vnd.shop+json"
    assert outcome.sent is not None
    assert outcome.sent.body is None  # it is the message's own, which is kept already


def test_mapped_message_keeps_its_digits_and_names_its_version(destination: Destination) -> None:
    row = {"target": "lines[].price", "source": "items[].price", "type": "decimal"}
    route = plan(destination.url("/orders"), definition=fields(row))

    outcome = delivery.attempt(work(b'{"items":[{"price":19.90},{"price":"0.10"}]}'), route)

    expected = b'{"lines":[{"price":19.90},{"price":0.10}]}'
    assert destination.requests[0].body == expected
    assert outcome.sent is not None
    assert outcome.sent.body == expected
    assert route.mapping is not None
    assert outcome.mapping_version_id == route.mapping.version_id


@pytest.mark.parametrize(
    ("name", "content_type", "body"),
    [
        ("json", "application/json", b'{"Order":{"@no":"7","Line":[{"Price":19.90},{"Price":0.10}]}}'),
        (
            "xml",
            "application/xml; charset=utf-8",
            XML_ORDER,
        ),
    ],
)
def test_xml_is_mapped_and_sent_as_the_endpoint_says(
    destination: Destination, name: str, content_type: str, body: bytes
) -> None:
    rows = (
        {"target": "Order.@no", "source": "order.@id"},
        {"target": "Order.Line[].Price", "source": "order.line[].price", "type": "decimal"},
    )
    route = plan(destination.url("/orders"), definition=fields(*rows), format=name)
    document = b"<order id='7'><line><price>19.90</price></line><line><price> 0.10\n</price></line></order>"

    outcome = delivery.attempt(work(document, content_type="text/xml"), route)

    assert outcome.kind == OutcomeKind.SUCCEEDED
    assert (destination.requests[0].header("Content-Type"), destination.requests[0].body) == (content_type, body)


def test_form_is_mapped_and_sent_as_a_form(destination: Destination) -> None:
    rows = ({"target": "no", "source": "id", "type": "integer"}, {"target": "tags", "source": "tag"})
    route = plan(destination.url("/orders"), definition=fields(*rows), format="form")

    delivery.attempt(work(b"id=+7+&tag=a%26&tag=b", content_type="application/x-www-form-urlencoded"), route)

    assert destination.requests[0].header("Content-Type") == "application/x-www-form-urlencoded"
    assert destination.requests[0].body == b"no=7&tags=a%26&tags=b"


def test_csv_without_a_mapping_goes_on_as_it_came(destination: Destination) -> None:
    body = b"a;b\r\n1;\xe9\r\n"
    kind = "text/csv; charset=iso-8859-1"

    delivery.attempt(work(body, content_type=kind), plan(destination.url("/orders"), format="xml"))

    assert (destination.requests[0].header("Content-Type"), destination.requests[0].body) == (kind, body)


@pytest.mark.parametrize(
    ("name", "target"), [("xml", "two words"), ("xml", "soap:Body"), ("form", "a.b")], ids=["name", "prefix", "nested"]
)
def test_what_the_format_cannot_say_is_a_mapping_failure(destination: Destination, name: str, target: str) -> None:
    route = plan(destination.url("/"), definition=fields({"target": target, "source": "id"}), format=name)

    outcome = delivery.attempt(work(), route)

    assert (outcome.kind, destination.requests) == (OutcomeKind.MAPPING_FAILED, [])


def test_message_that_cannot_be_read_any_more_is_a_mapping_failure(destination: Destination) -> None:
    route = plan(destination.url("/"), definition=fields({"target": "a", "source": "b"}))

    outcomes = [delivery.attempt(work(b"<a>", content_type=kind), route) for kind in ("text/xml", "text/plain")]

    assert [outcome.kind for outcome in outcomes] == [OutcomeKind.MAPPING_FAILED] * 2
    assert destination.requests == []


@pytest.mark.parametrize(
    ("content_type", "body", "path"),
    [
        ("text/xml", b"<reply><no>INV-7</no></reply>", "body.reply.no"),
        ("application/xml; charset=utf-16", "<reply no='INV-7'/>".encode("utf-16"), "body.reply.@no"),
        ("application/x-www-form-urlencoded", b"no=INV-7&ok=1", "body.no"),
        ("text/csv", b"no,ok\nINV-7,1\n", "body[0].no"),
        ("text/plain", b"INV-7", "body"),
        ("text/xml", b"INV-7", "body"),  # it is not what it says: the text that it is
        ("text/plain; charset=utf-16", "INV-7".encode("utf-16"), "body"),
    ],
)
def test_replies_in_other_formats_are_mapped(
    destination: Destination, content_type: str, body: bytes, path: str
) -> None:
    destination.answers("/", Answer(200, body, {"Content-Type": content_type}))
    route = plan(destination.url("/"), reply_definition=fields({"target": "invoice", "source": path}))

    outcome = delivery.attempt(work(), route)

    assert outcome.reply is not None
    assert (outcome.reply.content_type, outcome.reply.body) == ("application/json", b'{"invoice":"INV-7"}')


def test_mapping_that_fails_sends_nothing_and_names_every_row(destination: Destination) -> None:
    rows = ({"target": "a", "source": "x", "required": True}, {"target": "b", "source": "id", "type": "boolean"})

    outcome = delivery.attempt(work(), plan(destination.url("/orders"), definition=fields(*rows)))

    assert outcome.kind == OutcomeKind.MAPPING_FAILED
    assert outcome.error is not None
    assert outcome.error["type"] == "/problems/mapping-failed"
    assert [(row["target"], row["source"]) for row in outcome.error["errors"]] == [("a", "x"), ("b", "id")]
    assert (outcome.sent, destination.requests) == (None, [])


@pytest.mark.parametrize("expression", ["1/0", "$error('no')", "$number('x')"])
def test_expression_that_fails_is_a_mapping_failure(destination: Destination, expression: str) -> None:
    outcome = delivery.attempt(work(), plan(destination.url("/orders"), definition={"expression": expression}))

    assert outcome.kind == OutcomeKind.MAPPING_FAILED
    assert destination.requests == []


def test_mapped_message_that_is_too_large_is_not_sent(
    destination: Destination, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(delivery, "MAX_OUTGOING_BYTES", 5)
    row = {"target": "no", "source": "id"}

    outcome = delivery.attempt(work(), plan(destination.url("/orders"), definition=fields(row)))

    assert (outcome.kind, destination.requests) == (OutcomeKind.MAPPING_FAILED, [])
    assert "larger than 5 bytes" in outcome.detail


@pytest.mark.parametrize("method", ["GET", "DELETE"])
def test_methods_without_a_body_send_none(destination: Destination, method: str) -> None:
    delivery.attempt(work(), plan(destination.url("/orders"), method=method))

    (request,) = destination.requests
    assert (request.method, request.body, request.header("Content-Type")) == (method, b"", "")


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH"])
def test_methods_with_a_body_send_it(destination: Destination, method: str) -> None:
    delivery.attempt(work(), plan(destination.url("/orders"), method=method))

    assert (destination.requests[0].method, destination.requests[0].body) == (method, b'{"id":4711}')


@pytest.mark.parametrize(
    ("key", "sent"),
    [
        ("order-4711", "order-4711"),  # the source's own name for it
        (None, str(ID)),
        ("ключ", str(ID)),  # no header can carry it: ours, which stays the same as well
        ("a\nb", str(ID)),
    ],
)
def test_every_attempt_carries_the_same_key(destination: Destination, key: str | None, sent: str) -> None:
    route = plan(destination.url("/orders"))

    for _ in range(2):
        delivery.attempt(work(idempotency_key=key), route)

    assert [request.header("Idempotency-Key") for request in destination.requests] == [sent, sent]
    assert {request.header("X-Correlation-ID") for request in destination.requests} == {str(ID)}


def test_configured_headers_join_but_never_replace_how_a_repeat_is_recognised(destination: Destination) -> None:
    configured = {"X-Tenant": "main", "Content-Type": "application/x-order", "idempotency-key": "always-the-same"}

    delivery.attempt(work(), plan(destination.url("/orders"), headers=configured))

    (request,) = destination.requests
    assert request.header("X-Tenant") == "main"
    assert [value for name, value in request.headers if name.lower() == "content-type"] == ["application/x-order"]
    assert [value for name, value in request.headers if name.lower() == "idempotency-key"] == [str(ID)]


@pytest.mark.parametrize(
    ("auth", "header", "value"),
    [
        ({"bearer": True}, "Authorization", "Bearer canary-token"),
        ({"api_key": True}, "X-Tenant-Code", "canary-key"),  # a name that says nothing of a secret
    ],
)
def test_secrets_are_sent_and_not_kept(
    destination: Destination, auth: dict[str, bool], header: str, value: str
) -> None:
    outcome = delivery.attempt(work(), plan(destination.url("/orders"), **auth))

    assert destination.requests[0].header(header) == value
    assert sent_headers(outcome)[header] == "[redacted]"
    assert "canary" not in repr(outcome)


@pytest.mark.parametrize(
    ("status", "kind", "slug"),
    [
        (200, OutcomeKind.SUCCEEDED, None),
        (202, OutcomeKind.SUCCEEDED, None),
        (204, OutcomeKind.SUCCEEDED, None),
        (301, OutcomeKind.REFUSED, "destination-refused"),  # redirects are never followed
        (400, OutcomeKind.REFUSED, "destination-refused"),
        (401, OutcomeKind.REFUSED, "destination-refused"),
        (404, OutcomeKind.REFUSED, "destination-refused"),
        (409, OutcomeKind.REFUSED, "destination-refused"),
        (410, OutcomeKind.REFUSED, "destination-refused"),
        (408, OutcomeKind.FAILED, "destination-failed"),  # the passing ones of the 4xx
        (425, OutcomeKind.FAILED, "destination-failed"),
        (429, OutcomeKind.FAILED, "destination-failed"),
        (500, OutcomeKind.FAILED, "destination-failed"),
        (501, OutcomeKind.FAILED, "destination-failed"),
        (503, OutcomeKind.FAILED, "destination-failed"),
    ],
)
def test_what_a_status_means(destination: Destination, status: int, kind: OutcomeKind, slug: str | None) -> None:
    destination.answers("/orders", Answer(status, headers={"Location": destination.url("/elsewhere")}))

    outcome = delivery.attempt(work(), plan(destination.url("/orders")))

    assert (outcome.kind, len(destination.requests)) == (kind, 1)
    assert (outcome.error or {}).get("type") == (None if slug is None else f"/problems/{slug}")
    assert outcome.received is not None
    assert outcome.received.status_code == status


def test_gone_is_said_in_plain_words(destination: Destination) -> None:
    destination.answers("/orders", Answer(410))

    found = plan(destination.url("/orders"))
    passing = dataclasses.replace(found, statuses=compile_statuses({"passing": [410]}))

    assert "gone for good" in delivery.attempt(work(), found).detail
    assert delivery.attempt(work(), passing).detail == "The destination answered 410."


@pytest.mark.parametrize(
    ("header", "seconds"),
    [("7", 7.0), ("Mon, 01 Jan 2001 00:00:00 GMT", 0.0), ("soon", None), ("", None)],
)
def test_destination_says_when_to_come_back(destination: Destination, header: str, seconds: float | None) -> None:
    destination.answers("/orders", Answer(503, headers={"Retry-After": header}))

    assert delivery.attempt(work(), plan(destination.url("/orders"))).retry_after == seconds


@pytest.mark.parametrize(
    ("url", "kind"),
    [
        ("http://127.0.0.1:1/", OutcomeKind.FAILED),  # nobody listens: may be better later
        ("http://169.254.169.254/latest", OutcomeKind.NOT_SENT),  # may never be called
        ("http://10.0.0.1/", OutcomeKind.NOT_SENT),  # private and not listed
    ],
)
def test_call_without_an_answer(url: str, kind: OutcomeKind) -> None:
    outcome = delivery.attempt(work(), plan(url))

    assert (outcome.kind, outcome.received, outcome.reply) == (kind, None, None)
    assert outcome.error is not None
    assert (outcome.error["type"], outcome.error["title"]) == ("/problems/destination-failed", "The destination failed")
    assert outcome.sent is not None
    assert outcome.sent.url == url


@pytest.mark.parametrize(
    ("endpoint", "detail", "told"),
    [
        ({"url": "http://10.1.2.3/"}, "OUTBOUND_ALLOWED_NETWORKS", delivery.NOT_CALLABLE),
        ({"url": "http://erp-db-7.invalid/"}, "erp-db-7.invalid", delivery.NOT_REACHED),
        ({"url": "http://127.0.0.1:1/"}, "refused", delivery.NOT_REACHED),
        ({"auth_scheme": "bearer"}, "The endpoint", delivery.NOT_CALLABLE),  # without a token
    ],
)
def test_source_learns_nothing_of_our_network_and_settings(endpoint: dict[str, Any], detail: str, told: str) -> None:
    outcome = delivery.attempt(work(), plan(**{"url": "http://127.0.0.1:1/", **endpoint}))

    assert detail in outcome.detail
    assert outcome.error is not None
    assert outcome.error["detail"] == told


def test_every_kind_of_failure_has_a_sentence_for_the_source() -> None:
    assert set(delivery.TOLD) == set(transport.Kind)


def test_destination_sees_the_certificate_of_its_endpoint(tmp_path: Path) -> None:
    authority = Authority(ec.generate_private_key(ec.SECP256R1()), tmp_path)
    context = authority.server("127.0.0.1")
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_verify_locations(authority.bundle())
    certificate, key = (part.decode() for part in authority.issue("hub"))
    ours = {"tls_ca": Path(authority.bundle()).read_text(), "tls_certificate": certificate, "tls_key": key}

    with Destination(tls=context) as picky:
        outcomes = [delivery.attempt(work(), plan(picky.url("/orders"), **endpoint)) for endpoint in (ours, {})]

    assert [outcome.kind for outcome in outcomes] == [OutcomeKind.SUCCEEDED, OutcomeKind.FAILED]
    assert len(picky.requests) == 1


def test_destination_that_is_silent_may_have_got_it(destination: Destination) -> None:
    destination.answers("/orders", Answer(delay_seconds=5))

    outcome = delivery.attempt(work(), plan(destination.url("/orders"), timeout_seconds=0.3))

    assert outcome.kind == OutcomeKind.UNKNOWN
    assert "may have arrived" in outcome.detail
    assert outcome.error is not None
    assert "may have arrived" in outcome.error["detail"]  # a synchronous caller has to know
    assert 250 < outcome.duration_ms < 4500


def test_reply_is_told_as_it_came(destination: Destination) -> None:
    destination.answers("/orders", Answer(201, b"<ok/>", {"Content-Type": "text/xml", "Set-Cookie": "canary"}))

    outcome = delivery.attempt(work(), plan(destination.url("/orders")))

    assert outcome.reply is not None
    assert (outcome.reply.status_code, outcome.reply.content_type, outcome.reply.body) == (201, "text/xml", b"<ok/>")
    assert "canary" not in repr(outcome)


@pytest.mark.parametrize(
    ("answer", "rows", "told"),
    [
        (Answer(201, {"no": "INV-7"}), [{"target": "invoice", "source": "body.no"}], b'{"invoice":"INV-7"}'),
        (Answer(201, b'{"sum":19.90}', JSON), [{"target": "total", "source": "body.sum"}], b'{"total":19.90}'),
        (Answer(202, {}), [{"target": "status", "source": "status_code"}], b'{"status":202}'),
        (Answer(201, {}, {"X-No": "7"}), [{"target": "no", "source": "headers.`x-no`"}], b'{"no":"7"}'),
        (Answer(201, "plain", {"Content-Type": "text/plain"}), [{"target": "t", "source": "body"}], b'{"t":"plain"}'),
        (Answer(204), [{"target": "t", "source": "body", "default": "none"}], b'{"t":"none"}'),  # nothing came back
    ],
)
def test_reply_mapping_makes_what_is_told(
    destination: Destination, answer: Answer, rows: list[dict[str, Any]], told: bytes
) -> None:
    destination.answers("/orders", answer)
    route = plan(destination.url("/orders"), reply_definition=fields(*rows))

    outcome = delivery.attempt(work(), route)

    assert outcome.reply is not None
    assert (outcome.reply.body, outcome.reply.content_type) == (told, "application/json")
    assert route.reply_mapping is not None
    assert outcome.reply_mapping_version_id == route.reply_mapping.version_id


def test_reply_that_cannot_be_mapped_leaves_the_message_confirmed(destination: Destination) -> None:
    destination.answers("/orders", Answer(201, {"no": "x"}))
    definition = fields({"target": "no", "source": "body.no", "type": "integer"})

    outcome = delivery.attempt(work(), plan(destination.url("/orders"), reply_definition=definition))

    assert outcome.kind == OutcomeKind.SUCCEEDED
    assert outcome.error is not None
    assert outcome.error["detail"].startswith("The destination confirmed")
    assert outcome.reply is not None
    assert outcome.reply.body == b'{"no": "x"}'


def test_reply_mapping_is_for_confirmations_only(destination: Destination) -> None:
    destination.answers("/orders", Answer(422, {"e": 1}))
    definition = fields({"target": "no", "source": "body.no", "required": True})

    outcome = delivery.attempt(work(), plan(destination.url("/orders"), reply_definition=definition))

    assert outcome.reply is not None
    assert (outcome.kind, outcome.reply.body) == (OutcomeKind.REFUSED, b'{"e": 1}')


def test_endless_reply_is_cut_and_says_so(destination: Destination) -> None:
    destination.answers("/orders", Answer(200, b"x" * (transport.MAX_RESPONSE_BYTES + 10)))

    outcome = delivery.attempt(work(), plan(destination.url("/orders")))

    assert outcome.received is not None
    assert (len(outcome.received.body), outcome.received.truncated) == (transport.MAX_RESPONSE_BYTES, True)


def test_headers_of_an_answer_are_kept_as_far_as_there_is_room(destination: Destination) -> None:
    long = {f"X-Long-{number}": "v" * 60_000 for number in range(3)}
    destination.answers("/orders", Answer(201, headers={"X-Short": "s", **long, "X-Last": "l"}, body=b"{}"))

    outcome = delivery.attempt(work(), plan(destination.url("/orders")))

    assert outcome.received is not None
    kept = dict(outcome.received.headers)
    assert {"X-Short", "X-Long-0", "X-Last"} <= set(kept)
    assert kept["(not kept)"] == "2 headers for which there was no room"
    assert "X-Long-1" not in kept


def test_attempt_asks_the_database_nothing(destination: Destination, django_assert_num_queries: Any) -> None:
    definition = fields({"target": "no", "source": "id"})
    route = plan(destination.url("/orders"), definition=definition, reply_definition=definition)

    with django_assert_num_queries(0):
        delivery.attempt(work(), route)

    assert len(destination.requests) == 1


def test_query_with_a_key_is_sent_and_not_kept(destination: Destination) -> None:
    auth = {"auth_scheme": "api_key", "auth_parameters": {"query": "code"}, "auth_secrets": '{"key":"canary"}'}

    outcome = delivery.attempt(work(), plan(destination.url("/orders"), **auth))

    assert destination.requests[0].target == "/orders?code=canary"
    assert "canary" not in repr(outcome)


def test_signature_is_sent_and_not_kept(destination: Destination) -> None:
    parameters = {"header": "X-Proof", "timestamp_header": "X-Time"}
    auth = {"auth_scheme": "hmac", "auth_parameters": parameters, "auth_secrets": '{"secret":"canary"}'}

    outcome = delivery.attempt(work(), plan(destination.url("/orders"), **auth))

    (request,) = destination.requests
    assert request.header("X-Proof")
    assert sent_headers(outcome)["X-Proof"] == "[redacted]"
    assert sent_headers(outcome)["X-Time"] == request.header("X-Time")


def test_authentication_that_cannot_work_fails_the_calls_that_need_it_and_says_so(destination: Destination) -> None:
    broken = {"auth_scheme": "standard_webhooks", "auth_secrets": '{"secret":"canary"}'}

    outcome = delivery.attempt(work(), plan(destination.url("/orders"), **broken))

    assert outcome.kind == OutcomeKind.NOT_SENT
    assert "cannot work as it is configured" in outcome.detail
    assert "canary" not in repr(outcome)
    assert destination.requests == []


def test_address_query_and_headers_take_values_of_the_outgoing_message(destination: Destination) -> None:
    rows = ({"target": "order.no", "source": "id", "type": "string"}, {"target": "tenant", "constant": "main"})
    endpoint = {"query_parameters": {"ref": "{order.no}"}, "headers": {"X-Tenant": "{tenant}"}, "method": "PUT"}
    route = plan(destination.url("/orders/{order.no}/lines"), definition=fields(*rows), **endpoint)

    outcome = delivery.attempt(work(b'{"id":"A/../7"}'), route)

    (request,) = destination.requests
    assert request.target == "/orders/A%2F..%2F7/lines?ref=A%2F..%2F7"
    assert request.header("X-Tenant") == "main"
    assert outcome.sent is not None
    assert outcome.sent.url == destination.url(request.target)


def test_address_takes_values_of_the_received_message_where_nothing_is_mapped(destination: Destination) -> None:
    body = b'{ "id":4711 }'

    delivery.attempt(work(body), plan(destination.url("/orders/{id}")))

    assert (destination.requests[0].target, destination.requests[0].body) == ("/orders/4711", body)


def test_value_that_the_address_misses_is_a_mapping_failure_that_names_it(destination: Destination) -> None:
    outcome = delivery.attempt(work(b'{"id":null}'), plan(destination.url("/orders/{id}"), headers={"X-No": "{no}"}))

    assert outcome.kind == OutcomeKind.MAPPING_FAILED
    assert outcome.error is not None
    named = [(row["target"], row["source"]) for row in outcome.error["errors"]]
    assert named == [("url", "id"), ("headers.X-No", "no")]
    assert destination.requests == []


@pytest.mark.parametrize("fault", [{"headers": {"X-No": "{"}}, {"query_parameters": {"a": "{a..b}"}}])
def test_stored_template_that_cannot_work_fails_its_own_calls(destination: Destination, fault: dict[str, Any]) -> None:
    outcome = delivery.attempt(work(), plan(destination.url("/orders"), **fault))

    assert outcome.kind == OutcomeKind.NOT_SENT
    assert "cannot work as it is configured" in outcome.detail
    assert destination.requests == []


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (409, OutcomeKind.SUCCEEDED),  # it has it already
        (404, OutcomeKind.FAILED),  # not there yet
        (503, OutcomeKind.REFUSED),
        (201, OutcomeKind.SUCCEEDED),
        (400, OutcomeKind.REFUSED),
    ],
)
def test_route_says_what_a_status_means(destination: Destination, status: int, kind: OutcomeKind) -> None:
    destination.answers("/orders", Answer(status, {"no": 7}))
    route = plan(destination.url("/orders"))
    Route.objects.update(statuses={"success": [409], "passing": ["404"], "permanent": ["5xx"]})

    outcome = delivery.attempt(work(), catalogue.by_id()[route.id])

    assert outcome.kind == kind
    assert outcome.reply is not None
    assert outcome.reply.status_code == status


@pytest.mark.parametrize(
    "answer", [Answer.nothing(), Answer.nothing(reset=True), Answer(200, "x" * 90, cut_after=120), Answer.garbage()]
)
def test_answer_that_breaks_off_leaves_it_unknown_whether_the_message_arrived(
    destination: Destination, answer: Answer
) -> None:
    destination.answers("/orders", answer)

    outcome = delivery.attempt(work(), plan(destination.url("/orders")))

    assert (outcome.kind, len(destination.requests)) == (OutcomeKind.UNKNOWN, 1)


def test_trace_goes_on_in_a_span_of_its_own_and_nobody_configures_it_away(destination: Destination) -> None:
    trace, span = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
    kept = {"traceparent": f"00-{trace}-{span}-00", "tracestate": "vendor=1"}
    route = plan(destination.url("/orders"), headers={"Traceparent": "mine", "TraceState": "mine=1", "X-Own": "1"})

    outcomes = [delivery.attempt(work(headers=kept), route) for _ in range(2)]
    delivery.attempt(work(), route)

    *continued, begun = destination.requests
    assert [request.header("traceparent")[:36] for request in continued] == [f"00-{trace}-"] * 2
    assert len({span, *(request.header("traceparent")[36:52] for request in continued)}) == 3
    assert {request.header("tracestate") for request in continued} == {"vendor=1"}
    assert {request.header("X-Own") for request in destination.requests} == {"1"}
    assert begun.header("traceparent")[3:35] == ID.hex
    assert begun.header("tracestate") == ""
    assert sent_headers(outcomes[0])["traceparent"] == continued[0].header("traceparent")
