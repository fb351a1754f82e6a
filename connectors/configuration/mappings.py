"""Lookup tables and mappings: the rows of a mapping are compiled before anything is saved, each fault to its row."""

from dataclasses import replace
from typing import Any

from connectors.configuration.reading import Section
from connectors.configuration.saving import Saving, differs, find
from connectors.mapping import InvalidMapping, compile_definition
from connectors.models import FieldRow, LookupTable, Mapping
from connectors.paths import MISSING

TARGET_LENGTH = FieldRow._meta.get_field("target").max_length or 0


def save_lookup_table(saving: Saving, section: Section) -> None:
    table = find(LookupTable, slug=section.text("slug"))
    values: dict[str, Any] = {"name": section.text("name"), "entries": section.mapping("entries") or {}}
    section.end()
    saving.save("lookup table", section, table, values)


class Mappings:
    """All mappings of one file, over all lookup tables: those that it names have been saved by then."""

    def __init__(self, saving: Saving) -> None:
        self._saving = saving
        self._tables = {table.slug: table for table in LookupTable.objects.all()}
        self._lookups = {slug: table.entries for slug, table in self._tables.items()}
        for slug in saving.named.get("lookup table", ()):
            self._lookups.setdefault(slug, {})  # faulty itself: said there

    def save(self, section: Section) -> None:
        before = len(section.faults)
        mapping = find(Mapping, slug=section.text("slug"))
        expression = section.text("expression")
        values: dict[str, Any] = {
            "name": section.text("name"),
            "description": section.text("description"),
            "expression": expression,
        }
        rows = self._rows(section)
        section.end()
        if expression:
            self._compiles([section], {"expression": expression})
        if rows or len(section.faults) > before:
            # a row that is faulty by itself is left out, so that the faults of the others are found, too
            self._compiles([one for one, row in rows if row], {"fields": [row for _, row in rows if row]})
        definitions = [row for _, row in rows if row]
        stored = mapping.definition().get("fields") if mapping.pk else None
        if mapping.pk is None or differs(stored or [], definitions):
            values["fields"] = MISSING
        change = self._saving.save("mapping", section, mapping, values, told={"fields": (stored, definitions)})
        if change is None or len(section.faults) > before:
            return
        if "fields" in values:
            mapping.write_rows(definitions, self._tables)
        version = mapping.publish()
        if version is not None and change.action != "created":
            detail = "; ".join(filter(None, (change.detail, f"version {version.number}")))
            self._saving.changes[-1] = replace(change, action="changed", detail=detail)

    def _rows(self, section: Section) -> list[tuple[Section, dict[str, Any] | None]]:
        """The rows as the model's definition writes them, keys in its order; None for one that is faulty."""
        given = section.values.get("fields") is not None
        rows = section.sections("fields")
        if given == (section.values.get("expression") not in (None, "")):
            section.fault("", "a mapping has either fields or an expression")
        elif given and not section.values["fields"]:
            section.fault("fields", "a mapping has at least one row")
        return [(row, self._row(row)) for row in rows]

    def _row(self, section: Section) -> dict[str, Any] | None:
        before = len(section.faults)
        row: dict[str, Any] = {"target": section.text("target", required=True)}
        for key in ("source", "type"):
            if text := section.text(key):
                row[key] = text
        if section.boolean("required", default=False):
            row["required"] = True
        if section.has("default"):
            row["default"] = section.raw("default")
        if text := section.text("lookup"):
            row["lookup"] = text
        if section.has("constant"):
            row["constant"] = section.raw("constant")
        section.end()
        if len(row["target"]) > TARGET_LENGTH:
            section.fault("target", f"it has at most {TARGET_LENGTH} letters")
        return row if len(section.faults) == before else None

    def _compiles(self, sections: list[Section], definition: dict[str, Any]) -> None:
        """Reports what the compiler says, each fault to the section at its index."""
        if not sections:
            return
        try:
            compile_definition(definition, self._lookups)
        except InvalidMapping as error:
            for fault in error.faults:
                sections[fault.index].fault(fault.field, fault.message)
