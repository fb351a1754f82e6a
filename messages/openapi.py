"""What the outside can call, as an OpenAPI 3.1 document: every enabled route with its schema, results, health."""

from collections.abc import Iterable
from typing import Any

from django.db.models import Prefetch

from connectors import formats
from connectors.choices import OnDeadline, Pattern, Reply, Scheme
from connectors.models import Credential, Route
from messages.choices import PROCESSING, Status
from messages.problems import CONTENT_TYPE, PROBLEMS, type_of

Node = dict[str, Any]

REFUSALS = ("malformed-body", "authentication-failed", "not-found", "body-too-large", "unsupported-media-type")
WEBHOOK_PROBLEMS = {
    Pattern.ASYNC: (*REFUSALS, "invalid-payload", "idempotency-mismatch", "rate-limited", "unavailable"),
    Pattern.SYNC: (
        *(*REFUSALS, "invalid-payload", "idempotency-mismatch", "mapping-failed", "in-progress", "rate-limited"),
        *("destination-refused", "destination-failed", "paused", "lane-blocked", "unavailable", "deadline-passed"),
    ),
}
RESULT_PROBLEMS = ("malformed-request", "authentication-failed", "not-found", "gone", "unavailable")
PROBLEM_HEADERS = {401: "WWW-Authenticate", 405: "Allow", 429: "Retry-After", 503: "Retry-After"}

SIGNATURE_HEADERS = {
    Scheme.STANDARD_WEBHOOKS: "webhook-signature",
    Scheme.GITHUB: "X-Hub-Signature-256",
    Scheme.STRIPE: "Stripe-Signature",
    Scheme.SHOPIFY: "X-Shopify-Hmac-Sha256",
    Scheme.SLACK: "X-Slack-Signature",
}
BEARER, API_KEY, BASIC = "bearer", "api_key", "basic"
KEYS: dict[str, Node] = {
    BEARER: {"type": "http", "scheme": "bearer", "description": "An API key."},
    API_KEY: {"type": "apiKey", "in": "header", "name": "X-API-Key", "description": "An API key."},
    BASIC: {"type": "http", "scheme": "basic"},
}
NOT_SCHEMAS = frozenset({"const", "enum", "default", "examples", "example"})
"""Keywords of JSON Schema that hold values, in which a "$ref" is a name like any other."""


def document() -> Node:
    """The document for the configuration as it stands: two queries."""
    credentials = Prefetch("source__credentials", Credential.objects.filter(enabled=True, revoked_at=None))
    routes = list(
        Route.objects.filter(enabled=True).select_related("source").prefetch_related(credentials).order_by("slug")
    )
    security = {route.slug: _security(route.source.credentials.all()) for route in routes}
    schemes = {name: scheme for found in security.values() for name, scheme in found.items()}
    paths: Node = {}
    for route in routes:
        paths |= _webhooks(route, [{name: []} for name in security[route.slug]])
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
            "securitySchemes": {**KEYS, **schemes},
        },
    }


def _security(credentials: Iterable[Credential]) -> dict[str, Node]:
    """The security schemes that fit, any one of them; without a credential a key is asked for, and none will fit."""
    found: dict[str, Node] = {}
    for credential in credentials:
        scheme = Scheme(credential.scheme)
        if scheme == Scheme.API_KEY:
            found |= {BEARER: KEYS[BEARER], API_KEY: KEYS[API_KEY]}
        elif scheme == Scheme.BASIC:
            found[BASIC] = KEYS[BASIC]
        else:
            header = SIGNATURE_HEADERS.get(scheme) or credential.header or "X-Signature"
            name = scheme.value if scheme in SIGNATURE_HEADERS else f"{scheme.value}.{header.lower()}"
            description = f"{scheme.label}: a signature over the raw body."
            found[name] = {"type": "apiKey", "in": "header", "name": header, "description": description}
    return found or {API_KEY: KEYS[API_KEY]}


def _webhooks(route: Route, security: list[Node]) -> Node:
    """The address of the default pattern, and one for each pattern that the route allows."""
    allowed = [Pattern(pattern) for pattern in route.allowed_patterns]
    chosen = allowed if Pattern.ASYNC in allowed else allowed[:1]
    address = f"/webhooks/{route.slug}"
    paths = {address: {"post": _push(route, chosen, "", security)}}
    for pattern in allowed:
        paths[f"{address}/{pattern.value}"] = {"post": _push(route, [pattern], f"_{pattern.value}", security)}
    return paths


def _push(route: Route, patterns: list[Pattern], suffix: str, security: list[Node]) -> Node:
    slugs = [slug for pattern in patterns for slug in WEBHOOK_PROBLEMS[pattern]]
    answers: Node = {}
    if Pattern.SYNC in patterns:
        answers["200"] = _delivered(route)
    if Pattern.ASYNC in patterns or route.on_deadline == OnDeadline.ACCEPT:
        answers["202"] = {
            "description": "Committed; the result can be fetched.",
            "headers": {"Location": TEXT_HEADER, "Retry-After": TEXT_HEADER, "X-Correlation-ID": TEXT_HEADER},
            "content": {formats.JSON: {"schema": _ref("Accepted")}},
        }
    if route.reply == Reply.BODY and Pattern.SYNC in patterns:
        answers["2XX"] = {"description": "The destination's own status and body."}
    return {
        "operationId": f"push_{route.slug}{suffix}",
        "summary": str(route),
        "tags": ["webhooks"],
        "parameters": [IDEMPOTENCY_KEY, PREFER],
        "requestBody": {"required": True, "content": _bodies(route)},
        "responses": {**answers, **_problems(slugs)},
        "security": security,
    }


def _delivered(route: Route) -> Node:
    if route.reply == Reply.BODY:
        return {"description": "The destination's reply, after the reply mapping.", "content": {"*/*": {}}}
    return {
        "description": "The destination has confirmed.",
        "headers": {"X-Correlation-ID": TEXT_HEADER},
        "content": {formats.JSON: {"schema": _ref("Result")}},
    }


def _bodies(route: Route) -> Node:
    """The schema is that of the value; only JSON is written as its schema reads."""
    return {
        formats.JSON: {"schema": _ref(_schema_name(route))},
        formats.XML: {"schema": {"type": "string"}},
        formats.FORM: {"schema": {"type": "object"}},
        formats.CSV: {"schema": {"type": "string"}},
    }


def _schema_name(route: Route) -> str:
    return f"route.{route.slug}"


def _schema(route: Route) -> Any:
    """The route's schema; its references to itself point to where it stands in this document."""
    schema = True if route.schema is None else route.schema
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


def _problems(slugs: Iterable[str]) -> Node:
    """One answer a status; it lists the types that it may have."""
    by_status: dict[int, list[str]] = {}
    for slug in dict.fromkeys(slugs):
        by_status.setdefault(PROBLEMS[slug][0], []).append(slug)
    answers: Node = {}
    for status, found in sorted(by_status.items()):
        told = ", ".join(f"{PROBLEMS[slug][1]} ({type_of(slug)})" for slug in found)
        answer: Node = {"description": f"{told}.", "content": {CONTENT_TYPE: {"schema": _ref("Problem")}}}
        if header := PROBLEM_HEADERS.get(status):
            answer["headers"] = {header: TEXT_HEADER}
        answers[str(status)] = answer
    return answers


def _ref(name: str) -> Node:
    return {"$ref": f"#/components/schemas/{name}"}


TEXT_HEADER: Node = {"schema": {"type": "string"}}
IDEMPOTENCY_KEY: Node = {
    "name": "Idempotency-Key",
    "in": "header",
    "description": "The sender's own name for the message; makes a repeat harmless.",
    "schema": {"type": "string", "minLength": 1, "maxLength": 255},
}
PREFER: Node = {
    "name": "Prefer",
    "in": "header",
    "description": "RFC 7240: respond-async, wait=SECONDS.",
    "schema": {"type": "string"},
}
CORRELATION_ID: Node = {"type": "string", "format": "uuid"}
MOMENT: Node = {"type": "string", "format": "date-time"}
SCHEMAS: Node = {
    "Accepted": {
        "type": "object",
        "required": ["correlation_id", "route", "status", "result_url"],
        "properties": {
            "correlation_id": CORRELATION_ID,
            "route": {"type": "string"},
            "status": {"enum": [*Status.values, PROCESSING]},
            "result_url": {"type": "string", "format": "uri"},
        },
    },
    "Result": {
        "type": "object",
        "required": ["correlation_id", "route", "pattern", "status", "received_at", "attempts", "response", "error"],
        "properties": {
            "correlation_id": CORRELATION_ID,
            "route": {"type": "string"},
            "pattern": {"enum": Pattern.values},
            "status": {"enum": [*Status.values, PROCESSING]},
            "received_at": MOMENT,
            "completed_at": {"oneOf": [MOMENT, {"type": "null"}]},
            "attempts": {"type": "integer", "minimum": 0},
            "response": {
                "type": ["object", "null"],
                "properties": {
                    "status_code": {"type": "integer"},
                    "content_type": {"type": ["string", "null"]},
                    "body": {},
                    "body_encoding": {"const": "base64"},
                },
            },
            "error": {"type": ["object", "null"]},
        },
    },
    "Problem": {
        "type": "object",
        "description": "RFC 9457.",
        "required": ["type", "title", "status", "detail"],
        "properties": {
            "type": {"type": "string", "format": "uri-reference"},
            "title": {"type": "string"},
            "status": {"type": "integer"},
            "detail": {"type": "string"},
            "correlation_id": CORRELATION_ID,
            "errors": {"type": "array", "items": {"type": "object"}},
        },
    },
    "Health": {"type": "object", "required": ["status"], "properties": {"status": {"const": "ok"}}},
}
_HEALTHY: Node = {"description": "It does.", "content": {formats.JSON: {"schema": _ref("Health")}}}
FIXED_PATHS: Node = {
    "/results/{correlation_id}": {
        "get": {
            "operationId": "result",
            "summary": "What became of a message",
            "tags": ["results"],
            "parameters": [
                {"name": "correlation_id", "in": "path", "required": True, "schema": CORRELATION_ID},
                {
                    "name": "wait",
                    "in": "query",
                    "description": "Seconds to hold the answer until the message is final; 30 at most.",
                    "schema": {"type": "number", "minimum": 0, "maximum": 30, "multipleOf": 0.001},
                },
                {"name": "If-None-Match", "in": "header", "schema": {"type": "string"}},
            ],
            "responses": {
                "200": {
                    "description": "The result; Retry-After while the message is open.",
                    "headers": {"ETag": TEXT_HEADER, "Retry-After": TEXT_HEADER, "X-Correlation-ID": TEXT_HEADER},
                    "content": {formats.JSON: {"schema": _ref("Result")}},
                },
                "304": {"description": "It is what the caller knows."},
                **_problems(RESULT_PROBLEMS),
            },
            "security": [{BEARER: []}, {API_KEY: []}, {BASIC: []}],
        }
    },
    "/health/live": {
        "get": {
            "operationId": "live",
            "summary": "Whether the process answers",
            "tags": ["health"],
            "responses": {"200": _HEALTHY},
            "security": [],
        }
    },
    "/health/ready": {
        "get": {
            "operationId": "ready",
            "summary": "Whether messages are accepted and will be worked",
            "tags": ["health"],
            "responses": {"200": _HEALTHY, **_problems(("unavailable",))},
            "security": [],
        }
    },
}
