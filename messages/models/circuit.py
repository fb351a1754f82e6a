"""The circuit of an endpoint: whether its calls flow."""

from typing import Any

from django.db import models

from connectors.models import Endpoint
from messages.choices import CircuitState


class Circuit(models.Model):
    """Made with an endpoint's first failure; an endpoint without a row has a closed circuit. Only `circuits` writes it.

    While it is not closed, the lanes of its endpoint are not due (`LaneQuerySet.due`): they keep their due times, so
    opening and closing is one update of one row, whatever has piled up.
    """

    endpoint = models.OneToOneField(Endpoint, models.CASCADE, related_name="circuit")
    state = models.CharField(max_length=10, choices=CircuitState.choices, default=CircuitState.CLOSED)
    since = models.DateTimeField(null=True, blank=True)
    """When it was opened or closed; the tries in between do not change it. None: it has never been open."""
    retry_at = models.DateTimeField(null=True, blank=True)
    """When the next call may be tried; None while it is closed. Half-open: when the try that is out counts as lost."""
    probe = models.BigIntegerField(default=0)
    """Number of the newest try; fences off the outcome of one that counted as lost."""
    reason = models.CharField(max_length=500, blank=True, default="")
    buckets: Any = models.JSONField(default=list, blank=True)
    """Calls and failures of the window, see `messages/windows.py`."""

    class Meta:
        ordering = ["endpoint"]

    def __str__(self) -> str:
        return CircuitState(self.state).label
