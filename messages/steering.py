"""What people and waiting callers change about lanes and their messages: retry, cancel, hold, unhold, hurry.

Every change takes the lane's row lock first, as `lanes.finish` does: either the worker's record sees the change, or the
change sees the record. A message in a worker's hand, the head under a running lease, is left alone.
"""

from dataclasses import dataclass
from datetime import datetime

from django.db.models import F

from messages.choices import OPEN_STATUSES, Hold, Status
from messages.database import clock, write
from messages.lanes import FREE, move_on
from messages.models import Lane, Message, Result
from messages.models.lane import LaneQuerySet

RETRYABLE = (Status.FAILED, Status.DEAD, Status.CANCELLED)
CANCELLABLE = (*OPEN_STATUSES, Status.DEAD)


@dataclass(frozen=True, slots=True)
class Retried:
    """Where a message waits now; `moved` if its lane had gone on, so that it went to the end."""

    position: int
    moved: bool


def make_retryable(message: Message) -> bool:
    """A synchronous caller is told "accepted": from now on the retry policy applies. False if it is final already."""
    with write():
        _lane(message.lane_id)
        return bool(Message.objects.open().filter(pk=message.pk).update(retryable=True))


def retry(message_id: int) -> Retried | None:
    """A failed, dead or cancelled message is queued again, with all attempts of its retry policy before it.

    A synchronous one gets one attempt, as it did before: nothing goes on behind anybody's back.

    It keeps its place where the lane has not gone past it, and goes to the end of the lane otherwise. None if it is
    something else by now, or if retention has removed the payload: nothing is left to be sent.
    """
    with write():
        lane, message = _lane_and_message(message_id)
        moved = message.position <= lane.done_position
        position = lane.last_position + 1 if moved else message.position
        # conditions and change in one statement: retention does not take the lane's lock
        retryable = Message.objects.filter(pk=message_id, status__in=RETRYABLE, purged_at=None)
        if not retryable.update(
            status=Status.QUEUED, completed_at=None, attempts_before_retry=F("attempts"), position=position
        ):
            return None
        Result.objects.filter(message=message_id).delete()
        if moved:
            due = lane.due_at or (None if lane.hold else clock())
            Lane.objects.filter(pk=lane.pk).update(last_position=position, due_at=due)
        elif lane.hold == Hold.BLOCKED and position == lane.head_position:
            Lane.objects.filter(pk=lane.pk).update(hold=Hold.NONE, due_at=clock(), **FREE)
        else:
            Lane.objects.filter(pk=lane.pk).update(changes=F("changes") + 1)
    return Retried(position, moved)


def cancel(message_id: int, *, reason: str, now: datetime) -> bool:
    """A message that waits, or a dead head, is not sent any more. False if it is final, or in a worker's hand.

    Where it is the head its lane moves on, and the token grows: a worker whose lease ran out long ago cannot record
    anything on top of it. Behind the head it keeps its position and is passed over.
    """
    with write():
        lane, message = _lane_and_message(message_id)
        is_head = message.position == lane.head_position
        if message.status not in CANCELLABLE or message.position <= lane.done_position:
            return False
        if is_head and Lane.objects.filter(pk=lane.pk, lease_until__gt=clock()).exists():
            return False
        Message.objects.filter(pk=message_id).update(status=Status.CANCELLED, completed_at=now)
        error = {"type": "/problems/cancelled", "title": "The message was cancelled", "detail": reason}
        Result.objects.update_or_create(message=message, defaults={"error": error, "created_at": now})
        if not is_head:
            Lane.objects.filter(pk=lane.pk).update(changes=F("changes") + 1)
            return True
        lane.token += 1
        lane.hold = Hold.PAUSED if lane.hold == Hold.PAUSED else Hold.NONE
        move_on(lane)
    return True


def hold(lane_id: int) -> bool:
    """Pauses a lane, a blocked one too; a running lease is left alone. False if it is paused already."""
    return bool(Lane.objects.filter(pk=lane_id).exclude(hold=Hold.PAUSED).update(hold=Hold.PAUSED))


def unhold(lane_id: int) -> bool:
    """A paused lane is due again if it has work, or blocked again if its head is dead. False if it is not paused.

    A head that backs off goes on doing so: a pause does not hurry anybody, nor use up attempts.
    """
    with write():
        lane = _lane(lane_id)
        if lane.hold != Hold.PAUSED:
            return False
        head = Message.objects.filter(lane=lane_id, position=lane.head_position)
        if head.filter(status=Status.DEAD).exists():
            Lane.objects.filter(pk=lane_id).update(hold=Hold.BLOCKED, due_at=None)
            return True
        resumed = Lane.objects.filter(pk=lane_id)
        if not lane.depth:
            resumed.update(hold=Hold.NONE, due_at=None)
        elif not resumed.filter(due_at__gt=clock()).update(hold=Hold.NONE):
            resumed.update(hold=Hold.NONE, due_at=clock())
    return True


def hurry(lane_id: int) -> bool:
    """A head that backs off is tried now, by one of the attempts that it has left. False if the lane does not wait."""
    return bool(_hurry(Lane.objects.filter(pk=lane_id)))


def hurry_all(endpoint_id: int) -> int:
    """The same for all lanes of an endpoint; returns how many."""
    return _hurry(Lane.objects.filter(route__endpoint=endpoint_id))


def _hurry(lanes: LaneQuerySet) -> int:
    with write():
        waiting = lanes.backing_off(clock()).select_for_update(of=("self",)).order_by("pk")
        list(waiting.values_list("pk", flat=True))  # locked in the order that all keep who lock many
        return lanes.backing_off(clock()).update(due_at=clock())


def _lane(lane_id: int) -> Lane:
    return Lane.objects.locked([lane_id])[0]


def _lane_and_message(message_id: int) -> tuple[Lane, Message]:
    """Both as they are now, the lane locked. A message never changes its lane."""
    lane = _lane(Message.objects.values_list("lane", flat=True).get(pk=message_id))
    return lane, Message.objects.only("pk", "status", "position", "purged_at").get(pk=message_id)
