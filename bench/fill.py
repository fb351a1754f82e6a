"""Accepts COUNT messages over LANES lanes of ROUTE by one commit, waits for their end, prints how long that took.

python -m bench.fill ROUTE LANES COUNT [--leave]      (--leave: does not wait)
"""

import json
import sys
import time
import uuid

import django

django.setup()

from django.db import transaction  # noqa: E402
from django.db.models import Max, Min  # noqa: E402

from connectors.catalogue import catalogue  # noqa: E402
from messages import intake  # noqa: E402
from messages.choices import Status  # noqa: E402
from messages.intake import Incoming  # noqa: E402
from messages.models import Attempt, Message  # noqa: E402

GIVE_UP_SECONDS = 120.0


def main(route: str, lanes: int, count: int, *, leave: bool) -> None:
    plan = catalogue.by_slug(route)
    if plan is None:
        raise SystemExit(f"There is no route {route}.")
    run, first = uuid.uuid4().hex[:6], (Message.objects.aggregate(Max("pk"))["pk__max"] or 0) + 1
    with transaction.atomic():
        for number in range(count):
            body = json.dumps({"lane": f"{run}-{number % lanes}", "number": number, "text": "x" * 400}).encode()
            intake.accept(plan, Incoming("async", body, "application/json", {}, None))
    if leave:
        return
    mine, end = Message.objects.filter(pk__gte=first, route=plan.id), time.monotonic() + GIVE_UP_SECONDS
    while mine.open().exists():
        if time.monotonic() > end:
            raise SystemExit("The queue did not come to an end.")
        time.sleep(0.05)
    if mine.exclude(status=Status.SUCCEEDED).exists():
        raise SystemExit("Not all messages succeeded.")
    begun = Attempt.objects.filter(message__pk__gte=first).aggregate(Min("started_at"))["started_at__min"]
    done = mine.aggregate(Max("completed_at"))["completed_at__max"]
    sys.stdout.write(json.dumps({"seconds": (done - begun).total_seconds()}))


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), leave="--leave" in sys.argv)
