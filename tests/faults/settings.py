"""The platform's settings with short times, so that a run sees many leases and restarts; and the kill points."""

import os

from integration_platform import supervisor
from integration_platform.settings import *  # noqa: F403
from tests.faults.apps import NO_FENCE

INSTALLED_APPS = [*INSTALLED_APPS, "tests.faults", "tests.senders.SendersConfig"]  # noqa: F405
LEASE_SECONDS = 2.5
# without the fence whoever wakes up goes on: a budget that has been spent meanwhile would end it before it does harm
PUMP_BUDGET_SECONDS = 60 if os.environ.get(NO_FENCE) else 3
STALE_SECONDS = TASKS_STALE_SECONDS = 8  # longer than any stop of a process: a stopped worker comes back
supervisor.LAST_DELAY_SECONDS = 1.0
