"""What the source is told: the documents of sections 4 and 5 of the contract."""

import hashlib
from datetime import UTC, datetime
from typing import Any

from connectors import formats
from messages.choices import FINAL_STATUSES
from messages.models import Message, Result


def moment(value: datetime | None) -> str | None:
    """RFC 3339 in UTC with milliseconds."""
    if value is None:
        return None
    return value.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.") + f"{value.microsecond // 1000:03d}Z"


def result_document(message: Message, route_slug: str, standing: str) -> dict[str, Any]:
    """`message` with its result loaded, if it has one."""
    result: Result | None = getattr(message, "result", None) if standing in FINAL_STATUSES else None
    return {
        "correlation_id": str(message.correlation_id),
        "route": route_slug,
        "pattern": message.pattern,
        "status": str(standing),
        "received_at": moment(message.received_at),
        "completed_at": moment(message.completed_at),
        "attempts": message.attempts,
        "response": _response(result),
        "error": result.error if result is not None else None,
    }


def _response(result: Result | None) -> dict[str, Any] | None:
    if result is None or result.status_code is None:
        return None
    value, encoding = formats.reply_value(bytes(result.body or b""), result.content_type)
    response = {"status_code": result.status_code, "content_type": result.content_type or None, "body": value}
    if encoding:
        response["body_encoding"] = encoding
    return response


def accepted_document(message: Message, route_slug: str, *, status: str, result_url: str) -> dict[str, Any]:
    return {
        "correlation_id": str(message.correlation_id),
        "route": route_slug,
        "status": status,
        "result_url": result_url,
    }


def etag(document: bytes) -> str:
    return f'"{hashlib.sha256(document).hexdigest()[:32]}"'
