"""What is different between two texts: by path where both are JSON, line by line otherwise."""

from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

from connectors import differences, formats

COMPARED_CHARACTERS = 256 * 1024
"""Longer texts are not compared on a page: nobody reads so much."""
SHOWN_LINES = 1_000


def difference(old: str, new: str) -> list[tuple[str, str]]:
    """Changed lines with their surroundings, as (kind, text); kind is "added", "removed" or "same".

    No lines for texts that are too long.
    """
    if max(len(old), len(new)) > COMPARED_CHARACTERS:
        return []
    try:
        lines = differences.merged(formats.parse(old.encode()), formats.parse(new.encode()))
    except formats.MalformedBody:
        lines = differences.merged_lines(old.splitlines(), new.splitlines())
    left_out = len(lines) - SHOWN_LINES
    return [*lines[:SHOWN_LINES], ("same", f" … and {left_out:,} lines more")] if left_out > 0 else lines


def lines_shown(lines: list[tuple[str, str]]) -> SafeString:
    if not lines:
        return format_html('<span class="platform-muted">{}</span>', "Nothing that is shown here.")
    shown = format_html_join("", '<span class="platform-{}">{}\n</span>', lines)
    return format_html('<pre class="platform-json" tabindex="0">{}</pre>', shown)
