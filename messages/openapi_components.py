"""What the OpenAPI document says once and refers to: headers, parameters, schemas, problems, fixed addresses."""

from collections.abc import Iterable, Mapping
from typing import Any

from connectors import formats
from connectors.choices import Pattern
from messages.choices import PROCESSING, Status
from messages.problem_types import TYPES
from messages.problems import CONTENT_TYPE, type_of

Node = dict[str, Any]

BEARER, API_KEY, BASIC = "bearer", "api_key", "basic"
KEYS: dict[str, Node] = {
    BEARER: {"type": "http", "scheme": "bearer", "description": "An API key."},
    API_KEY: {"type": "apiKey", "in": "header", "name": "X-API-Key", "description": "An API key."},
    BASIC: {"type": "http", "scheme": "basic"},
}


def ref(name: str, kind: str = "schemas") -> Node:
    return {"$ref": f"#/components/{kind}/{name}"}


def headers(*names: str) -> Node:
    """Those of an answer; each has the name of the request."""
    return {name: ref(name, "headers") for name in ("X-Request-ID", *names)}


def problems(slugs: Iterable[str], also: Mapping[int, tuple[str, ...]] | None = None) -> Node:
    """One answer a status, with the types that it may have; `also`: further headers by status."""
    by_status: dict[int, list[str]] = {}
    for slug in dict.fromkeys(slugs):
        by_status.setdefault(TYPES[slug].status, []).append(slug)
    answers: Node = {}
    for status, found in sorted(by_status.items()):
        told = "; ".join(f"{TYPES[slug].title} ({type_of(slug)})" for slug in found)
        examples = {slug: {"summary": TYPES[slug].title, "value": _example_of_problem(slug)} for slug in found}
        answers[str(status)] = {
            "description": f"{told}.",
            "headers": headers(*PROBLEM_HEADERS.get(status, ()), *(also or {}).get(status, ())),
            "content": {CONTENT_TYPE: {"schema": _problem_schema(found), "examples": examples}},
        }
    return answers


def _problem_schema(slugs: list[str]) -> Node:
    types = [type_of(slug) for slug in slugs]
    return {"allOf": [ref("Problem"), {"type": "object", "properties": {"type": {"enum": types}}}]}


def _example_of_problem(slug: str) -> Node:
    kind = TYPES[slug]
    document: Node = {"type": type_of(slug), "title": kind.title, "status": kind.status, "detail": kind.meaning}
    return {**document, **EXTRA_MEMBERS.get(slug, {})}


EXAMPLE_ID = "01a2096f-52ea-7745-8e36-84cd270ec949"
EXTRA_MEMBERS: dict[str, Node] = {
    "invalid-payload": {"errors": [{"path": "lines[0].sku", "message": "It is missing."}]},
    "mapping-failed": {
        "correlation_id": EXAMPLE_ID,
        "errors": [{"target": "orderNo", "source": "id", "message": "It is missing."}],
    },
    **{slug: {"correlation_id": EXAMPLE_ID, "destination_status": 422} for slug in ("destination-refused",)},
    **{
        slug: {"correlation_id": EXAMPLE_ID}
        for slug in ("idempotency-mismatch", "in-progress", "deadline-passed", "gone", "cancelled")
    },
}
PROBLEM_HEADERS: dict[int, tuple[str, ...]] = {
    401: ("WWW-Authenticate",),
    405: ("Allow",),
    409: ("Retry-After", "X-Correlation-ID"),
    410: ("X-Correlation-ID",),
    415: ("Accept-Post", "Accept-Encoding"),
    422: ("X-Correlation-ID",),
    429: ("Retry-After",),
    502: ("X-Correlation-ID",),
    503: ("Retry-After",),
    504: ("Location", "X-Correlation-ID"),
}


def _header(description: str, *, required: bool = False, **schema: Any) -> Node:
    return {"description": description, "required": required, "schema": {"type": "string", **schema}}


HEADERS: Node = {
    "X-Request-ID": _header(
        "The name of the request, to be quoted to support staff: the caller's own, or one that was made.",
        required=True,
        minLength=1,
        maxLength=128,
    ),
    "X-Correlation-ID": _header("The message; its result is read under it.", format="uuid"),
    "Location": _header("Where the result is read.", format="uri"),
    "Retry-After": _header("Seconds to wait before asking again.", pattern="^[0-9]+$"),
    "Preference-Applied": _header("What of Prefer was honoured (RFC 7240)."),
    "Idempotency-Replayed": _header("The message was there before: this is its answer.", const="true"),
    "RateLimit": _header("What is left of the application's allowance (IETF draft): r requests now, t seconds."),
    "RateLimit-Policy": _header("The allowance: q requests in w seconds."),
    "ETag": _header("Of this representation; for If-None-Match."),
    "WWW-Authenticate": _header("Ways to prove who calls."),
    "Allow": _header("The methods of this address."),
    "Accept-Post": _header("The media types that are read."),
    "Accept-Encoding": _header("The content codings that are read."),
}
RATE_HEADERS = ("RateLimit", "RateLimit-Policy")


_QUOTED_KEY = r'"(?:[ !#-\[\]-~]|\\["\\]){1,255}"'
_BARE_KEY = r"[!#-+\--:<-~](?:[ !#-+\--:<-~]{0,253}[!#-+\--:<-~])?"
PARAMETERS: Node = {
    "Idempotency-Key": {
        "name": "Idempotency-Key",
        "in": "header",
        "description": "The sender's own name for the message; makes a repeat harmless. A quoted string, or bare.",
        "schema": {"type": "string", "pattern": f"^(?:{_QUOTED_KEY}|{_BARE_KEY})$"},
        "example": "order-4711-v1",
    },
    "Prefer": {
        "name": "Prefer",
        "in": "header",
        "description": "RFC 7240: respond-async, wait=SECONDS. Together, on a route that is synchronous by default: "
        "wait so long, and then answer 202. What is not understood is ignored.",
        "schema": {"type": "string"},
        "example": "respond-async, wait=5",
    },
    "X-Request-ID": {
        "name": "X-Request-ID",
        "in": "header",
        "description": "The caller's own name for the request; up to 128 letters, digits and signs come back.",
        "schema": {"type": "string"},
    },
}

CORRELATION_ID: Node = {"type": "string", "format": "uuid"}
MOMENT: Node = {"type": "string", "format": "date-time"}
_ATTRIBUTE = r"^[^\u0000-\u001f\u007f-\u009f]+$"
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
        "required": [
            *("correlation_id", "route", "pattern", "status", "received_at", "completed_at", "attempts"),
            *("response", "error"),
        ],
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
                "required": ["status_code", "content_type", "body"],
                "properties": {
                    "status_code": {"type": "integer"},
                    "content_type": {"type": ["string", "null"]},
                    "body": {},
                    "body_encoding": {"const": "base64"},
                },
            },
            "error": {
                "type": ["object", "null"],
                "required": ["type", "title", "detail"],
                "properties": {name: {"type": "string"} for name in ("type", "title", "detail")},
            },
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
            "destination_status": {"type": ["integer", "null"]},
            "errors": {"type": "array", "items": {"type": "object"}},
        },
    },
    "ProblemType": {
        "type": "object",
        "required": ["type", "title", "status", "meaning", "remedy", "again"],
        "properties": {
            **{name: {"type": "string"} for name in ("type", "title", "meaning", "remedy")},
            "status": {"type": "integer"},
            "again": {"type": "boolean", "description": "Whether the same request may succeed later, unchanged."},
        },
    },
    "CloudEvent": {
        "type": "object",
        "description": "CloudEvents 1.0 in structured mode; data or data_base64, not both.",
        "required": ["specversion", "id", "source", "type"],
        "properties": {
            "specversion": {"const": "1.0"},
            "id": {"type": "string", "maxLength": 2000, "pattern": _ATTRIBUTE},
            "source": {"type": "string", "maxLength": 2000, "pattern": r"^[^\s\u0000-\u001f\u007f-\u009f]+$"},
            "type": {"type": "string", "maxLength": 2000, "pattern": _ATTRIBUTE},
        },
        "not": {"required": ["data", "data_base64"]},
    },
    "Challenge": {"type": "object", "required": ["challenge"], "properties": {"challenge": {"type": "string"}}},
    "Health": {"type": "object", "required": ["status"], "properties": {"status": {"const": "ok"}}},
}
_HEALTHY: Node = {
    "description": "It does.",
    "headers": headers(),
    "content": {formats.JSON: {"schema": ref("Health")}},
}


def _get(operation: str, summary: str, tag: str, answers: Node, **more: Any) -> Node:
    return {"get": {"operationId": operation, "summary": summary, "tags": [tag], "responses": answers, **more}}


FIXED_PATHS: Node = {
    "/results/{correlation_id}": _get(
        "result",
        "What became of a message",
        "results",
        {
            "200": {
                "description": "The result; Retry-After while the message is open.",
                "headers": headers("ETag", "Retry-After", "X-Correlation-ID"),
                "content": {formats.JSON: {"schema": ref("Result")}},
            },
            "304": {
                "description": "It is what the caller knows.",
                "headers": headers("ETag", "Retry-After", "X-Correlation-ID"),
            },
            **problems(
                ("malformed-request", "authentication-failed", "not-found", "method-not-allowed", "gone", "unavailable")
            ),
        },
        parameters=[
            {"name": "correlation_id", "in": "path", "required": True, "schema": CORRELATION_ID, "example": EXAMPLE_ID},
            {
                "name": "wait",
                "in": "query",
                "description": "Seconds to hold the answer until the message is final. More than 30 count as 30.",
                "schema": {"type": "number", "minimum": 0, "maximum": 999_999_999, "multipleOf": 0.001},
                "example": 10,
            },
            {"name": "If-None-Match", "in": "header", "schema": {"type": "string"}},
            ref("X-Request-ID", "parameters"),
        ],
        security=[{BEARER: []}, {API_KEY: []}, {BASIC: []}],
    ),
    "/problems/{slug}": _get(
        "problem_type",
        "What a type of problem means and what to do",
        "problems",
        {
            "200": {
                "description": "As JSON, or as a page for people who ask for HTML.",
                "headers": headers("ETag"),
                "content": {formats.JSON: {"schema": ref("ProblemType")}, "text/html": {"schema": {"type": "string"}}},
            },
            **problems(("malformed-request", "not-found", "method-not-allowed")),
        },
        parameters=[{"name": "slug", "in": "path", "required": True, "schema": {"enum": list(TYPES)}}],
        security=[],
    ),
    "/health/live": _get(
        "live",
        "Whether the process answers",
        "health",
        {"200": _HEALTHY, **problems(("malformed-request", "method-not-allowed"))},
        security=[],
    ),
    "/health/ready": _get(
        "ready",
        "Whether messages are accepted and will be worked",
        "health",
        {"200": _HEALTHY, **problems(("malformed-request", "method-not-allowed", "unavailable"))},
        security=[],
    ),
}
