import io
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from connectors.models import Application
from connectors.networks import AllowedNetworks
from tests.processes import environment_of_a_user

pytestmark = pytest.mark.django_db
ROOT = Path(__file__).parents[2]
ENDPOINTS = """
version: 1
applications:
  - slug: erp
    endpoints:
      - {slug: private, url: "http://127.0.0.1:9/orders"}
      - {slug: listed, url: "http://10.0.0.7/orders"}
      - {slug: empty, url: "https://erp.example.com/orders", method: GET}
      - {slug: by-address, url: "https://erp.example.com/orders/{id}", method: DELETE}
      - {slug: by-query, url: "https://erp.example.com/orders", method: GET, query: {id: "{id}"}}
"""
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
        "2 created.",
    ]


def test_apply_says_what_will_hardly_work_and_does_it(tmp_path: Path, settings: Any, capsys: Any) -> None:
    settings.OUTBOUND_ALLOWED_NETWORKS = AllowedNetworks.parse("10.0.0.0/8")
    path = tmp_path / "platform.yaml"
    path.write_text(ENDPOINTS)

    printed = run("apply", str(path))
    warned = capsys.readouterr().err.splitlines()
    run("apply", str(path))

    assert printed.splitlines()[-1] == "6 created."
    assert capsys.readouterr().err == ""
    assert warned == [
        (
            "warning: endpoint private: Calls to it will be refused: 127.0.0.1 is a private address that "
            "OUTBOUND_ALLOWED_NETWORKS does not list."
        ),
        (
            "warning: endpoint empty: GET sends no body, and no value of the message stands in the address, the query "
            "or a header, such as {order.id}: the destination learns nothing of it."
        ),
    ]


def test_last_line_says_changed_only_where_something_was(file: str) -> None:
    run("apply", file)
    Path(file).write_text(f"{FILE}lookup_tables: [{{slug: countries}}]\n".replace("slug: crm", "slug: crm, name: CRM"))

    assert run("apply", file, "--check").splitlines()[-1] == "1 created, 1 changed. Only checked, nothing was saved."


@pytest.mark.parametrize("command", [("apply", "platform.yaml"), ("export",), ("rotate_secrets",)])
@pytest.mark.parametrize(
    ("variables", "said"),
    [
        ({}, "The database lacks migrations. Run `manage.py migrate` first"),
        ({"DATABASE_URL": "postgres://user@127.0.0.1:1/name"}, "DATABASE_URL: the database cannot be used."),
    ],
)
def test_database_that_is_not_ready_is_one_line(
    tmp_path: Path, command: tuple[str, ...], variables: dict[str, str], said: str
) -> None:
    (tmp_path / "platform.yaml").write_text(FILE)
    given = {**environment_of_a_user(), "DEBUG": "1", "DATA_DIR": str(tmp_path), "CRM_SECRET": "x" * 20, **variables}

    done = subprocess.run(
        [sys.executable, str(ROOT / "manage.py"), *command],
        cwd=tmp_path, env=given, capture_output=True, text=True, check=False,
    )  # fmt: skip

    assert done.returncode == 1
    assert done.stderr.startswith(f"CommandError: {said}")
    assert len(done.stderr.splitlines()) == 1


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

    assert run("apply", str(tmp_path / "out.yaml")).endswith("Nothing to change: 2 objects.\n")
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
