"""What a mapping, as it stands in its form, makes of a sample. Nothing is saved and nothing is sent."""

from dataclasses import dataclass, field
from typing import Any

from django.core.exceptions import PermissionDenied
from django.forms import inlineformset_factory
from django.http import HttpRequest, HttpResponse, HttpResponseNotAllowed
from django.shortcuts import get_object_or_404
from django.template.response import TemplateResponse

from connectors import formats
from connectors import mapping as mappings
from connectors.admin.comparing import difference
from connectors.admin.rows import FieldRowForm, FieldRowFormSet
from connectors.models import FieldRow, LookupTable, Mapping

SAMPLE_CHARACTERS = 256 * 1024
SHOWN_CHARACTERS = 64 * 1024

Entries = dict[str, Any]


@dataclass
class Preview:
    """What is shown: faults of the rows as written, or failures with this sample, or the result."""

    faults: list[tuple[str, str]] = field(default_factory=list)
    """Where, and a sentence."""
    failures: list[tuple[str, str]] = field(default_factory=list)
    result: str = ""
    note: str = ""
    changes: list[tuple[str, str]] = field(default_factory=list)
    """Lines that the version in force would write otherwise."""


def preview(page: Any, request: HttpRequest) -> HttpResponse:
    """A part of the mapping's page. Takes its form's fields and `sample`; `?mapping=` names one that is stored."""
    if request.method != "POST":
        return HttpResponseNotAllowed(["POST"])
    number = request.GET.get("mapping", "")
    mapping = get_object_or_404(Mapping, pk=number) if number.isdecimal() else Mapping()
    if not (page.has_change_permission(request, mapping) if mapping.pk else page.has_add_permission(request)):
        raise PermissionDenied
    shown = make_preview(mapping, request.POST)
    return TemplateResponse(request, "admin/connectors/mapping/outcome.html", {"preview": shown})


def make_preview(mapping: Mapping, data: Any) -> Preview:
    tables: Entries = {table.slug: table.entries for table in LookupTable.objects.all()}
    expression = (data.get("expression") or "").strip()
    definition, faults = ({"expression": expression}, []) if expression else _rows(mapping, data)
    run = None
    if not faults:
        try:
            run = mappings.compile_definition(definition, tables)
        except mappings.InvalidMapping as error:
            faults = [(_place(fault, expression), fault.message) for fault in error.faults]
    if run is None:
        return Preview(faults=faults)
    return _with_sample(run, data.get("sample") or "", mapping, tables)


def _rows(mapping: Mapping, data: Any) -> tuple[Entries, list[tuple[str, str]]]:
    """The rows as they stand in the form, and what is wrong with them."""
    made: Any = inlineformset_factory(Mapping, FieldRow, form=FieldRowForm, formset=FieldRowFormSet, can_delete=True)
    rows = made(data, instance=mapping, prefix="rows")
    if rows.is_valid():
        return {"fields": [form.instance.definition() for form in rows.rows()]}, []
    faults = [
        (f"Row {number}, {name}" if name != "__all__" else f"Row {number}", message)
        for number, form in enumerate(rows.rows(), start=1)
        for name, messages in form.errors.items()
        for message in messages
    ]
    return {}, faults or [("", str(message)) for message in rows.non_form_errors()]


def _place(fault: mappings.RowFault, expression: str) -> str:
    return "Expression" if expression else f"Row {fault.index + 1}, {fault.field}"


def _with_sample(run: mappings.Mapper, sample: str, mapping: Mapping, tables: Entries) -> Preview:
    if not sample.strip():
        return Preview(note="Paste a payload, or take that of a message.")
    if len(sample) > SAMPLE_CHARACTERS:
        return Preview(failures=[("Sample", f"It has more than {SAMPLE_CHARACTERS:,} characters.")])
    try:
        payload = formats.parse(sample.encode())
    except formats.MalformedBody as error:
        return Preview(failures=[("Sample", f"This is not JSON: {error}")])
    try:
        result = formats.dump_pretty(run(payload))
    except mappings.MappingFailed as error:
        return Preview(failures=[(_row(one), one.message) for one in error.errors])
    except formats.UnwritableValue as error:
        return Preview(failures=[("Result", str(error))])
    cut = f"The first {SHOWN_CHARACTERS:,} of {len(result):,} characters." if len(result) > SHOWN_CHARACTERS else ""
    before = _in_force(mapping, payload, tables)
    changes = [] if before is None else difference(before, result)
    return Preview(result=result[:SHOWN_CHARACTERS], note=cut, changes=changes)


def _row(error: mappings.FieldError) -> str:
    return f"{error.target} ← {error.source}" if error.target and error.source else error.target or "Expression"


def _in_force(mapping: Mapping, payload: Any, tables: Entries) -> str | None:
    """What the newest saved version makes of it; None where there is none, or where it fails."""
    version = mapping.versions.order_by("-number").first() if mapping.pk else None
    if version is None:
        return None
    try:
        return formats.dump_pretty(mappings.compile_definition(version.definition, tables)(payload))
    except (mappings.InvalidMapping, mappings.MappingFailed, formats.UnwritableValue):
        return None
