"""Supervised workers that have been seen."""

from django.db import models


class Worker(models.Model):
    """One `manage.py worker`; it says that it is well by moving `seen_at`. Readiness and operators look here."""

    name = models.CharField(max_length=100, unique=True)
    """host:pid of the supervisor."""
    started_at = models.DateTimeField()
    seen_at = models.DateTimeField()

    class Meta:
        ordering = ["-seen_at"]

    def __str__(self) -> str:
        return self.name
