"""What is different between two texts, line by line."""

import difflib

from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

COMPARED_CHARACTERS = 256 * 1024
"""Longer texts are not compared on a page: nobody waits for it."""
COMPARED_LINES = 4_000
KINDS = {"+": "added", "-": "removed"}


def difference(old: str, new: str) -> list[tuple[str, str]]:
    """As `changed_lines`; none for texts that are too long."""
    before, after = old.splitlines(), new.splitlines()
    if max(len(old), len(new)) > COMPARED_CHARACTERS or max(len(before), len(after)) > COMPARED_LINES:
        return []
    return changed_lines(before, after)


def changed_lines(before: list[str], after: list[str]) -> list[tuple[str, str]]:
    """Changed lines with their surroundings, as (kind, text); kind is "added", "removed" or "same"."""
    compared = list(difflib.unified_diff(before, after, lineterm="", n=2))[2:]
    return [(KINDS.get(line[:1], "same"), line) for line in compared]


def lines_shown(lines: list[tuple[str, str]]) -> SafeString:
    if not lines:
        return format_html('<span class="platform-muted">{}</span>', "Nothing that is shown here.")
    shown = format_html_join("", '<span class="platform-{}">{}\n</span>', lines)
    return format_html('<pre class="platform-json" tabindex="0">{}</pre>', shown)
