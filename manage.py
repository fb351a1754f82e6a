#!/usr/bin/env python
import os
import signal
import sys
from types import FrameType


def end_at_once(number: int, frame: FrameType | None) -> None:
    os._exit(0)  # an exception could be lost: Python ignores those that meet a finalizer


if __name__ == "__main__":
    if sys.argv[1:2] in (["start"], ["worker"]):  # until they have something in hand, and stop it in order
        signal.signal(signal.SIGTERM, end_at_once)
        signal.signal(signal.SIGINT, end_at_once)

from django.core.exceptions import ImproperlyConfigured  # noqa: E402 - loading takes most of a second
from django.core.management import execute_from_command_line  # noqa: E402

if __name__ == "__main__":
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "integration_platform.settings")
    try:
        execute_from_command_line(sys.argv)
    except ImproperlyConfigured as error:
        sys.exit(f"{error}")
