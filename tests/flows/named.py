"""The platform's settings where each process names itself to destinations, and a worker takes a few lanes at a time."""

from integration_platform.settings import *  # noqa: F403

INSTALLED_APPS = [*INSTALLED_APPS, "tests.senders.SendersConfig"]  # noqa: F405
PUMP_MAX_LANES = 4
