"""The platform's settings with short times, so that a run sees many leases and restarts; and the kill points."""

from integration_platform import supervisor
from integration_platform.settings import *  # noqa: F403

INSTALLED_APPS = [*INSTALLED_APPS, "tests.faults", "tests.senders.SendersConfig"]  # noqa: F405
LEASE_SECONDS = 2.5
PUMP_BUDGET_SECONDS = 3
STALE_SECONDS = TASKS_STALE_SECONDS = 8  # longer than any stop of a process: a stopped worker comes back
supervisor.LAST_DELAY_SECONDS = 1.0
