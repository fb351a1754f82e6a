"""What the source is told under the correlation id."""

from django.db import models

from connectors.models.fields import ExactJSONField
from messages.models.message import Message


class Result(models.Model):
    """Written in the same transaction that makes its message final; removed when a person retries the message."""

    message = models.OneToOneField(Message, models.CASCADE, related_name="result")
    status_code = models.PositiveSmallIntegerField(null=True, blank=True)
    """The destination's status, where one came back."""
    content_type = models.CharField(max_length=255, blank=True)
    body = models.BinaryField(null=True)
    """The destination's reply after the reply mapping, as bytes of `content_type`."""
    error = ExactJSONField(null=True)
    """{"type", "title", "detail"}, and "errors" where several things failed at once."""
    created_at = models.DateTimeField()

    def __str__(self) -> str:
        return f"Result of {self.message}"
