"""The transformations that administrators configure, every saved change kept as a version."""

from collections.abc import Sequence
from typing import Any

from django.conf import settings
from django.core.exceptions import ValidationError
from django.db import models, transaction

from connectors import formats
from connectors.choices import FieldType
from connectors.mapping import compile_definition
from connectors.models.base import Configured, ConfiguredManager, Named
from connectors.models.fields import ExactJSONField


class LookupTable(Named):
    """Texts and what they become: `Germany` → `DE`."""

    entries = ExactJSONField(default=dict, blank=True, help_text='{"Germany": "DE", "France": "FR"}')

    objects = ConfiguredManager()

    def clean(self) -> None:
        if self.entries is None:
            self.entries = {}
        if not isinstance(self.entries, dict):
            raise ValidationError(
                {"entries": "Entries are an object: each name is looked up, its value is the answer."}
            )
        if any(isinstance(value, dict | list) for value in self.entries.values()):
            raise ValidationError({"entries": "A value is a text, a number, true, false or null."})


class Mapping(Named):
    """A list of field rows, or one JSONata expression. What runs is its newest version, never the rows themselves."""

    description = models.TextField(blank=True)
    expression = models.TextField(
        "JSONata expression",
        blank=True,
        help_text="Instead of field rows. Numbers in it are doubles: money belongs into rows.",
    )

    objects = ConfiguredManager()

    def definition(self) -> dict[str, Any]:
        """What the rows or the expression say now, in the form of the configuration file."""
        if self.expression:
            return {"expression": self.expression}
        return {"fields": [row.definition() for row in self.rows.all()]}

    def write_rows(self, rows: Sequence[dict[str, Any]], tables: "dict[str, LookupTable]") -> None:
        """Replaces the rows by these, which are written as `FieldRow.definition` writes them."""
        self.rows.all().delete()
        FieldRow.objects.bulk_create(
            FieldRow(
                mapping=self,
                position=position,
                target=row["target"],
                source=row.get("source", ""),
                type=row.get("type", ""),
                required=row.get("required", False),
                default=formats.dump(row["default"]).decode() if "default" in row else "",
                lookup=tables.get(row.get("lookup", "")),
                constant=formats.dump(row["constant"]).decode() if "constant" in row else "",
            )
            for position, row in enumerate(rows)
        )

    def publish(self, by: Any = None) -> "MappingVersion | None":
        """Makes a new version if the definition differs from the newest one; returns it, or None."""
        with transaction.atomic():
            Mapping.objects.select_for_update().get(pk=self.pk)
            newest = self.versions.order_by("-number").first()
            definition = self.definition()
            # as they are written: 19.90 and 19.9 are the same number and not the same digits
            if newest is not None and formats.dump(newest.definition) == formats.dump(definition):
                return None
            return MappingVersion.objects.create(
                mapping=self, number=newest.number + 1 if newest else 1, definition=definition, created_by=by
            )


class MappingVersion(Configured):
    """One saved state of a mapping. Messages record the version that they were mapped with."""

    mapping = models.ForeignKey(Mapping, models.CASCADE, related_name="versions")
    number = models.PositiveIntegerField()
    definition = ExactJSONField()
    created_at = models.DateTimeField(auto_now_add=True)
    created_by = models.ForeignKey(settings.AUTH_USER_MODEL, models.SET_NULL, null=True, blank=True, related_name="+")

    objects = ConfiguredManager()

    class Meta:
        ordering = ["mapping", "-number"]
        constraints = [models.UniqueConstraint(fields=["mapping", "number"], name="mapping_version_number")]

    def __str__(self) -> str:
        return f"{self.mapping} v{self.number}"

    def restore(self, by: Any = None) -> "MappingVersion | None":
        """Makes this definition the newest version again; returns it, or None where it is in force.

        Raises InvalidMapping where it could not run any more: a lookup table may be gone.
        """
        with transaction.atomic():
            mapping = Mapping.objects.select_for_update().get(pk=self.mapping_id)
            tables = {table.slug: table for table in LookupTable.objects.all()}
            compile_definition(self.definition, {slug: table.entries for slug, table in tables.items()})
            mapping.write_rows(self.definition.get("fields", []), tables)
            mapping.expression = self.definition.get("expression", "")
            mapping.save(update_fields=["expression", "updated_at"])
            return mapping.publish(by=by)


class FieldRow(Configured):
    """One row of a mapping: which value goes where, and what is made of it on the way."""

    mapping = models.ForeignKey(Mapping, models.CASCADE, related_name="rows")
    position = models.PositiveIntegerField(default=0)
    target = models.CharField(max_length=500, help_text="Path in the outgoing object, e.g. lines[].sku")
    source = models.TextField(blank=True, help_text="Path in the payload, or =expression")
    type = models.CharField(max_length=10, choices=FieldType.choices, blank=True)
    required = models.BooleanField(default=False)
    default = models.TextField(blank=True, help_text="JSON, used when the source is absent or null.")
    lookup = models.ForeignKey(LookupTable, models.PROTECT, null=True, blank=True, related_name="rows")
    constant = models.TextField(blank=True, help_text="JSON, instead of a source.")

    objects = ConfiguredManager()

    class Meta:
        ordering = ["mapping", "position", "pk"]

    def __str__(self) -> str:
        return f"{self.target} ← {self.source or self.constant}"

    def definition(self) -> dict[str, Any]:
        """The row as the configuration file writes it: only what is set, keys in a fixed order."""
        row: dict[str, Any] = {"target": self.target}
        if self.source:
            row["source"] = self.source
        if self.type:
            row["type"] = str(self.type)
        if self.required:
            row["required"] = True
        if self.default:
            row["default"] = formats.parse(self.default.encode())
        if self.lookup is not None:
            row["lookup"] = self.lookup.slug
        if self.constant:
            row["constant"] = formats.parse(self.constant.encode())
        return row
