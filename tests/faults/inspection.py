"""What the database says in the end: `python -m tests.faults.inspection [revive]` prints it as JSON.

`revive` retries dead heads: with enough kills a message can be unlucky five times in a row and end as crashed. And it
resumes what an operator who was killed has left paused.
"""

import json
import os
import sys
from pathlib import Path

import django

django.setup()

from django.db.models import Count, F, Max  # noqa: E402

from connectors.models import Route  # noqa: E402
from messages import steering  # noqa: E402
from messages.choices import Hold, Status  # noqa: E402
from messages.models import Attempt, Lane, Message  # noqa: E402
from tests.faults.apps import FOLDER, OPERATED  # noqa: E402


def main() -> None:
    if "revive" in sys.argv:
        resume_everything()
        for lane in Lane.objects.filter(hold=Hold.BLOCKED):
            dead = Message.objects.filter(lane=lane, position=lane.head_position, status=Status.DEAD)
            for pk in dead.values_list("pk", flat=True):
                steering.retry(pk)
    path = Path(os.environ[FOLDER], OPERATED)
    operated = Message.objects.filter(correlation_id__in=path.read_text().split() if path.exists() else [])
    # whoever was sent to the end of his lane has left a gap
    dense = Lane.objects.exclude(pk__in=operated.values("lane")).annotate(
        count=Count("messages"), last=Max("messages__position")
    )
    found = {
        "messages": Message.objects.count(),
        "open": Message.objects.open().count(),
        "lanes with work": Lane.objects.with_work().count(),
        "lanes with gaps": dense.exclude(count=F("last_position"), last=F("last_position")).count(),
        "crashed": Attempt.objects.filter(outcome="crashed").count(),
    }
    print(json.dumps(found))


def resume_everything() -> None:
    """What an operator has left paused who was killed, or whose database was."""
    for route in Route.objects.filter(paused=True):
        route.paused = False
        route.save()
    for lane in Lane.objects.filter(hold=Hold.PAUSED):
        steering.unhold(lane.pk)


if __name__ == "__main__":
    main()
