"""What the outside can call, as an OpenAPI 3.1 document: every enabled route with its schema, results, health."""

import threading
from collections.abc import Iterable
from typing import Any

from django.db.models import Prefetch

from connectors import formats
from connectors.catalogue import Snapshot, catalogue
from connectors.choices import OnDeadline, Ordering, Pattern, Reply, Scheme
from connectors.examples import example_of
from connectors.models import Credential, Route
from connectors.paths import MISSING, compile_path
from messages import cloud_events
from messages.openapi_components import (
    API_KEY,
    BASIC,
    BEARER,
    FIXED_PATHS,
    HEADERS,
    KEYS,
    PARAMETERS,
    RATE_HEADERS,
    SCHEMAS,
    Node,
    headers,
    problems,
    ref,
)

REFUSALS = (
    *("malformed-body", "malformed-header", "malformed-request", "authentication-failed", "not-found"),
    *("method-not-allowed", "request-timeout", "body-too-large", "unsupported-media-type"),
    *("invalid-payload", "idempotency-mismatch", "rate-limited", "unavailable"),
)
WEBHOOK_PROBLEMS = {
    Pattern.ASYNC: REFUSALS,
    Pattern.SYNC: (
        *(*REFUSALS, "mapping-failed", "in-progress", "cancelled", "gone", "destination-refused"),
        *("destination-failed", "paused", "lane-blocked", "circuit-open", "deadline-passed"),
    ),
}
SIGNATURE_HEADERS = {
    Scheme.STANDARD_WEBHOOKS: ("webhook-signature", "webhook-timestamp", "webhook-id"),
    Scheme.GITHUB: ("X-Hub-Signature-256",),
    Scheme.STRIPE: ("Stripe-Signature",),
    Scheme.SHOPIFY: ("X-Shopify-Hmac-Sha256",),
    Scheme.SLACK: ("X-Slack-Signature", "X-Slack-Request-Timestamp"),
}
"""The signature, and what else has to be there to check it."""

NOT_SCHEMAS = frozenset({"const", "enum", "default", "examples", "example"})
"""Keywords of JSON Schema that hold values, in which a "$ref" is a name like any other."""

KEY_VALUE: Node = {"type": ["string", "number", "boolean"], "minLength": 1, "pattern": r"^[^\u0000]+$"}
"""What an ordering key may be: it has to name the lane."""


class Description:
    """The document as it is sent. Anybody may ask for it, so it is made once for each state of the configuration."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._made_for: Snapshot | None = None
        self._text = b""

    def text(self) -> bytes:
        today = catalogue.today()
        with self._lock:
            if self._made_for is not today:
                self._text, self._made_for = formats.dump(document()), today
            return self._text


description = Description()


def document() -> Node:
    """The document for the configuration as it stands: two queries."""
    credentials = Prefetch("source__credentials", Credential.objects.filter(enabled=True, revoked_at=None))
    routes = list(
        Route.objects.filter(enabled=True).select_related("source").prefetch_related(credentials).order_by("slug")
    )
    schemes: dict[str, Node] = {}
    paths: Node = {}
    for route in routes:
        found = _security(route.source.credentials.all())
        schemes |= {name: scheme for together in found for name, scheme in together.items()}
        paths |= webhooks(route, [{name: [] for name in together} for together in found])
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Integration platform",
            "version": "1",
            "description": "Push records by webhook; read what became of them under their correlation id.",
        },
        "servers": [{"url": "/"}],
        "paths": {**paths, **FIXED_PATHS},
        "components": {
            "schemas": {**SCHEMAS, **{_schema_name(route): _schema(route) for route in routes}},
            "headers": HEADERS,
            "parameters": PARAMETERS,
            "securitySchemes": {**KEYS, **schemes},
        },
    }


def _security(credentials: Iterable[Credential]) -> list[dict[str, Node]]:
    """The ways to prove who calls, any one of them; each is one header or more. Without a credential a key is asked
    for, and none will fit."""
    found: list[dict[str, Node]] = []
    for credential in credentials:
        scheme = Scheme(credential.scheme)
        if scheme == Scheme.API_KEY:
            ways = [{BEARER: KEYS[BEARER]}, {API_KEY: KEYS[API_KEY]}]
        elif scheme == Scheme.BASIC:
            ways = [{BASIC: KEYS[BASIC]}]
        else:
            ways = [_signed(credential, scheme)]
        found += [way for way in ways if way not in found]
    return found or [{API_KEY: KEYS[API_KEY]}]


def _signed(credential: Credential, scheme: Scheme) -> dict[str, Node]:
    own = filter(None, (credential.header or "X-Signature", credential.timestamp_header))
    names = SIGNATURE_HEADERS.get(scheme) or tuple(own)
    described = f"{scheme.label}: a signature over the raw body.", f"{scheme.label}: goes with the signature."
    return {
        scheme.value if place == 0 and scheme in SIGNATURE_HEADERS else f"{scheme.value}.{name.lower()}": {
            "type": "apiKey",
            "in": "header",
            "name": name,
            "description": described[place > 0],
        }
        for place, name in enumerate(names)
    }


def webhooks(route: Route, security: list[Node]) -> Node:
    """The address of the default pattern, and one for each pattern that the route allows."""
    allowed = [Pattern(pattern) for pattern in route.allowed_patterns]
    chosen = allowed if Pattern.ASYNC in allowed else allowed[:1]
    address = f"/webhooks/{route.slug}"
    paths = {address: {"post": _push(route, chosen, "", security)}}
    for pattern in allowed:
        paths[f"{address}/{pattern.value}"] = {"post": _push(route, [pattern], f"_{pattern.value}", security)}
    return paths


def _push(route: Route, patterns: list[Pattern], suffix: str, security: list[Node]) -> Node:
    answers: Node = {}
    if Pattern.SYNC in patterns:
        answers["200"] = _delivered(route)
    elif any(Scheme.SLACK in name for way in security for name in way):
        answers["200"] = {
            "description": "Slack's challenge, given back.",
            "headers": headers(*RATE_HEADERS),
            "content": {formats.JSON: {"schema": ref("Challenge")}},
        }
    if Pattern.ASYNC in patterns or route.on_deadline == OnDeadline.ACCEPT:
        answers["202"] = {
            "description": "Committed; the result can be fetched.",
            "headers": headers("Location", "Retry-After", *ANSWERED),
            "content": {formats.JSON: {"schema": ref("Accepted")}},
        }
    if route.reply == Reply.BODY and Pattern.SYNC in patterns:
        answers["2XX"] = {"description": "The destination's own status and body.", "headers": headers(*ANSWERED)}
    slugs = [slug for pattern in patterns for slug in WEBHOOK_PROBLEMS[pattern]]
    return {
        "operationId": f"push_{route.slug}{suffix}",
        "summary": str(route),
        "tags": ["webhooks"],
        "parameters": [ref(name, "parameters") for name in PARAMETERS],
        "requestBody": {"required": True, "description": _told_of_bodies(route), "content": bodies(route)},
        "responses": {**answers, **problems(slugs, REFUSED)},
        "security": security,
    }


ANSWERED = ("X-Correlation-ID", "Preference-Applied", "Idempotency-Replayed", *RATE_HEADERS)
REFUSED = {
    **dict.fromkeys((400, 404, 413, 415, 429, 503), RATE_HEADERS),
    409: ("Idempotency-Replayed", *RATE_HEADERS),
    504: ("Preference-Applied", *RATE_HEADERS),
    **dict.fromkeys((410, 422, 502), ("Preference-Applied", "Idempotency-Replayed", *RATE_HEADERS)),
}
"""Headers of refusals behind the check of who calls, and of those that are the answer to a message."""


def _delivered(route: Route) -> Node:
    if route.reply == Reply.BODY:
        described = "The destination's reply, after the reply mapping."
        return {"description": described, "headers": headers(*ANSWERED), "content": {"*/*": {}}}
    return {
        "description": "The destination has confirmed.",
        "headers": headers(*ANSWERED),
        "content": {formats.JSON: {"schema": ref("Result")}},
    }


def _told_of_bodies(route: Route) -> str:
    told = (
        f"At most {route.max_body_bytes:,} bytes. Any media type that ends with +json is read as JSON. A CloudEvent in "
        "binary mode has its attributes in ce-* headers, and its data as the body."
    )
    for name, key in (("lane", route.ordering_key if route.ordering == Ordering.KEY else ""),
                      ("idempotency key", route.idempotency_key)):  # fmt: skip
        if key:
            told += f" The {name} is read from the payload: {key}."
    return told


def bodies(route: Route) -> Node:
    """The media types whose values can fit the route: XML and forms are objects, CSV is a list of rows."""
    schema = body_schema(route)
    event = {"allOf": [ref("CloudEvent"), schema]}
    found: Node = {formats.JSON: {"schema": schema}}
    if (example := example_for(route)) is not MISSING:
        found[formats.JSON]["example"] = example
    if _may_be(route, "object"):
        if _may_be_event(route):
            found[cloud_events.STRUCTURED] = {"schema": event}
        found[formats.XML] = {"schema": _text("An XML document", formats.XML)}
        found[formats.FORM] = {"schema": {"type": "object", "description": VALUE_FITS.format("Fields")}}
    if _may_be(route, "array") and not _key_names(route):
        found[formats.CSV] = {"schema": _text("Rows behind a line of names", formats.CSV)}
    return found


VALUE_FITS = "{}; the value that it makes has to fit the schema of application/json."


def _text(what: str, media_type: str) -> Node:
    return {
        "type": "string",
        "minLength": 1,
        "contentMediaType": media_type,
        "description": VALUE_FITS.format(what),
    }


def _may_be(route: Route, kind: str) -> bool:
    """As far as the schema's own `type` says."""
    kinds = route.schema.get("type", kind) if isinstance(route.schema, dict) else kind
    return kind in (kinds if isinstance(kinds, list) else [kinds])


def _may_be_event(route: Route) -> bool:
    """Whether what every event has may stand in the payload as the texts that they are."""
    properties = route.schema.get("properties", {}) if isinstance(route.schema, dict) else {}
    kinds = [properties.get(name) for name in cloud_events.REQUIRED]
    return all("string" in kind.get("type", "string") for kind in kinds if isinstance(kind, dict))


def body_schema(route: Route) -> Node:
    """The route's schema, and that the ordering key is there, where it is a path of names."""
    key = _key_schema(route)
    return ref(_schema_name(route)) if key is None else {"allOf": [ref(_schema_name(route)), key]}


def _key_schema(route: Route) -> Node | None:
    names = _key_names(route)
    key: Node = KEY_VALUE
    for name in reversed(names):
        key = {"type": "object", "required": [name], "properties": {name: key}}
    return key if names else None


def _key_names(route: Route) -> list[str]:
    if route.ordering != Ordering.KEY or route.ordering_key.startswith("="):
        return []
    steps = compile_path(route.ordering_key).steps
    return [step for step in steps if isinstance(step, str)] if all(isinstance(step, str) for step in steps) else []


def example_for(route: Route) -> Any:
    """A payload of this route, made from its schema and what orders its messages; MISSING where none was found."""
    if (key := _key_schema(route)) is None:
        return {"id": "4711"} if route.schema is None else example_of(route.schema)
    schema = route.schema if isinstance(route.schema, dict) else {}
    return example_of({**schema, "allOf": [*schema.get("allOf", []), key]})


def _schema_name(route: Route) -> str:
    return f"route.{route.slug}"


def _schema(route: Route) -> Any:
    """The route's schema; its references to itself point to where it stands in this document."""
    schema = {} if route.schema is None or route.schema is True else route.schema
    if isinstance(schema, dict) and "$id" in schema:
        return schema
    return _moved(schema, f"#/components/schemas/{_schema_name(route)}")


def _moved(schema: Any, place: str) -> Any:
    if isinstance(schema, list):
        return [_moved(item, place) for item in schema]
    if not isinstance(schema, dict):
        return schema
    moved = {name: item if name in NOT_SCHEMAS else _moved(item, place) for name, item in schema.items()}
    reference = moved.get("$ref")
    if isinstance(reference, str) and (reference == "#" or reference.startswith("#/")):
        moved["$ref"] = place + reference[1:]
    return moved
