"""What tests that start the platform's processes share."""

import os

from tests import settings


def environment_of_a_user() -> dict[str, str]:
    """The environment without anything that the tests have put into it."""
    return {name: value for name, value in os.environ.items() if name not in (*settings.OWN, "DJANGO_SETTINGS_MODULE")}
