import io
import os
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


def test_apply_of_a_faulty_file_fails_and_names_each_fault_on_a_line(file: str, capsys: Any) -> None:
    Path(file).write_text(FILE.replace("slug", "slog"))

    with pytest.raises(CommandError, match="2 faults; nothing was changed") as caught:
        run("apply", file)

    assert caught.value.returncode == 1
    assert capsys.readouterr().err.splitlines() == [
        "applications[0].slug: it is required",
        "applications[0].slog: this key is not known; did you mean slug?",
    ]


UNREADABLE = [
    # what the file holds, and what is said about it
    (b"version: 1\nname: caf\xe9", r"is not UTF-8 \(line 2, byte 10 of it\)"),
    (b"#" * (10 * 1024 * 1024 + 1), "is larger than 10485760 bytes"),
]


@pytest.mark.parametrize(("content", "said"), UNREADABLE)
def test_apply_of_an_unreadable_file_fails(tmp_path: Path, content: bytes, said: str) -> None:
    path = tmp_path / "platform.yaml"
    path.write_bytes(content)

    with pytest.raises(CommandError, match=said):
        run("apply", str(path))


def test_apply_of_a_missing_file_fails(tmp_path: Path) -> None:
    with pytest.raises(CommandError, match="cannot be read: No such file"):
        run("apply", str(tmp_path / "none.yaml"))


def test_secrets_of_another_key_stop_neither_apply_nor_export(file: str, settings: Any) -> None:
    run("apply", file)
    Path(file).write_text(FILE.replace("{secret", "{name: other, scheme: basic, secret"))
    run("apply", file)
    settings.ENCRYPTION_KEYS = ["YW5vdGhlci1rZXktb2YtMzItYnl0ZXMtbG9uZywgeWU="]

    assert "changed credential crm/other (secret)" in run("apply", file)
    assert "CRM_OTHER_SECRET" in run("export")


def test_export_writes_what_apply_reads(file: str, tmp_path: Path, monkeypatch: Any) -> None:
    run("apply", file)
    monkeypatch.delenv("CRM_SECRET")

    run("export", "--output", str(tmp_path / "out.yaml"))

    assert run("apply", str(tmp_path / "out.yaml")).endswith("0 created, 0 changed, 2 unchanged\n")
    assert run("export") == (tmp_path / "out.yaml").read_text()
    assert "the-crm-secret" not in run("export")


def test_export_replaces_a_file_whole_and_keeps_its_mode(file: str, tmp_path: Path) -> None:
    run("apply", file)
    old, link = tmp_path / "old.yaml", tmp_path / "link.yaml"
    old.write_text("old")
    old.chmod(0o640)
    link.symlink_to(old)

    run("export", "--output", str(link))

    assert link.is_symlink()
    assert old.read_text() == run("export")
    assert old.stat().st_mode & 0o777 == 0o640
    assert sorted(path.name for path in tmp_path.iterdir()) == ["link.yaml", "old.yaml", "platform.yaml"]


def test_export_writes_into_what_is_no_file(file: str) -> None:
    run("apply", file)
    reading, writing = os.pipe()

    run("export", "--output", f"/dev/fd/{writing}")
    os.close(writing)

    with open(reading, encoding="utf-8") as pipe:  # noqa: PTH123 - a descriptor has no path
        assert pipe.read() == run("export")


def test_export_that_cannot_be_written_fails_and_leaves_nothing(file: str, tmp_path: Path) -> None:
    with pytest.raises(CommandError, match="cannot be written: No such file"):
        run("export", "--output", str(tmp_path / "none" / "out.yaml"))

    assert not (tmp_path / "none").exists()
