"""What runs under django-q2 besides the pump: signs of life, retention, and a watch over the lanes."""

from datetime import timedelta

from django.utils import timezone
from django_q.models import Schedule

from connectors.models import Route
from messages import bulk, counting, watch
from messages.beats import WORKER, beat
from messages.database import write
from messages.models import Attempt, Message, Rejection, Result, SearchKey

BATCH = 500
BULK_BUDGET_SECONDS = 55.0  # less than the minute after which the schedule comes again
KEPT_REJECTIONS = 10_000
SCHEDULES = {
    "messages.tasks.remove_expired": 15,  # minutes
    "messages.tasks.trim_rejections": 5,
    "messages.tasks.watch_lanes": 1,
    "messages.tasks.work_bulks": 1,
    "messages.tasks.count_messages": 1,
}


def show_life() -> None:
    """Runs in a q2 worker, see `broker.Beating`."""
    beat(WORKER)


def ensure_schedules() -> None:
    """Makes the schedules that are missing, and corrects those that an older version made."""
    for function, minutes in SCHEDULES.items():
        Schedule.objects.update_or_create(
            name=function,
            defaults={"func": function, "schedule_type": Schedule.MINUTES, "minutes": minutes, "repeats": -1},
        )


def remove_expired() -> int:
    """Removes the payloads of messages whose retention is over; rows, correlation ids and statuses stay as evidence."""
    removed = 0
    for route_id, days in Route.objects.values_list("pk", "retention_days"):
        limit = timezone.now() - timedelta(days=days)
        expired = Message.objects.filter(route=route_id, completed_at__lt=limit, purged_at=None).order_by(
            "completed_at"
        )
        while pks := list(expired.values_list("pk", flat=True)[:BATCH]):
            purge(pks)
            removed += len(pks)
    return removed


def purge(pks: list[int]) -> None:
    """Everything of these messages that came from or went to somebody is removed, in one transaction.

    Those that a person has retried meanwhile keep it: they are about to be sent.
    """
    with write():
        # in the order of their keys, as whoever else locks several of them
        final = Message.objects.final().select_for_update().filter(pk__in=pks).order_by("pk")
        pks = list(final.values_list("pk", flat=True))
        Attempt.objects.filter(message__in=pks).update(
            request_body=None, response_body=None, request_headers=None, response_headers=None
        )
        Result.objects.filter(message__in=pks).delete()
        SearchKey.objects.filter(message__in=pks).delete()
        Message.objects.filter(pk__in=pks).update(body=b"", headers=None, purged_at=timezone.now())


def trim_rejections() -> int:
    """Keeps the newest rejections only, so that a flood of refused requests cannot fill the disk."""
    oldest = (
        Rejection.objects.order_by("-pk").values_list("pk", flat=True)[KEPT_REJECTIONS : KEPT_REJECTIONS + 1].first()
    )
    return Rejection.objects.filter(pk__lte=oldest).delete()[0] if oldest else 0


def work_bulks() -> int:
    """Goes on with the bulk actions that run. One is also begun at once when a person confirms it."""
    bulk.forget_unconfirmed()
    return bulk.work(budget_seconds=BULK_BUDGET_SECONDS)


def watch_lanes() -> int:
    """Wakes lanes that sleep over their work, and logs those that nobody takes or that end their workers."""
    woken = watch.wake()
    watch.complain()
    return woken


def count_messages() -> int:
    """Counts the minutes that are over, for the first page."""
    return counting.count_closed(timezone.now())
