"""What of an endpoint's limits is used."""

from typing import Any

from django.db import models

from connectors.models import Endpoint


class Allowance(models.Model):
    """Made with the first call of an endpoint that has limits. Only `limits` writes it, under its lock.

    While it is full, the lanes of its endpoint are not due (`LaneQuerySet.due`).
    """

    endpoint = models.OneToOneField(Endpoint, models.CASCADE, related_name="allowance")
    full_until = models.DateTimeField(null=True, blank=True)
    """Until when no further call may begin, as far as is known; a call that ends takes it away."""
    permits: Any = models.JSONField(default=dict, blank=True)
    """The calls that are out: name of the permit, and when it counts as lost, in seconds since the epoch."""
    buckets: Any = models.JSONField(default=list, blank=True)
    """Calls that began within the period of the rate, see `messages/windows.py`."""

    class Meta:
        ordering = ["endpoint"]

    def __str__(self) -> str:
        return f"{len(self.permits)} calls out"
