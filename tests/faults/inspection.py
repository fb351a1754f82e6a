"""What the database says in the end: `python -m tests.faults.inspection [revive]` prints it as JSON.

`revive` retries dead heads: with enough kills a message can be unlucky five times in a row and end as crashed.
"""

import json
import sys

import django

django.setup()

from django.db.models import Count, F, Max  # noqa: E402

from messages import steering  # noqa: E402
from messages.choices import Hold, Status  # noqa: E402
from messages.models import Attempt, Lane, Message  # noqa: E402


def main() -> None:
    if "revive" in sys.argv:
        for lane in Lane.objects.filter(hold=Hold.BLOCKED):
            dead = Message.objects.filter(lane=lane, position=lane.head_position, status=Status.DEAD)
            for pk in dead.values_list("pk", flat=True):
                steering.retry(pk)
    dense = Lane.objects.annotate(count=Count("messages"), last=Max("messages__position"))
    found = {
        "messages": Message.objects.count(),
        "open": Message.objects.open().count(),
        "lanes with work": Lane.objects.with_work().count(),
        "lanes with gaps": dense.exclude(count=F("last_position"), last=F("last_position")).count(),
        "crashed": Attempt.objects.filter(outcome="crashed").count(),
    }
    print(json.dumps(found))


if __name__ == "__main__":
    main()
