"""Fills a test database with messages that look as if they had been worked: for trying pages and measuring them.

Nothing of it goes through the door or the queue, and nothing of it is ever sent: its endpoints are paused. The rows fit
together as after a real story: positions are dense, heads stand where their lanes say, blocked lanes have a dead head.
"""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from hashlib import sha256
from random import Random
from typing import Any
from uuid import UUID, uuid4

from django.core.management.color import no_style
from django.db import connection
from django.db.models import Max, Model

from connectors import formats
from connectors.models import Application, Endpoint, Mapping, MappingVersion, Route
from messages import counting
from messages.choices import Hold, OutcomeKind, Status
from messages.database import write
from messages.models import Attempt, Lane, Message, Result, SearchKey

PREFIX = "fill-"
OURS = (PREFIX, "demo-")
ROUTES = 8
PER_LANE = 50
"""Messages of a lane, more or less."""
WAITING = 3
"""Messages that wait in each lane in trouble."""
SPAN = timedelta(days=20)
AT_ONCE = 5_000
FAILURES = (
    (OutcomeKind.REFUSED, 422, "destination-refused", "The destination refused the message with 422."),
    (OutcomeKind.FAILED, 503, "destination-failed", "The destination answered 503."),
    (OutcomeKind.UNKNOWN, None, "destination-failed", "No answer within 10 s. It may have arrived all the same."),
    (OutcomeKind.MAPPING_FAILED, None, "mapping-failed", "lines[0].quantity: 'many' is not a number."),
)
TROUBLES = {0: Status.DEAD, 1: Status.RETRYING, 2: Status.QUEUED}
"""How the head of a lane stands, for three lanes of each hundred; all others are idle."""


class HoldsRealData(Exception):
    """This database has a configuration of its own."""


def fill(
    count: int,
    *,
    now: datetime,
    seed: int = 7,
    into_real_data: bool = False,
    span: timedelta = SPAN,
    per_lane: int = PER_LANE,
) -> Iterator[int]:
    """Makes `count` messages of the `span` before `now`, with all that belongs to them; yields how many there are yet.

    Raises HoldsRealData where routes or applications are configured that are not of the demo, or of an earlier filling.
    """
    foreign = Application.objects.all()
    for prefix in OURS:
        foreign = foreign.exclude(slug__startswith=prefix)
    if foreign.exists() and not into_real_data:
        raise HoldsRealData(f"{foreign.first()} is configured here: this is no test database.")
    routes = _routes()
    plan = _Plan.of(count, routes, now, span, per_lane)
    tables = [_Table(model) for model in (Message, Attempt, Result, SearchKey)]
    chance = Random(seed)  # noqa: S311 - nobody is to be surprised by it
    for start in range(0, count, AT_ONCE):
        made = [_message(plan, number, chance) for number in range(start, min(start + AT_ONCE, count))]
        with write():
            for table in tables:
                table.insert([row for rows in made for row in rows.get(table.model, ())])
        yield start + len(made)
    with write():
        _finish_lanes(plan)
        for table in tables:
            table.reset_keys()
    counting.count_closed(now + 2 * counting.MINUTE)
    if connection.vendor == "postgresql":
        _gather_statistics()


def _gather_statistics() -> None:
    """As PostgreSQL does by itself, many times over while so many messages arrive: it plans by them."""
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE")


# --- what it is filled into ------------------------------------------------------------------------------------------


def _routes() -> list[Route]:
    """A shop with ROUTES routes to a paused endpoint each, one in two with a mapping; those of an earlier filling."""
    shop, _ = Application.objects.get_or_create(slug=f"{PREFIX}shop", defaults={"name": "Filled shop"})
    erp, _ = Application.objects.get_or_create(slug=f"{PREFIX}erp", defaults={"name": "Filled ERP"})
    mapping, _ = Mapping.objects.get_or_create(slug=f"{PREFIX}orders")
    if not mapping.versions.exists():
        rows = [{"target": "order_no", "source": "id"}, {"target": "lines", "source": "items"}]
        MappingVersion.objects.create(mapping=mapping, number=1, definition={"fields": rows})
    routes = []
    for number in range(ROUTES):
        endpoint, _ = Endpoint.objects.get_or_create(
            slug=f"{PREFIX}erp-{number}",
            defaults={"application": erp, "url": "https://erp.example/orders", "paused": True},
        )
        route, _ = Route.objects.get_or_create(
            slug=f"{PREFIX}orders-{number}",
            defaults={
                "source": shop,
                "endpoint": endpoint,
                "mapping": mapping if number % 2 else None,
                "name": f"Filled orders {number}",
            },
        )
        routes.append(route)
    return routes


@dataclass(frozen=True, slots=True)
class _Plan:
    """Which message stands where: message n is in lane n modulo the number of lanes, at the next position."""

    count: int
    lanes: list[Lane]
    begin: datetime
    end: datetime
    first_key: int
    versions: dict[int, int | None]

    @classmethod
    def of(cls, count: int, routes: list[Route], now: datetime, span: timedelta, per_lane: int) -> "_Plan":
        number = max(1, count // per_lane)
        run = Lane.objects.count()
        names = [f"{run}-{place}" for place in range(number)]
        made = [Lane(route=routes[place % len(routes)], key=name) for place, name in enumerate(names)]
        with write():
            lanes = Lane.objects.bulk_create(made, batch_size=1_000)
        newest = MappingVersion.objects.filter(mapping__slug=f"{PREFIX}orders").order_by("-number").first()
        versions = {route.pk: newest.pk if newest and route.mapping_id else None for route in routes}
        first_key = (Message.objects.aggregate(Max("pk"))["pk__max"] or 0) + 1
        return cls(count, lanes, now - span, now, first_key, versions)

    def place(self, number: int) -> tuple[Lane, int, int]:
        """Its lane, its position, and how many come behind it there."""
        lane, position = number % len(self.lanes), number // len(self.lanes) + 1
        size = (self.count - lane - 1) // len(self.lanes) + 1
        return self.lanes[lane], position, size - position

    def trouble(self, lane: Lane) -> Status | None:
        return TROUBLES.get(int(lane.key.rpartition("-")[2]) % 100)


def _finish_lanes(plan: _Plan) -> None:
    """Positions, due times and holds, as the messages say."""
    for place, lane in enumerate(plan.lanes):
        size = (plan.count - place - 1) // len(plan.lanes) + 1 if place < plan.count else 0
        trouble = plan.trouble(lane)
        open_ones = min(WAITING, size) if trouble else 0
        lane.last_position, lane.done_position = size, size - open_ones
        lane.hold = Hold.BLOCKED if trouble == Status.DEAD and open_ones else Hold.NONE
        ready = plan.end + (timedelta(minutes=10) if trouble == Status.RETRYING else timedelta())
        lane.due_at = ready if open_ones and not lane.hold else None
    Lane.objects.bulk_update(plan.lanes, ["last_position", "done_position", "hold", "due_at"], batch_size=500)


# --- messages --------------------------------------------------------------------------------------------------------

Rows = dict[type[Model], list[dict[str, Any]]]


def _message(plan: _Plan, number: int, chance: Random) -> Rows:
    lane, position, behind = plan.place(number)
    status = _status(plan.trouble(lane), behind, chance)
    received = plan.begin + (plan.end - plan.begin) / plan.count * number
    took = timedelta(seconds=min(chance.lognormvariate(-1.5, 1.2), 3_600))
    body = _body(number, chance)
    key, version = plan.first_key + number, plan.versions[lane.route_id]
    attempts = {Status.QUEUED: 0, Status.CANCELLED: 0, Status.RETRYING: 2, Status.DEAD: 3}.get(status, 1)
    is_final = status not in (Status.QUEUED, Status.RETRYING)
    failure = None if status == Status.SUCCEEDED else FAILURES[number % len(FAILURES)]
    row = {
        "id": key,
        "correlation_id": _correlation_id(received, number),
        "route_id": lane.route_id,
        "lane_id": lane.pk,
        "position": position,
        "pattern": "async",
        "status": str(status),
        "attempts": attempts,
        "body": body,
        "body_digest": sha256(body).digest(),
        "content_type": formats.JSON,
        "headers": {"User-Agent": "filled/1.0"},
        "idempotency_key": f"{lane.key}-{position}",
        "mapping_version_id": version if attempts else None,
        "received_at": received,
        "completed_at": received + took if is_final else None,
    }
    tries = [_attempt(key, one, attempts, failure, received, took, body, version) for one in range(1, attempts + 1)]
    keys = [
        {"message_id": key, "name": "order", "value": f"9{number:07d}"},
        {"message_id": key, "name": "customer", "value": lane.key},
    ]
    result = [_result(key, status, failure, received + took)] if is_final else []
    return {Message: [row], Attempt: tries, Result: result, SearchKey: keys}


def _status(trouble: Status | None, behind: int, chance: Random) -> Status:
    """What waits at the end of a lane in trouble waits; of the others a few failed or were cancelled."""
    if trouble is not None and behind < WAITING:
        return trouble if behind == WAITING - 1 else Status.QUEUED
    draw = chance.random()
    if draw < 0.02:
        return Status.FAILED
    return Status.CANCELLED if draw < 0.025 else Status.SUCCEEDED


def _correlation_id(received: datetime, number: int) -> UUID:
    """Version 7 (RFC 9562): milliseconds first. Another one each time: the same messages may be made twice."""
    milliseconds = int(received.timestamp() * 1000)
    return UUID(int=milliseconds << 80 | 7 << 76 | (number & 0xFFF) << 64 | 2 << 62 | uuid4().int & (1 << 62) - 1)


def _body(number: int, chance: Random) -> bytes:
    """Orders of different sizes; one in a thousand is long."""
    lines = 200 if number % 1_000 == 0 else 1 + number % 7
    order = {
        "id": f"9{number:07d}",
        "customer": {"id": number % 977, "name": f"Zoë 李 {number % 977}", "country": "Norway"},
        "items": [{"sku": f"TEA-{line}", "quantity": 1 + line % 3, "price": "19.90"} for line in range(lines)],
        "note": "x" * chance.randrange(20, 300),
    }
    return json.dumps(order, ensure_ascii=False, separators=(",", ":")).encode()


def _attempt(
    message: int,
    number: int,
    last: int,
    failure: tuple[Any, ...] | None,
    received: datetime,
    took: timedelta,
    body: bytes,
    version: int | None,
) -> dict[str, Any]:
    outcome, status_code, _, detail = failure or (OutcomeKind.SUCCEEDED, 201, "", "")
    is_sent = outcome != OutcomeKind.MAPPING_FAILED
    kind = [["Content-Type", formats.JSON]]
    return {
        "message_id": message,
        "number": number,
        "token": 1,
        "outcome": str(outcome),
        "detail": detail,
        "started_at": received + took * (number / (last + 1)),
        "duration_ms": round(took.total_seconds() * 100, 3),
        "method": "POST" if is_sent else "",
        "url": "https://erp.example/orders" if is_sent else "",
        "request_headers": kind if is_sent else None,
        "request_body": b'{"order_no":' + body[6:] if is_sent and version is not None else None,
        "status_code": status_code,
        "response_headers": kind if status_code else None,
        "response_body": b'{"state":"booked"}' if status_code == 201 else b'{"error":"no"}' if status_code else None,
    }


def _result(message: int, status: Status, failure: tuple[Any, ...] | None, when: datetime) -> dict[str, Any]:
    row: dict[str, Any] = {"message_id": message, "created_at": when}
    if failure is None:
        return {**row, "status_code": 201, "content_type": formats.JSON, "body": b'{"state":"booked"}', "error": None}
    _, status_code, slug, detail = failure
    if status == Status.CANCELLED:
        status_code, slug, detail = None, "cancelled", "Ordered twice."
    error = {"type": f"/problems/{slug}", "title": slug.replace("-", " ").capitalize(), "detail": detail}
    return {**row, "status_code": status_code, "content_type": "", "body": None, "error": error}


# --- tables ----------------------------------------------------------------------------------------------------------


class _Table:
    """Rows of one model, the quickest way that the database has; what is not given has its default."""

    def __init__(self, model: type[Model]) -> None:
        self.model = model
        self._prepared: dict[str, Any] = {}

    def insert(self, rows: Sequence[dict[str, Any]]) -> None:
        if not rows:
            return
        known = self.model._meta.concrete_fields
        fields = [field for field in known if field.attname in rows[0] or not field.primary_key]
        defaults = {field.attname: field.get_default() for field in fields if field.attname not in rows[0]}
        values = [
            [self._value(field, row.get(field.attname, defaults.get(field.attname))) for field in fields]
            for row in rows
        ]
        quote = connection.ops.quote_name
        names = ", ".join(quote(str(field.column)) for field in fields)
        table = quote(self.model._meta.db_table)
        with connection.cursor() as cursor:
            if connection.vendor == "postgresql":
                with cursor.copy(f"COPY {table} ({names}) FROM STDIN") as copy:
                    for one in values:
                        copy.write_row(one)
            else:
                places = ", ".join(["%s"] * len(fields))
                cursor.executemany(f"INSERT INTO {table} ({names}) VALUES ({places})", values)  # noqa: S608

    def _value(self, field: Any, value: Any) -> Any:
        """As the database takes it; JSON, which repeats itself, is written once."""
        if value is None or isinstance(value, bytes | int | float | str):
            return value
        if isinstance(value, dict | list):
            name = f"{field.attname}{value}"
            if name not in self._prepared:
                self._prepared[name] = field.get_db_prep_save(value, connection)
            return self._prepared[name]
        if connection.vendor == "postgresql":
            return value
        return value.hex if isinstance(value, UUID) else str(value.replace(tzinfo=None))

    def reset_keys(self) -> None:
        """New rows get keys behind those that were given here."""
        statements = connection.ops.sequence_reset_sql(no_style(), [self.model])
        with connection.cursor() as cursor:
            for statement in statements:
                cursor.execute(statement)
