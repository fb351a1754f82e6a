"""What keeps the house in order."""

import pydoc
import subprocess
import sys
from pathlib import Path

import pytest
from django.apps import apps
from django.conf import settings
from django.contrib import admin
from django.core.management import call_command

from connectors.models.base import Configured, ConfiguredManager
from connectors.models.endpoint import MAX_TIMEOUT_SECONDS
from messages.pump import MAX_OVERTIME_SECONDS
from messages.tasks import SCHEDULES

ROOT = Path(__file__).parents[1]
APPS = ("connectors", "messaging")


@pytest.mark.parametrize("model", [model for label in APPS for model in apps.get_app_config(label).get_models()])
def test_every_model_is_in_the_admin(model: type) -> None:
    assert admin.site.is_registered(model)  # type: ignore[arg-type]


@pytest.mark.parametrize("model", [model for model in apps.get_models() if issubclass(model, Configured)])
def test_every_change_of_the_configuration_moves_the_revision(model: type[Configured]) -> None:
    assert isinstance(model.objects, ConfiguredManager)  # type: ignore[attr-defined]
    assert isinstance(model._default_manager, ConfiguredManager)


@pytest.mark.parametrize("name", [*SCHEDULES, "messages.pump.pump", "messages.tasks.show_life"])
def test_task_names_lead_to_functions(name: str) -> None:
    assert callable(pydoc.locate(name))


@pytest.mark.django_db
def test_no_migration_is_missing() -> None:
    call_command("makemigrations", check=True, dry_run=True, verbosity=0)


@pytest.mark.parametrize("command", sorted(path.stem for path in ROOT.glob("*/management/commands/[a-z]*.py")))
def test_every_command_has_a_test(command: str) -> None:
    tests = [path.read_text() for path in (ROOT / "tests").rglob("test_*.py") if path != Path(__file__)]

    assert any(f'"{command}"' in text for text in tests)


def test_pure_modules_know_neither_django_nor_requests() -> None:
    pure = (
        "paths",
        "differences",
        "mapping",
        "formats",
        "schemas",
        "retries",
        "networks",
        "headers",
        "expressions",
        "readers",
        "signatures",
        "keys",
    )
    code = (
        f"import sys; [__import__(f'connectors.{{name}}') for name in {pure!r}];"
        "sys.exit(any(name.partition('.')[0] in ('django', 'requests') for name in sys.modules))"
    )

    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False).returncode == 0


def test_imports_point_down() -> None:
    pytest.importorskip("importlinter", reason="import-linter comes with the lint extra")
    command = "import sys; from importlinter.cli import lint_imports; sys.exit(lint_imports(no_cache=True))"

    done = subprocess.run([sys.executable, "-c", command], cwd=ROOT, capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stdout


def test_times_of_the_queue_fit_together() -> None:
    """A dead worker's lanes go on within a minute; a pump ends before django-q2 ends it, whatever it waits for."""
    timeouts = settings.Q_CLUSTER["ALT_CLUSTERS"][settings.LANES_CLUSTER]

    assert settings.LEASE_SECONDS <= 60
    assert (
        settings.PUMP_BUDGET_SECONDS + MAX_OVERTIME_SECONDS + MAX_TIMEOUT_SECONDS
        < timeouts["timeout"]
        < timeouts["retry"]
    )
    assert settings.Q_CLUSTER["timeout"] < settings.Q_CLUSTER["retry"]
    assert settings.Q_CLUSTER["timeout"] < settings.TASKS_STALE_SECONDS
    assert settings.STALE_SECONDS <= 60


def test_workplace_and_registries_are_not_named() -> None:
    names = subprocess.run(
        ["/usr/bin/env", "git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.split()

    for name in names:
        if name.endswith((".py", ".md", ".toml", ".txt", ".yaml", "Makefile")) and name != "tests/test_architecture.py":
            text = (ROOT / name).read_text(errors="replace")
            assert "index-url" not in text, name
            assert "/work/" not in text, name
