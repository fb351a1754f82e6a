import io
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from connectors.models import Application

pytestmark = pytest.mark.django_db
FILE = "version: 1\napplications: [{slug: crm, credentials: [{secret: '${CRM_SECRET}'}]}]\n"


def run(*arguments: str) -> str:
    output = io.StringIO()
    call_command(*arguments, stdout=output)
    return output.getvalue()


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("CRM_SECRET", "the-crm-secret")
    path = tmp_path / "platform.yaml"
    path.write_text(FILE)
    return str(path)


def test_apply_prints_a_line_for_each_object(file: str) -> None:
    printed = run("apply", file)

    assert printed.splitlines() == [
        "created application crm",
        "created credential crm/main",
        "2 created, 0 changed, 0 unchanged",
    ]


def test_apply_check_saves_nothing(file: str) -> None:
    printed = run("apply", file, "--check")

    assert "nothing was saved" in printed
    assert not Application.objects.exists()


def test_apply_of_a_faulty_file_fails_and_names_the_fault(file: str) -> None:
    Path(file).write_text(FILE.replace("slug", "slog"))

    with pytest.raises(CommandError, match=r"applications\[0\]\.slug: it is required"):
        run("apply", file)


def test_apply_of_a_missing_file_fails(tmp_path: Path) -> None:
    with pytest.raises(CommandError, match="cannot be read"):
        run("apply", str(tmp_path / "none.yaml"))


def test_export_writes_what_apply_reads(file: str, tmp_path: Path, monkeypatch: Any) -> None:
    run("apply", file)
    monkeypatch.delenv("CRM_SECRET")

    run("export", "--output", str(tmp_path / "out.yaml"))

    assert run("apply", str(tmp_path / "out.yaml")).endswith("0 created, 0 changed, 2 unchanged\n")
    assert run("export") == (tmp_path / "out.yaml").read_text()
    assert "the-crm-secret" not in run("export")
