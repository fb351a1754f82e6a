"""`manage.py fill`: a test database with very many messages."""

import time
from datetime import timedelta
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils import timezone

from messages import filling

TOLD_EVERY = 100_000


class Command(BaseCommand):
    help = "Fills a test database with messages, attempts, results and lanes, as if they had been worked."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("count", type=int, help="How many messages.")
        parser.add_argument("--seed", type=int, default=7, help="The same seed makes the same messages (default 7).")
        parser.add_argument("--days", type=int, default=filling.SPAN.days, help="Received within so many days.")
        parser.add_argument("--per-lane", type=int, default=filling.PER_LANE, help="Messages of a lane, roughly.")
        parser.add_argument(
            "--into-real-data", action="store_true", help="Also where applications of your own are configured."
        )

    def handle(self, *, count: int, seed: int, days: int, per_lane: int, into_real_data: bool, **options: Any) -> None:
        if min(count, days, per_lane) < 1:
            raise CommandError("At least one message, one day, and one message of a lane.")
        begin = time.monotonic()
        filled = filling.fill(
            count,
            now=timezone.now(),
            seed=seed,
            into_real_data=into_real_data,
            span=timedelta(days=days),
            per_lane=per_lane,
        )
        try:
            for done in filled:
                if done % TOLD_EVERY == 0:
                    self.stdout.write(f"{done:,} of {count:,}")
        except filling.HoldsRealData as error:
            raise CommandError(f"{error} Use --into-real-data if you mean it.") from None
        self.stdout.write(f"{count:,} messages in {time.monotonic() - begin:.0f} s.")
