"""One accepted payload on one route."""

from datetime import datetime

from django.db import models
from django.db.models import Q

from connectors.choices import Pattern
from connectors.models import MappingVersion, Route
from connectors.models.fields import ExactJSONField
from messages.choices import FINAL_STATUSES, OPEN_STATUSES, PROCESSING, Status
from messages.models.lane import Lane


class MessageQuerySet(models.QuerySet["Message"]):
    def open(self) -> "MessageQuerySet":
        return self.filter(status__in=OPEN_STATUSES)

    def final(self) -> "MessageQuerySet":
        return self.filter(status__in=FINAL_STATUSES)

    def without_body(self) -> "MessageQuerySet":
        """For lists: bodies may be megabytes."""
        return self.defer("body", "headers")


class Message(models.Model):
    """The bytes as received, committed before anything is answered. `recording` and `steering` change a status."""

    correlation_id = models.UUIDField(unique=True)
    route = models.ForeignKey(Route, models.PROTECT, related_name="messages", db_index=False)
    lane = models.ForeignKey(Lane, models.PROTECT, related_name="messages", db_index=False)
    position = models.BigIntegerField()
    pattern = models.CharField(max_length=5, choices=Pattern.choices)
    status = models.CharField(max_length=10, choices=Status.choices, default=Status.QUEUED)
    attempts = models.PositiveIntegerField(default=0)
    attempts_before_retry = models.PositiveIntegerField(default=0)
    """Those made when a person last retried it: the retry policy counts from there."""
    retryable = models.BooleanField(default=True)
    """Whether a passing failure is retried: false while a synchronous caller is to be told at once."""
    body = models.BinaryField()
    body_digest = models.BinaryField(max_length=32)
    content_type = models.CharField(max_length=255, blank=True)
    headers = ExactJSONField(null=True)
    idempotency_key = models.CharField(max_length=255, null=True, blank=True)
    mapping_version = models.ForeignKey(
        MappingVersion, models.PROTECT, null=True, blank=True, related_name="+", db_index=False
    )
    reply_mapping_version = models.ForeignKey(
        MappingVersion, models.PROTECT, null=True, blank=True, related_name="+", db_index=False
    )
    resubmission_of = models.ForeignKey(
        "self", models.SET_NULL, null=True, blank=True, related_name="resubmissions", db_index=False
    )
    """The message whose payload a person edited to make this one."""
    received_at = models.DateTimeField()
    completed_at = models.DateTimeField(null=True, blank=True)
    purged_at = models.DateTimeField(null=True, blank=True)
    """When retention removed its payload; the row stays as evidence until it is deleted."""

    objects = MessageQuerySet.as_manager()

    class Meta:
        ordering = ["-pk"]
        permissions = [
            ("view_payload", "Can see payloads"),
            ("operate_message", "Can retry, cancel, edit and resubmit"),
        ]
        constraints = [
            # the head of a lane, and reading ahead in it
            models.UniqueConstraint(fields=["lane", "position"], name="message_lane_position"),
            # a repeat finds the first message of its route
            models.UniqueConstraint(
                fields=["route", "idempotency_key"],
                name="message_idempotency_key",
                condition=Q(idempotency_key__isnull=False),
            ),
        ]
        indexes = [
            # the message list filtered by route, newest first
            models.Index(fields=["route", "-id"], name="message_route"),
            # the message list filtered by status, newest first
            models.Index(fields=["status", "-id"], name="message_status"),
            # a message's page: what was made of it
            models.Index(
                fields=["resubmission_of"],
                name="message_resubmissions",
                condition=Q(resubmission_of__isnull=False),
            ),
            # retention: final messages of a route by the time they became final
            models.Index(
                fields=["route", "completed_at"],
                name="message_retention",
                condition=Q(completed_at__isnull=False, purged_at__isnull=True),
            ),
        ]

    def __str__(self) -> str:
        return str(self.correlation_id)

    @property
    def is_final(self) -> bool:
        return self.status in FINAL_STATUSES

    def standing(self, now: datetime) -> str:
        """The status as readers are told it: "processing" while it is the head of its lane under a running lease."""
        lane = self.lane
        at_head = self.position == lane.head_position
        if not self.is_final and at_head and lane.lease_until is not None and lane.lease_until > now:
            return PROCESSING
        return self.status
