"""Plain values → rows, in one transaction.

The file is the whole truth about each object that it names: a key that is not given takes its default. What stays as
it is: objects that the file does not name, also credentials and endpoints of an application that it does name; secrets
that are not given or whose variable is not set; and whether a route or an endpoint is paused, which is an operator's.
"""

from collections.abc import Mapping
from typing import Any

from django.db import transaction

from connectors.configuration.applications import save_application
from connectors.configuration.mappings import Mappings, save_lookup_table
from connectors.configuration.reading import InvalidConfiguration, Section, read_file
from connectors.configuration.routes import save_route
from connectors.configuration.saving import Change, Saving

SECTIONS = ("applications", "lookup_tables", "mappings", "routes")


def apply_configuration(text: str, *, environ: Mapping[str, str], check: bool = False, by: Any = None) -> list[Change]:
    """Upserts everything in the file, in one transaction; one Change for each object, in the order of the work.

    What was created and changed is kept in the history of each object, as the deed of `by` if somebody is named.

    With `check` the same is done and taken back. Raises InvalidConfiguration, with all faults; then nothing is changed.
    """
    top = read_file(text, environ)
    version = top.raw("version")
    if isinstance(version, bool) or not isinstance(version, int) or version != 1:
        top.fault("version", "it has to be 1")
    with transaction.atomic():
        saving = Saving(by)
        _apply(top, saving)
        if top.faults or check:
            transaction.set_rollback(True)
    if top.faults:
        raise InvalidConfiguration(top.faults)
    return saving.changes


def _apply(top: Section, saving: Saving) -> None:
    """In the order of their references. What is faulty is left out, and the rest is read on for its own faults."""
    sections = {key: top.sections(key) for key in SECTIONS}
    top.end()
    for section in saving.each("lookup table", sections["lookup_tables"]):
        save_lookup_table(saving, section)
    mappings = Mappings(saving)
    for section in saving.each("mapping", sections["mappings"]):
        mappings.save(section)
    for section in saving.each("application", sections["applications"]):
        save_application(saving, section)
    for section in saving.each("route", sections["routes"]):
        save_route(saving, section)
