"""How many messages of a route came, and how they ended, in an hour."""

from typing import Any

from django.db import models

from connectors.models import Route


class HourlyCount(models.Model):
    """What the first page draws: a row for each route and hour. Only `counting` writes it, from closed minutes.

    A message is counted in the hour in which it was received, and in that in which it ended; one that a person retried
    ends twice. So a past hour does not change any more, whatever becomes of its messages.
    """

    route = models.ForeignKey(Route, models.CASCADE, related_name="+", db_index=False)
    hour = models.DateTimeField()
    """Its beginning."""
    counted_until = models.DateTimeField()
    """The end of the last minute that is in it; the newest row of a route says where to go on."""
    received = models.PositiveIntegerField(default=0)
    succeeded = models.PositiveIntegerField(default=0)
    failed = models.PositiveIntegerField(default=0)
    """Failed or dead."""
    latencies: Any = models.JSONField(default=list, blank=True)
    """Succeeded messages by the time from their receipt to their end; the bounds are `counting.BOUNDS`."""

    class Meta:
        ordering = ["-hour", "route"]
        constraints = [
            # the counts of a route, the newest first
            models.UniqueConstraint(fields=["route", "hour"], name="hourlycount_route_hour"),
        ]
        indexes = [
            # the first page: the last hours of all routes
            models.Index(fields=["hour"], name="hourlycount_hour"),
        ]

    def __str__(self) -> str:
        return f"{self.route} {self.hour:%Y-%m-%d %H:00}"
