"""The operators' verbs on lanes, each with a reason and an entry in the log of who did what."""

from typing import Any

from django.contrib.admin.models import CHANGE, LogEntry
from django.utils import timezone

from messages import lanes
from messages.exceptions import NotPossible
from messages.models import Lane


def retry_head(lane: Lane, *, by: Any, reason: str) -> None:
    """A dead head is queued again and keeps its place; its lane goes on with it. Raises NotPossible."""
    if not lanes.revive_head(lane.pk):
        raise NotPossible("Only a dead head that still has its payload can be retried; look at it again.")
    _log(lane, by, f"Retried the head. {reason}")


def skip_head(lane: Lane, *, by: Any, reason: str) -> None:
    """The head is cancelled for good and its lane goes on behind it. Raises NotPossible."""
    if not lanes.cancel_head(lane.pk, position=lane.head_position, reason=reason, now=timezone.now()):
        raise NotPossible("The head is another one by now, or in a worker's hand, or there is none; look again.")
    _log(lane, by, f"Skipped the head. {reason}")


def pause(lane: Lane, *, by: Any, reason: str) -> None:
    """The lane accepts and holds; what is in a worker's hand is finished. Raises NotPossible."""
    if not lanes.hold(lane.pk):
        raise NotPossible("The lane stands still already.")
    _log(lane, by, f"Paused. {reason}")


def resume(lane: Lane, *, by: Any, reason: str) -> None:
    """A paused lane goes on. Raises NotPossible."""
    if not lanes.unhold(lane.pk):
        raise NotPossible("The lane is not paused.")
    _log(lane, by, f"Resumed. {reason}")


def _log(lane: Lane, by: Any, text: str) -> None:
    LogEntry.objects.log_actions(by.pk, [lane], CHANGE, change_message=text.strip(), single_object=True)
