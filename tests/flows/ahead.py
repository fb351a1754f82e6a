"""Those of `named`, on a machine whose clock is eight seconds ahead."""

import time
from datetime import timedelta

from django.utils import timezone

from tests.flows.named import *  # noqa: F403

AHEAD_SECONDS = 8

_now, _time = timezone.now, time.time
timezone.now = lambda: _now() + timedelta(seconds=AHEAD_SECONDS)
time.time = lambda: _time() + AHEAD_SECONDS
