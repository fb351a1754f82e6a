"""One verb over many messages."""

from django.conf import settings
from django.db import models
from django.db.models import Q

from messages.choices import BulkState, BulkVerb, ItemState
from messages.models.message import Message


class Bulk(models.Model):
    """A selection of messages, frozen when it was made, and how far the verb has come through it."""

    verb = models.CharField(max_length=10, choices=BulkVerb.choices)
    selection = models.TextField(blank=True)
    """The filter that the messages were found with, in words."""
    reason = models.CharField(max_length=500, blank=True)
    state = models.CharField(max_length=10, choices=BulkState.choices, default=BulkState.COLLECTING)
    made_by = models.ForeignKey(settings.AUTH_USER_MODEL, models.PROTECT, related_name="+")
    started_by = models.ForeignKey(settings.AUTH_USER_MODEL, models.PROTECT, null=True, blank=True, related_name="+")
    """Who confirmed it: what it does to each message is that person's deed, whoever made the selection."""
    total = models.PositiveIntegerField(default=0)
    done = models.PositiveIntegerField(default=0)
    refused = models.PositiveIntegerField(default=0)
    """Messages that the verb did not fit any more."""
    made_at = models.DateTimeField()
    finished_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["-pk"]
        verbose_name = "bulk action"

    def __str__(self) -> str:
        return f"{self.get_verb_display()} {self.total:,} message{'' if self.total == 1 else 's'}"

    @property
    def left(self) -> int:
        return self.total - self.done - self.refused


class BulkItem(models.Model):
    """One message of a selection; its primary key is its turn: lane by lane, oldest first."""

    bulk = models.ForeignKey(Bulk, models.CASCADE, related_name="items", db_index=False)
    message = models.ForeignKey(Message, models.CASCADE, related_name="+")
    state = models.CharField(max_length=10, choices=ItemState.choices, default=ItemState.WAITING)
    note = models.CharField(max_length=200, blank=True)

    class Meta:
        ordering = ["pk"]
        constraints = [
            models.UniqueConstraint(fields=["bulk", "message"], name="bulkitem_once"),
        ]
        indexes = [
            # what is next
            models.Index(fields=["bulk", "id"], name="bulkitem_waiting", condition=Q(state="waiting")),
            # what the verb did not fit
            models.Index(fields=["bulk", "id"], name="bulkitem_refused", condition=Q(state="refused")),
        ]

    def __str__(self) -> str:
        return str(self.message)
