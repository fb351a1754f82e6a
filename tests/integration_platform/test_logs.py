import logging

from integration_platform.logs import LineFormatter, UnforeseenOnly


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
