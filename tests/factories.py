"""Rows for tests: one factory a table, a trait for each state that a row can be in.

The states of lanes and messages fit together, as they do after a real story: `MessageFactory(dead=True)` stands at the
head of a blocked lane, and a further `MessageFactory(lane=…)` queues up behind it.
"""

from datetime import timedelta
from typing import Any

import factory
from django.contrib.auth.models import User
from django.utils import timezone
from factory.django import DjangoModelFactory

from connectors import formats, models
from connectors.choices import EndpointAuth, OnFailure, Ordering, Pattern, Patterns, Scheme
from connectors.keys import hash_key
from messages.choices import FINAL_STATUSES, BulkState, BulkVerb, CircuitState, Hold, ItemState, OutcomeKind, Status
from messages.intake import uuid7
from messages.models import (
    Allowance,
    Attempt,
    Bulk,
    BulkItem,
    Circuit,
    HourlyCount,
    Lane,
    Message,
    Rejection,
    Result,
    SavedView,
    SearchKey,
    Worker,
)

now = factory.LazyFunction(timezone.now)


def ahead(seconds: float) -> Any:
    return factory.LazyFunction(lambda: timezone.now() + timedelta(seconds=seconds))


class ApplicationFactory(DjangoModelFactory):
    class Meta:
        model = models.Application

    slug = factory.Sequence(lambda number: f"application-{number}")


class CredentialFactory(DjangoModelFactory):
    """An API key `plain`; a password with `basic`, a signing secret with `github`."""

    class Meta:
        model = models.Credential

    class Params:
        plain = "the-secret"
        basic = factory.Trait(
            scheme=Scheme.BASIC, username="shop", secret=factory.SelfAttribute("plain"), secret_hash=""
        )
        api_key = factory.Trait(scheme=Scheme.API_KEY)
        github = factory.Trait(scheme=Scheme.GITHUB, secret=factory.SelfAttribute("plain"), secret_hash="")
        disabled = factory.Trait(enabled=False)
        expired = factory.Trait(expires_at=ahead(-1))
        revoked = factory.Trait(revoked_at=now)
        without_secret = factory.Trait(secret="", secret_hash="")

    application = factory.SubFactory(ApplicationFactory)
    name = factory.Sequence(lambda number: f"credential-{number}")
    secret_hash = factory.LazyAttribute(lambda row: hash_key(str(row.plain)))


class EndpointFactory(DjangoModelFactory):
    class Meta:
        model = models.Endpoint

    class Params:
        bearer = factory.Trait(
            auth_scheme=EndpointAuth.BEARER, auth_secrets=formats.dump({"token": "canary-token"}).decode()
        )
        api_key = factory.Trait(
            auth_scheme=EndpointAuth.API_KEY,
            auth_parameters={"header": "X-Tenant-Code"},
            auth_secrets=formats.dump({"key": "canary-key"}).decode(),
        )

    slug = factory.Sequence(lambda number: f"endpoint-{number}")
    application = factory.SubFactory(ApplicationFactory)
    url = "http://127.0.0.1:9/orders"  # the discard port: nobody listens there
    timeout_seconds = 2


class AllowanceFactory(DjangoModelFactory):
    class Meta:
        model = Allowance

    class Params:
        full = factory.Trait(full_until=ahead(30))

    endpoint = factory.SubFactory(EndpointFactory)


class CircuitFactory(DjangoModelFactory):
    class Meta:
        model = Circuit

    class Params:
        open = factory.Trait(state=CircuitState.OPEN, since=now, retry_at=ahead(30), reason="20 of 30 calls failed")
        ready = factory.Trait(state=CircuitState.OPEN, since=ahead(-30), retry_at=ahead(-1))
        half_open = factory.Trait(state=CircuitState.HALF_OPEN, since=ahead(-30), retry_at=ahead(30), probe=1)

    endpoint = factory.SubFactory(EndpointFactory)


class LookupTableFactory(DjangoModelFactory):
    class Meta:
        model = models.LookupTable

    slug = factory.Sequence(lambda number: f"table-{number}")
    entries = factory.LazyFunction(lambda: {"Germany": "DE"})


class MappingFactory(DjangoModelFactory):
    class Meta:
        model = models.Mapping

    slug = factory.Sequence(lambda number: f"mapping-{number}")


class FieldRowFactory(DjangoModelFactory):
    class Meta:
        model = models.FieldRow

    mapping = factory.SubFactory(MappingFactory)
    position = factory.Sequence(int)
    target = factory.Sequence(lambda number: f"target{number}")
    source = "id"


class MappingVersionFactory(DjangoModelFactory):
    """What runs: one row that copies `id`, unless told otherwise."""

    class Meta:
        model = models.MappingVersion

    mapping = factory.SubFactory(MappingFactory)
    number = factory.Sequence(lambda number: number + 1)
    definition = factory.LazyFunction(lambda: {"fields": [{"target": "no", "source": "id"}]})


class RouteFactory(DjangoModelFactory):
    class Meta:
        model = models.Route

    class Params:
        keyed = factory.Trait(ordering=Ordering.KEY, ordering_key="lane")
        skipping = factory.Trait(on_failure=OnFailure.SKIP)
        disabled = factory.Trait(enabled=False)

    slug = factory.Sequence(lambda number: f"route-{number}")
    source = factory.SubFactory(ApplicationFactory)
    endpoint = factory.SubFactory(EndpointFactory)
    patterns = Patterns.ASYNC_SYNC


class LaneFactory(DjangoModelFactory):
    """An idle lane, until `MessageFactory` fills it."""

    class Meta:
        model = Lane

    class Params:
        leased = factory.Trait(lease_until=ahead(30), token=1, strikes=1, owner="host:1")
        backing_off = factory.Trait(due_at=ahead(60), token=1)
        paused = factory.Trait(hold=Hold.PAUSED)
        blocked = factory.Trait(hold=Hold.BLOCKED, token=1)

    route = factory.SubFactory(RouteFactory)
    key = factory.Sequence(lambda number: f"lane-{number}")


class ResultFactory(DjangoModelFactory):
    """The destination's confirmation; `refused` and `mapping_failed` are what a failed message tells."""

    class Meta:
        model = Result

    class Params:
        refused = factory.Trait(
            status_code=422,
            body=b'{"reason":"unknown customer"}',
            error={
                "type": "/problems/destination-refused",
                "title": "The destination refused the message",
                "detail": "The destination refused the message with 422.",
            },
        )
        mapping_failed = factory.Trait(
            status_code=None,
            content_type="",
            body=None,
            error={
                "type": "/problems/mapping-failed",
                "title": "The mapping failed",
                "detail": "The mapping could not make the outgoing message.",
                "errors": [{"target": "no", "source": "id", "message": "It is missing."}],
            },
        )

    message = factory.SubFactory("tests.factories.MessageFactory")
    status_code = 201
    content_type = formats.JSON
    body = b'{"invoice":"INV-7","total":19.90}'
    created_at = now


class MessageFactory(DjangoModelFactory):
    """A queued message at the end of its lane."""

    class Meta:
        model = Message
        skip_postgeneration_save = True

    class Params:
        sync = factory.Trait(pattern=Pattern.SYNC, retryable=False)
        processing = factory.Trait(lane__leased=True)
        retrying = factory.Trait(status=Status.RETRYING, attempts=1, lane__backing_off=True)
        succeeded = factory.Trait(
            status=Status.SUCCEEDED, attempts=1, completed_at=now, told=factory.RelatedFactory(ResultFactory, "message")
        )
        failed = factory.Trait(
            status=Status.FAILED,
            attempts=1,
            completed_at=now,
            told=factory.RelatedFactory(ResultFactory, "message", refused=True),
        )
        dead = factory.Trait(
            status=Status.DEAD,
            attempts=8,
            completed_at=now,
            lane__blocked=True,
            told=factory.RelatedFactory(ResultFactory, "message", refused=True),
        )
        cancelled = factory.Trait(status=Status.CANCELLED, completed_at=now)
        purged = factory.Trait(
            status=Status.SUCCEEDED, attempts=1, completed_at=now, purged_at=now, body=b"", headers=None
        )

    correlation_id = factory.LazyFunction(uuid7)
    lane = factory.SubFactory(LaneFactory)
    route = factory.SelfAttribute("lane.route")
    pattern = Pattern.ASYNC
    status = Status.QUEUED
    body = b'{"id":4711}'
    body_digest = b"\0" * 32
    content_type = formats.JSON
    received_at = now

    @classmethod
    def _create(cls, model_class: type[Message], *args: Any, **fields: Any) -> Message:
        """Takes the lane's next position. A final message is done, unless it is the dead head of a blocked lane."""
        lane: Lane = fields["lane"]
        done = fields["status"] in FINAL_STATUSES and lane.hold != Hold.BLOCKED
        lane.last_position += 1
        lane.done_position += int(done)
        if lane.depth and not lane.hold and lane.due_at is None:
            lane.due_at = timezone.now()
        lane.save()
        message: Message = super()._create(model_class, *args, position=lane.last_position, **fields)
        return message


class AttemptFactory(DjangoModelFactory):
    class Meta:
        model = Attempt

    class Params:
        refused = factory.Trait(outcome=OutcomeKind.REFUSED, status_code=422)
        unsent = factory.Trait(outcome=OutcomeKind.MAPPING_FAILED, status_code=None, method="", url="")

    message = factory.SubFactory(MessageFactory, succeeded=True)
    number = 1
    token = 1
    outcome = OutcomeKind.SUCCEEDED
    started_at = now
    duration_ms = 12.5
    method = "POST"
    url = "http://127.0.0.1:9/orders"
    request_body = b'{"no":4711}'
    request_headers = factory.LazyFunction(lambda: [["Content-Type", formats.JSON]])
    status_code = 201
    response_body = b'{"ok":true}'
    response_headers = factory.LazyFunction(lambda: [["Content-Type", formats.JSON]])


class SearchKeyFactory(DjangoModelFactory):
    class Meta:
        model = SearchKey

    message = factory.SubFactory(MessageFactory)
    name = "order"
    value = "4711"


class RejectionFactory(DjangoModelFactory):
    class Meta:
        model = Rejection

    class Params:
        unauthenticated = factory.Trait(reason="authentication-failed", status_code=401, body=None)

    route = factory.SubFactory(RouteFactory)
    reason = "malformed-body"
    status_code = 400
    detail = "The body is not JSON."
    remote_address = "192.0.2.1"
    body = b"{"
    size = 1
    created_at = now


class WorkerFactory(DjangoModelFactory):
    class Meta:
        model = Worker

    class Params:
        stale = factory.Trait(seen_at=ahead(-600))

    name = factory.Sequence(lambda number: f"host:{number}")
    started_at = ahead(-3600)
    seen_at = now


class UserFactory(DjangoModelFactory):
    class Meta:
        model = User

    username = factory.Sequence(lambda number: f"agent-{number}")


class BulkFactory(DjangoModelFactory):
    class Meta:
        model = Bulk

    class Params:
        running = factory.Trait(state=BulkState.RUNNING)
        finished = factory.Trait(state=BulkState.FINISHED, done=1, finished_at=now)
        stopped = factory.Trait(state=BulkState.STOPPED, finished_at=now)

    verb = BulkVerb.RETRY
    state = BulkState.PREPARED
    made_by = factory.SubFactory(UserFactory)
    total = 1
    made_at = now


class BulkItemFactory(DjangoModelFactory):
    class Meta:
        model = BulkItem

    class Params:
        done = factory.Trait(state=ItemState.DONE)
        refused = factory.Trait(state=ItemState.REFUSED, note="It is in a worker's hand.")

    bulk = factory.SubFactory(BulkFactory)
    message = factory.SubFactory(MessageFactory)


class SavedViewFactory(DjangoModelFactory):
    class Meta:
        model = SavedView

    owner = factory.SubFactory(UserFactory)
    list = SavedView.List.MESSAGES
    name = factory.Sequence(lambda number: f"view {number}")
    query = "status__exact=dead"


class HourlyCountFactory(DjangoModelFactory):
    class Meta:
        model = HourlyCount

    route = factory.SubFactory(RouteFactory)
    hour = factory.LazyFunction(lambda: timezone.now().replace(minute=0, second=0, microsecond=0))
    counted_until = factory.SelfAttribute("hour")
