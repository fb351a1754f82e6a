"""The operators' verbs, each with its effect on order, a reason, and an entry in the log of who did what.

A verb and its entry are one transaction. All raise NotPossible, with a text for people, where the row is something else
by now.
"""

from typing import Any

from django.db.models import Q
from django.utils import timezone

from connectors import audit
from connectors.catalogue import catalogue
from messages import circuits, cloud_events, intake, steering, tracing
from messages.database import write
from messages.exceptions import NotPossible
from messages.intake import Incoming
from messages.models import Circuit, Lane, Message

AT_THE_END = "Its lane had gone on, so it went to the end of its lane."


def retry(message: Message, *, by: Any, reason: str) -> str:
    """Queues a failed, dead or cancelled message again; returns what that meant for its order.

    It keeps its place where its lane has not gone past it, and goes to the end of the lane otherwise.
    """
    with write():
        retried = steering.retry(message.pk)
        if retried is None:
            raise NotPossible("Only a failed, dead or cancelled message that still has its payload can be retried.")
        effect = AT_THE_END if retried.moved else "It kept its place in its lane."
        audit.record(message, by=by, text=f"Retried. {effect} {reason}")
    return effect


def cancel(message: Message, *, by: Any, reason: str) -> None:
    """A message that waits, or a dead head, is not sent any more; its lane passes it over."""
    with write():
        if not steering.cancel(message.pk, reason=reason, now=timezone.now()):
            raise NotPossible("It is in a worker's hand, or it has come to its end already.")
        audit.record(message, by=by, text=f"Cancelled. {reason}")


def resubmit(message: Message, body: bytes, *, by: Any, reason: str) -> Message:
    """Makes a new message of an edited payload, linked to this one, at the end of its lane.

    What the edit replaces is not sent any more: a message that waits, or blocks its lane, is cancelled. One that has
    come to its end stays what it is. Raises Refused, with the places at fault, for a payload that the route does not
    take.
    """
    plan = catalogue.by_id()[message.route_id]
    headers = message.headers or {}
    kept = {**tracing.received(headers), **cloud_events.received(headers)}
    incoming = Incoming(message.pattern, body, message.content_type, kept, None)
    target = intake.lane_key(plan, incoming)
    with write():
        # both in the order of their keys, as `lanes.finish` locks them; a lane that is yet to be made is nobody's
        old_and_new = Q(pk=message.lane_id) | Q(route=plan.id, key=target)
        list(Lane.objects.locked(Lane.objects.filter(old_and_new).values_list("pk", flat=True)))
        made = intake.accept(plan, incoming, resubmission_of=message.pk).message
        replaced = steering.cancel(message.pk, reason=f"Resubmitted as {made}. {reason}", now=timezone.now())
        if not replaced and Message.objects.open().filter(pk=message.pk).exists():
            raise NotPossible("It is in a worker's hand; look again in a moment.")
        audit.record(message, by=by, text=f"Edited and resubmitted as {made}. {reason}")
        audit.record(made, by=by, text=f"Made by editing {message}. {reason}")
    return made


def retry_head(lane: Lane, *, position: int, by: Any, reason: str) -> None:
    """The dead head at `position` is queued again and keeps its place; its lane goes on with it."""
    with write():
        head = _head(lane, position)
        if head is None or (retried := steering.retry(head.pk)) is None or retried.moved:
            raise NotPossible("Only a dead head that still has its payload can be retried; look at it again.")
        audit.record(lane, by=by, text=f"Retried the head. {reason}")
        audit.record(head, by=by, text=f"Retried as the head of its lane. {reason}")


def skip_head(lane: Lane, *, position: int, by: Any, reason: str) -> None:
    """The head at `position` is cancelled for good and its lane goes on behind it.

    Two people who skip the same head must not skip the next one, too: the position is the one that they saw.
    """
    with write():
        head = _head(lane, position)
        if head is None or not steering.cancel(head.pk, reason=reason, now=timezone.now()):
            raise NotPossible("The head is another one by now, or in a worker's hand, or there is none; look again.")
        audit.record(lane, by=by, text=f"Skipped the head. {reason}")
        audit.record(head, by=by, text=f"Skipped as the head of its lane. {reason}")


def pause(lane: Lane, *, by: Any, reason: str) -> None:
    """The lane accepts and holds; what is in a worker's hand is finished."""
    with write():
        if not steering.hold(lane.pk):
            raise NotPossible("The lane is paused already.")
        audit.record(lane, by=by, text=f"Paused. {reason}")


def resume(lane: Lane, *, by: Any, reason: str) -> None:
    """A paused lane goes on, or is blocked again where its head is dead."""
    with write():
        if not steering.unhold(lane.pk):
            raise NotPossible("The lane is not paused.")
        audit.record(lane, by=by, text=f"Resumed. {reason}")


def try_now(lane: Lane, *, by: Any, reason: str) -> None:
    """A head that backs off is sent now, by one of the attempts that it has left; what is behind it follows."""
    with write():
        if not steering.hurry(lane.pk):
            raise NotPossible("The lane does not wait for another attempt.")
        audit.record(lane, by=by, text=f"Tried its head now. {reason}")


def close_circuit(circuit: Circuit, *, by: Any, reason: str, hurry: bool = False) -> int:
    """The endpoint is called again at once; its circuit opens anew if calls go on to fail.

    With `hurry`, lanes whose heads back off are due, too; returns their number.
    """
    with write():
        if not circuits.close(circuit):
            raise NotPossible("The circuit is closed already.")
        hurried = steering.hurry_all(circuit.endpoint_id) if hurry else 0
        effect = f"Lanes that backed off and are tried now: {hurried}. " if hurry else ""
        audit.record(circuit, by=by, text=f"Closed by hand. {effect}{reason}")
        audit.record(circuit.endpoint, by=by, text=f"Closed its circuit by hand. {effect}{reason}")
    return hurried


def _head(lane: Lane, position: int) -> Message | None:
    """The lane's head, if it is still the one at `position`."""
    now = Lane.objects.get(pk=lane.pk)
    if now.head_position != position:
        return None
    return Message.objects.without_body().filter(lane=lane.pk, position=position).first()
