import logging
import subprocess
import sys
from pathlib import Path

import pytest
from django.test import Client

from integration_platform.logs import LineFormatter, Outsiders, SharedFile, UnforeseenOnly

WRITER = """
import logging, sys
from integration_platform.logs import SharedFile
handler = SharedFile(sys.argv[1], max_bytes=20_000, kept=200)
for number in range(2000):
    handler.emit(logging.LogRecord("x", logging.INFO, "here.py", 1, f"{sys.argv[2]} {number:04d}", (), None))
"""
ROOT = Path(__file__).parents[2]


def record(text: str, *, failed: bool = False) -> logging.LogRecord:
    error = ValueError("x")
    info = (type(error), error, None) if failed else None
    return logging.LogRecord("messages", logging.ERROR, "here.py", 1, text, (), info)


def test_no_line_of_ours_can_be_forged() -> None:
    line = LineFormatter().format(record("id=1\n2026-01-01 00:00:00 INFO admin logged in\x1b[0m"))

    assert "\n" not in line
    assert "\x1b" not in line
    assert "\\x0a2026" in line


def test_foreseen_errors_are_not_logged_twice() -> None:
    kept = UnforeseenOnly()

    assert not kept.filter(record("Bad Gateway: /webhooks/x"))
    assert kept.filter(record("Internal Server Error: /webhooks/x", failed=True))


def test_what_outsiders_cause_is_said_now_and_then_and_without_a_traceback() -> None:
    seldom = Outsiders(seconds=60)
    first, second = record("Invalid HTTP_HOST header", failed=True), record("Invalid HTTP_HOST header", failed=True)

    kept = [seldom.filter(first), seldom.filter(second)]

    assert kept == [True, False]
    assert first.exc_info is None


@pytest.mark.django_db
def test_flood_of_wrong_hosts_is_one_line(caplog: pytest.LogCaptureFixture) -> None:
    for _ in range(5):
        assert Client().get("/health/live", headers={"host": "evil.example.com"}).status_code == 400

    assert len([line for line in caplog.records if "evil.example.com" in line.getMessage()]) <= 1
    assert "Traceback" not in caplog.text


def test_full_file_is_put_aside_and_the_oldest_goes(tmp_path: Path) -> None:
    handler = SharedFile(str(tmp_path / "platform.log"), max_bytes=10, kept=2)

    for number in range(5):
        handler.emit(record(f"the line number {number}"))
    handler.close()

    kept = {path.name: path.read_text() for path in tmp_path.iterdir()}
    assert kept == {"platform.log.1": "the line number 4\n", "platform.log.2": "the line number 3\n"}


def test_processes_share_a_file_and_lose_no_line(tmp_path: Path) -> None:
    command = [sys.executable, "-c", WRITER, str(tmp_path / "platform.log")]
    writers = [subprocess.Popen([*command, name], cwd=ROOT) for name in "abc"]
    assert [writer.wait(60) for writer in writers] == [0, 0, 0]

    lines = [line for path in tmp_path.iterdir() for line in path.read_text().splitlines()]

    assert sorted(lines) == [f"{name} {number:04d}" for name in "abc" for number in range(2000)]


def test_file_that_cannot_be_written_stops_nobody(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    handler = SharedFile(str(tmp_path / "none" / "platform.log"), max_bytes=10, kept=2)

    handler.emit(record("a line"))

    assert "Logging error" in capsys.readouterr().err
