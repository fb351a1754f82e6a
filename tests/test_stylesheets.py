"""The admin's stylesheets are all on every page: what one says of a class, no other says again."""

import re
from collections import defaultdict
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
SHEETS = (*ROOT.glob("connectors/static/connectors/*.css"), *ROOT.glob("messages/static/messages/*.css"))
ALONE = re.compile(r"^\.platform-[a-z-]+(?=[ ]*[,{])", re.MULTILINE)
"""A class by itself at the beginning of a rule: that is where it is defined; longer selectors are about a place."""


def test_class_is_defined_in_one_stylesheet() -> None:
    defined = defaultdict(set)
    for sheet in SHEETS:
        for name in ALONE.findall(sheet.read_text()):
            defined[name].add(sheet.name)

    assert len(defined) > 50
    assert {name: sheets for name, sheets in defined.items() if len(sheets) > 1} == {}
