"""The platform's settings with short times, so that a run sees many leases and restarts; and the kill points."""

from integration_platform import supervisor
from integration_platform.settings import *  # noqa: F403

INSTALLED_APPS = [*INSTALLED_APPS, "tests.faults"]  # noqa: F405
LEASE_SECONDS = 2.5
PUMP_BUDGET_SECONDS = 3  # a monitor shows its life when a pump ends; it must not be taken for one that hangs
supervisor.LAST_DELAY_SECONDS = 1.0
