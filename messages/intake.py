"""Accepts a payload: check, deduplicate, give it its lane and position, commit. Only then anything is answered."""

import hashlib
import os
import time
from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any
from uuid import UUID

from django.db import IntegrityError
from django.utils import timezone

from connectors import formats
from connectors.catalogue import RoutePlan
from connectors.choices import Ordering, Pattern
from connectors.expressions import ExpressionFailed
from connectors.models import Revision
from connectors.paths import MISSING
from connectors.readers import Reader
from messages import accepting, cloud_events, limits, sparing
from messages.accepting import Taking
from messages.claims import Claim, Work, work_of
from messages.database import lease_clock, write
from messages.exceptions import ConfigurationChanged, LaneUnavailable, Refused
from messages.models import Message
from messages.repeats import look_again, repeats

MAX_KEY = 255
MAX_LANE_KEY = 255
MAX_SEARCH_VALUE = 200
MAX_SEARCH_VALUES = 20  # of one key, where its path names a list


@dataclass(frozen=True, slots=True)
class Incoming:
    """A request as it came in: everything but who sent it."""

    pattern: str
    body: bytes
    content_type: str
    headers: Mapping[str, str]
    idempotency_key: str | None
    """From a header; without one a CloudEvent's source and id, then the route's own expression."""


@dataclass(frozen=True, slots=True)
class Accepted:
    """A committed message; `replayed` if it was there before. `claim` is set when its lane was taken at once."""

    message: Message
    replayed: bool = False
    claim: Claim | None = None
    work: Work | None = None


def accept(
    plan: RoutePlan,
    incoming: Incoming,
    *,
    taking: Taking | None = None,
    revision: int | None = None,
    resubmission_of: int | None = None,
    standing: LaneUnavailable | None = None,
) -> Accepted:
    """Commits one message, or finds the one that it repeats.

    With `taking` (synchronous callers) an idle lane is claimed in the same transaction, and a lane that stands still
    raises LaneUnavailable; so does `standing`, which the caller knows of. Raises Refused for a payload that the route
    does not take, and ConfigurationChanged if `revision` is given and is not that of the configuration any more.
    """
    value, key = _read_payload(plan, incoming, named=resubmission_of is None)
    message = _message(plan, incoming, key)
    message.resubmission_of_id = resubmission_of
    if key is not None and (first := _remembered(plan, key, bytes(message.body_digest), revision)) is not None:
        return Accepted(first, replayed=True)
    lane_key = _lane_key(plan, value, message.correlation_id)
    try:
        if standing is not None:  # a repeat is answered all the same, by the newest configuration
            if revision is not None and Revision.current() != revision:
                raise ConfigurationChanged
            raise standing
        accepted = _placed(plan, message, lane_key, _search_keys(plan, value), taking=taking, revision=revision)
    except (IntegrityError, LaneUnavailable):
        # Repeats are rare, so nobody asks for them first: the unique key finds them, and nothing has been stored then.
        # A repeat on a lane that stands still gets its answer all the same.
        first = None if key is None else _find(plan, key)
        if first is None:
            raise
        repeats.note(first)
        return _repeat(first, bytes(message.body_digest))
    repeats.note(message)
    return accepted


def _remembered(plan: RoutePlan, key: str, digest: bytes, revision: int | None) -> Message | None:
    """The message that has the key, where this process has seen it lately: one query, and none for a mismatch."""
    remembered = repeats.first_of(plan.id, key)
    if remembered is None:
        return None
    if remembered.body_digest != digest:
        raise _mismatch(remembered.correlation_id)
    found, current = look_again(plan.id, key, remembered)
    if found is not None and revision is not None and current != revision:
        raise ConfigurationChanged
    return found


def lane_key(plan: RoutePlan, incoming: Incoming) -> str:
    """The key of the lane that a payload would go to, of one that nobody else has where none orders it."""
    value, _ = _read_payload(plan, incoming, named=False)
    return _lane_key(plan, value, uuid7())


def _placed(
    plan: RoutePlan,
    message: Message,
    lane_key: str,
    search_keys: list[tuple[str, str]],
    *,
    taking: Taking | None,
    revision: int | None,
) -> Accepted:
    before = lease_clock()
    if taking is None:
        accepting.accept(message, lane_key, search_keys, revision=revision)
        return Accepted(message)
    with write() if plan.endpoint.limits else nullcontext():  # lane and permit are one transaction
        # whoever finds no room leaves the message to the workers, in its turn
        taking = replace(taking, if_idle=limits.room(plan.endpoint, 1) > 0)
        place = accepting.accept(message, lane_key, search_keys, taking=taking, revision=revision)
        if place.token is None:
            return Accepted(message)
        claim = Claim(place.lane_id, plan.id, place.token, place.position - 1, before + taking.lease_seconds)
        sparing.grant(plan.endpoint, [claim], before=before)
    return Accepted(message, claim=claim, work=work_of(message))


def _message(plan: RoutePlan, incoming: Incoming, key: str | None) -> Message:
    return Message(
        correlation_id=uuid7(),
        route_id=plan.id,
        pattern=incoming.pattern,
        retryable=incoming.pattern == Pattern.ASYNC,
        body=incoming.body,
        body_digest=hashlib.sha256(incoming.body).digest(),
        content_type=incoming.content_type[:255],
        headers=dict(incoming.headers) or None,
        idempotency_key=key,
        received_at=timezone.now(),
    )


def _read_payload(plan: RoutePlan, incoming: Incoming, *, named: bool = True) -> tuple[Any, str | None]:
    """The value of a payload that the route takes, and the idempotency key. Without `named` it has none."""
    value = None if cloud_events.has_no_data(incoming.body, incoming.headers) else _parse(plan, incoming)
    event_key = cloud_events.key_of(incoming.content_type, incoming.headers, value)
    _check_schema(plan, value)
    if not named:
        return value, None
    return value, incoming.idempotency_key or _shortened_key(event_key) or _idempotency_key(plan, value)


def _parse(plan: RoutePlan, incoming: Incoming) -> Any:
    try:
        return formats.read(incoming.body, incoming.content_type, force_list=plan.force_list)
    except formats.MalformedBody as error:
        raise Refused("malformed-body", str(error)) from None
    except formats.UnknownFormat as error:
        raise Refused("unsupported-media-type", str(error)) from None


def _check_schema(plan: RoutePlan, value: Any) -> None:
    if plan.schema is not None and (errors := plan.schema.errors(value)):
        listed = [{"path": error.path, "message": error.message} for error in errors]
        raise Refused("invalid-payload", "The payload does not fit the route's schema.", listed)


def _find(plan: RoutePlan, key: str) -> Message | None:
    return Message.objects.filter(route=plan.id, idempotency_key=key).select_related("lane").defer("body").first()


def _repeat(first: Message, digest: bytes) -> Accepted:
    if bytes(first.body_digest) != digest:
        raise _mismatch(first.correlation_id)
    return Accepted(first, replayed=True)


def _mismatch(first: UUID) -> Refused:
    detail = "This idempotency key came with another body before."
    return Refused("idempotency-mismatch", detail, correlation_id=str(first))


def _lane_key(plan: RoutePlan, value: Any, correlation_id: UUID) -> str:
    if plan.ordering == Ordering.NONE:
        return str(correlation_id)
    if plan.ordering_key is None:
        return ""
    text = _scalar(_read(plan.ordering_key, value, "ordering_key"))
    if text is None:
        message = "The ordering key is missing, or it is not a text or a number."
        raise Refused("invalid-payload", message, [{"path": "ordering_key", "message": message}])
    return text if len(text) <= MAX_LANE_KEY else _shortened(text)


def _shortened(text: str) -> str:
    """A long ordering key stays one lane: its beginning for people, its digest for the difference."""
    return f"{text[: MAX_LANE_KEY - 65]}#{hashlib.sha256(text.encode()).hexdigest()}"


def _idempotency_key(plan: RoutePlan, value: Any) -> str | None:
    if plan.idempotency_key is None:
        return None
    return _shortened_key(_scalar(_read(plan.idempotency_key, value, "idempotency_key")))


def _shortened_key(key: str | None) -> str | None:
    return key if key is None or len(key) <= MAX_KEY else _shortened(key)


def _search_keys(plan: RoutePlan, value: Any) -> list[tuple[str, str]]:
    """What is there; a search key that cannot be read refuses nothing."""
    keys: list[tuple[str, str]] = []
    for name, reader in plan.search_keys:
        try:
            found = reader(value)
        except ExpressionFailed:
            continue
        several = found if isinstance(found, list) else [found]
        texts = [text for item in several[:MAX_SEARCH_VALUES] if (text := _scalar(item)) is not None]
        keys += [(name, text[:MAX_SEARCH_VALUE]) for text in dict.fromkeys(texts)]
    return keys


def _read(reader: Reader, value: Any, name: str) -> Any:
    try:
        return reader(value)
    except ExpressionFailed as error:
        message = f"The route's {name.replace('_', ' ')} cannot be read: {error}"
        raise Refused("invalid-payload", message, [{"path": name, "message": message}]) from None


def _scalar(value: Any) -> str | None:
    """A text or number as the text that identifies it; None for anything else, and for texts that cannot be stored."""
    if value is MISSING or value is None or isinstance(value, dict | list):
        return None
    if isinstance(value, str):
        return value if value and "\0" not in value else None
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, Decimal | float):
        return formats.dump(value).decode()
    return str(value)


def uuid7() -> UUID:
    """RFC 9562, version 7: milliseconds first, so that new correlation ids stay together in the index."""
    number = (time.time_ns() // 1_000_000) << 80 | int.from_bytes(os.urandom(10))
    number = number & ~(0xF << 76) | 0x7 << 76
    return UUID(int=number & ~(0x3 << 62) | 0x2 << 62)
