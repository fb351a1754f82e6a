"""A person who is never content: `python -m tests.faults.operator SEED` uses the verbs until it is killed.

What it is about to change stands in `operated.txt` before it is changed, one correlation id a line: such a message may
end as cancelled, and has lost its place. Pausing and resuming changes nothing of a message's end or order.
"""

import os
import random
import sys
import time
from collections.abc import Iterable
from pathlib import Path

import django

django.setup()

from django.contrib.auth.models import User  # noqa: E402
from django.db import DatabaseError, InterfaceError, connection  # noqa: E402

from connectors.models import Route  # noqa: E402
from messages import bulk, operate  # noqa: E402
from messages.choices import BulkVerb, Status  # noqa: E402
from messages.exceptions import NotPossible  # noqa: E402
from messages.models import Lane, Message  # noqa: E402
from tests.faults.apps import FOLDER, OPERATED  # noqa: E402
from tests.faults.inspection import resume_everything  # noqa: E402

REASON = "never content"


class Operator:
    def __init__(self, seed: str) -> None:
        self._chance = random.Random(seed)
        self._verbs = [
            self.pause, self.pause, self.pause_route, self.cancel, self.skip_head, self.retry, self.cancel_many,
            self.retry_many,
        ]  # fmt: skip

    def run(self) -> None:
        while True:
            try:
                self._user, _ = User.objects.get_or_create(username="operator")
                resume_everything()  # whoever was here before may have been killed between the two
                self._chance.choice(self._verbs)()
            except NotPossible:
                pass
            except (DatabaseError, InterfaceError):
                connection.close()
            self._pause()

    def pause(self) -> None:
        for lane in self._some(Lane.objects.with_work(), 1):
            operate.pause(lane, by=self._user, reason=REASON)
            self._pause()
            operate.resume(lane, by=self._user, reason=REASON)

    def pause_route(self) -> None:
        for paused in (True, False):
            route = Route.objects.get(slug="orders")
            route.paused = paused
            route.save()
            self._pause()

    def cancel(self) -> None:
        for message in self._operated(self._some(Message.objects.open(), 1)):
            operate.cancel(message, by=self._user, reason=REASON)

    def skip_head(self) -> None:
        for lane in self._some(Lane.objects.with_work(), 1):
            self._operated(Message.objects.filter(lane=lane, position=lane.head_position))
            operate.skip_head(lane, position=lane.head_position, by=self._user, reason=REASON)

    def retry(self) -> None:
        ended = Message.objects.filter(status__in=[Status.CANCELLED, Status.FAILED])
        for message in self._operated(self._some(ended, 1)):
            operate.retry(message, by=self._user, reason=REASON)

    def cancel_many(self) -> None:
        self._many(BulkVerb.CANCEL, self._some(Message.objects.open(), 3))

    def retry_many(self) -> None:
        self._many(BulkVerb.RETRY, self._some(Message.objects.filter(status=Status.CANCELLED), 12))

    def _many(self, verb: BulkVerb, messages: list[Message]) -> None:
        chosen = Message.objects.filter(pk__in=[message.pk for message in self._operated(messages)])
        made = bulk.prepare(verb, chosen, by=self._user, selection=REASON)
        bulk.start(made, by=self._user, reason=REASON)

    def _some(self, rows: "django.db.models.QuerySet", count: int) -> list:  # type: ignore[type-arg]
        found = list(rows.order_by("pk")[:200])
        return self._chance.sample(found, min(count, len(found)))

    def _operated(self, messages: Iterable[Message]) -> list[Message]:
        found = list(messages)
        with Path(os.environ[FOLDER], OPERATED).open("a") as file:
            file.writelines(f"{message.correlation_id}\n" for message in found)
        return found

    def _pause(self) -> None:
        time.sleep(self._chance.uniform(0.1, 0.7))


if __name__ == "__main__":
    Operator(sys.argv[1]).run()
