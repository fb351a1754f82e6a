"""The platform's settings with values of the tests' own: no developer's shell or .env decides about a test."""

import os
import tempfile
from pathlib import Path

DATA_DIR = tempfile.mkdtemp(prefix="platform-tests-")
OWN = {
    "DATA_DIR": DATA_DIR,
    "DEBUG": "0",
    "DATABASE_URL": os.environ.get("TEST_DATABASE_URL", ""),
    "BROKER_URL": "",
    "SECRET_KEY": "the-tests-only",
    "ENCRYPTION_KEYS": "bm90LWEtc2VjcmV0LWJ1dC0zMi1ieXRlcy1sb25nISE=",
    "ALLOWED_HOSTS": "testserver,localhost,127.0.0.1",
    "OUTBOUND_ALLOWED_NETWORKS": "127.0.0.0/8",
    "METRICS_TOKEN": "",
    "TRUSTED_PROXIES": "",
}
os.environ.update(OWN)

from integration_platform.settings import *  # noqa: E402, F403 - the environment comes first
from integration_platform.settings import DATABASE_IS_SQLITE, DATABASES  # noqa: E402

PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
if DATABASE_IS_SQLITE:
    # a file, as in production: threads and processes of a test see each other's commits
    DATABASES["default"]["TEST"] = {"NAME": str(Path(DATA_DIR) / "tests.sqlite3")}
else:
    # a database of this run: two runs on one server would empty each other's tables
    DATABASES["default"]["TEST"] = {"NAME": f"test_platform_{os.getpid()}"}
    DATABASES["default"]["OPTIONS"]["options"] += " -c synchronous_commit=off"  # nobody pulls the plug of these
