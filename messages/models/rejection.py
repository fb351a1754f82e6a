"""Requests that were refused at the door."""

from django.db import models

from connectors.models import Route


class Rejection(models.Model):
    """Evidence for support staff; never a message. Capped in number and size, so that a flood cannot fill the disk."""

    route = models.ForeignKey(Route, models.SET_NULL, null=True, blank=True, related_name="rejections")
    reason = models.CharField(max_length=50)
    """The slug of the problem that was answered."""
    status_code = models.PositiveSmallIntegerField()
    detail = models.TextField(blank=True)
    request_id = models.CharField(max_length=128, blank=True)
    """What the answer's X-Request-ID said: the caller's own, or one that was made for it."""
    target = models.CharField(max_length=255, blank=True)
    """Method and path, as they were asked for."""
    user_agent = models.CharField(max_length=255, blank=True)
    remote_address = models.GenericIPAddressField(null=True, blank=True)
    content_type = models.CharField(max_length=255, blank=True)
    size = models.BigIntegerField(null=True, blank=True)
    """Bytes of the body as far as they were announced or read."""
    body = models.BinaryField(null=True)
    """The beginning of the body, only of callers who proved who they are."""
    further = models.PositiveIntegerField(default=0)
    """How many more of the same route, and proven or not, were refused in that minute and not kept."""
    created_at = models.DateTimeField()

    class Meta:
        ordering = ["-pk"]
        indexes = [
            # the rejections page filtered by route, newest first
            models.Index(fields=["route", "-id"], name="rejection_route"),
            # the search for what a caller quotes
            models.Index(fields=["request_id"], name="rejection_request_id"),
            # how many were refused lately, for the metrics
            models.Index(fields=["created_at"], name="rejection_created_at"),
        ]

    def __str__(self) -> str:
        return f"{self.reason} at {self.created_at:%Y-%m-%d %H:%M:%S}"
