"""One verb over many messages: the selection is frozen first, confirmed by a person, and worked by the queue.

Progress is in rows: each step of the work locks its bulk row, takes the next few messages, and writes what became of
them in the transaction that changes them. A worker that dies loses one step, as if it had never been begun; whoever is
next goes on behind the last one that was committed. Two workers at the same bulk take turns, so that the order holds.
"""

import logging
import time
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from django.db import transaction
from django.db.models import F, QuerySet
from django.utils import timezone
from django_q.tasks import async_task

from connectors import audit
from messages import operate
from messages.choices import BulkState, BulkVerb, ItemState
from messages.database import write
from messages.exceptions import NotPossible
from messages.models import Bulk, BulkItem, Lane, Message

log = logging.getLogger(__name__)

MAX_MESSAGES = 100_000
INSERTED_AT_ONCE = 1_000
STEP = 5  # messages changed in one transaction: as long as it takes, workers wait who record something of their lanes
CONFIRMED_WITHIN = timedelta(hours=24)


def prepare(verb: BulkVerb, messages: QuerySet[Message], *, by: Any, selection: str) -> Bulk:
    """Writes down which messages it is about, lane by lane and oldest first. NotPossible if there are too many."""
    pks = list(messages.order_by("lane", "position").values_list("pk", flat=True)[: MAX_MESSAGES + 1])
    if not pks:
        raise NotPossible("No message is selected.")
    if len(pks) > MAX_MESSAGES:
        raise NotPossible(f"More than {MAX_MESSAGES:,} messages are selected; narrow the filter.")
    bulk = Bulk.objects.create(verb=verb, selection=selection, made_by=by, total=len(pks), made_at=timezone.now())
    for start in range(0, len(pks), INSERTED_AT_ONCE):
        chunk = pks[start : start + INSERTED_AT_ONCE]
        with write():
            BulkItem.objects.bulk_create([BulkItem(bulk=bulk, message_id=pk) for pk in chunk])
    # guarded: somebody may have stopped it while it was written down
    Bulk.objects.filter(pk=bulk.pk, state=BulkState.COLLECTING).update(state=BulkState.PREPARED)
    bulk.refresh_from_db(fields=["state"])
    return bulk


def start(bulk: Bulk, *, by: Any, reason: str) -> bool:
    """A person confirmed it. False if it runs already, or is over: a second click does nothing."""
    waiting = Bulk.objects.filter(pk=bulk.pk, state=BulkState.PREPARED)
    with write():
        started = bool(waiting.update(state=BulkState.RUNNING, reason=reason, started_by=by))
        if started:
            audit.record(bulk, by=by, text=f"Started: {bulk}, {bulk.selection or 'no selection'}. {reason}")
            transaction.on_commit(_wake_the_queue)
    return started


def _wake_the_queue() -> None:
    try:
        async_task("messages.tasks.work_bulks")
    except Exception:  # the edge to a broker that may be away: the schedule takes it up within a minute
        log.exception("The queue could not be told about a bulk action; its schedule will find it.")


def stop(bulk: Bulk, *, by: Any, reason: str) -> bool:
    """No further message is touched; what is done stays done. False if it is over already."""
    open_states = (BulkState.COLLECTING, BulkState.PREPARED, BulkState.RUNNING)
    running = Bulk.objects.filter(pk=bulk.pk, state__in=open_states)
    with write():
        stopped = bool(running.update(state=BulkState.STOPPED, finished_at=timezone.now()))
        if stopped:
            audit.record(bulk, by=by, text=f"Stopped. {reason}")
    return stopped


def work(*, budget_seconds: float) -> int:
    """Works what runs, one after the other, until the budget is spent; returns how many messages had their turn."""
    end, count = time.monotonic() + budget_seconds, 0
    for pk in Bulk.objects.filter(state=BulkState.RUNNING).order_by("pk").values_list("pk", flat=True):
        while time.monotonic() < end and (taken := _step(pk)):
            count += taken
    return count


def forget_unconfirmed() -> int:
    """Stops what nobody confirmed within a day."""
    old = Bulk.objects.filter(
        state__in=(BulkState.COLLECTING, BulkState.PREPARED), made_at__lt=timezone.now() - CONFIRMED_WITHIN
    )
    return old.update(state=BulkState.STOPPED, finished_at=timezone.now())


def _step(pk: int) -> int:
    with write():
        bulk = Bulk.objects.select_for_update().filter(pk=pk, state=BulkState.RUNNING).select_related(None).first()
        if bulk is None:
            return 0
        waiting = BulkItem.objects.filter(bulk=pk, state=ItemState.WAITING).order_by("pk")
        items = list(waiting.select_related("message").defer("message__body", "message__headers")[:STEP])
        _lock(items)
        for item in items:
            _apply(bulk, item)
        BulkItem.objects.bulk_update(items, ["state", "note"])
        refused = sum(item.state == ItemState.REFUSED for item in items)
        progress: dict[str, Any] = {"done": F("done") + len(items) - refused, "refused": F("refused") + refused}
        if len(items) < STEP:
            progress |= {"state": BulkState.FINISHED, "finished_at": timezone.now()}
        Bulk.objects.filter(pk=pk).update(**progress)
    return len(items)


def _lock(items: Sequence[BulkItem]) -> None:
    """All that a step touches, in one order: lanes as `lanes.finish` does, then messages as `tasks.purge` does."""
    list(Lane.objects.locked({item.message.lane_id for item in items}))
    messages = Message.objects.filter(pk__in=[item.message_id for item in items])
    list(messages.select_for_update().order_by("pk").values_list("pk", flat=True))


def _apply(bulk: Bulk, item: BulkItem) -> None:
    reason = f"{bulk.reason} (bulk action {bulk.pk})"
    try:
        if bulk.verb == BulkVerb.RETRY:
            item.note = operate.retry(item.message, by=bulk.started_by or bulk.made_by, reason=reason)
        else:
            operate.cancel(item.message, by=bulk.started_by or bulk.made_by, reason=reason)
        item.state = ItemState.DONE
    except NotPossible as error:
        item.state, item.note = ItemState.REFUSED, str(error)[:200]
