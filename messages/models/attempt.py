"""One call to the endpoint."""

from django.db import models

from connectors.models.fields import ExactJSONField
from messages.choices import OutcomeKind
from messages.models.message import Message


class Attempt(models.Model):
    """What was sent and what came back. Append-only: written once by `lanes.finish`, never changed."""

    message = models.ForeignKey(Message, models.CASCADE, related_name="attempt_set")
    number = models.PositiveIntegerField()
    token = models.BigIntegerField()
    """The lease it was made under."""
    outcome = models.CharField(max_length=20, choices=OutcomeKind.choices)
    detail = models.TextField(blank=True)
    started_at = models.DateTimeField()
    duration_ms = models.FloatField()
    method = models.CharField(max_length=10, blank=True)
    url = models.TextField(blank=True)
    request_headers = ExactJSONField(null=True)
    request_body = models.BinaryField(null=True)
    status_code = models.PositiveSmallIntegerField(null=True, blank=True)
    response_headers = ExactJSONField(null=True)
    response_body = models.BinaryField(null=True)
    response_truncated = models.BooleanField(default=False)

    class Meta:
        ordering = ["message", "number", "pk"]

    def __str__(self) -> str:
        return f"{self.message} #{self.number}"
