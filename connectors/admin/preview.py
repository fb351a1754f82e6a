"""What a mapping, as it stands in its form, makes of a sample. Nothing is saved and nothing is sent."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import islice
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
from connectors.paths import EACH, MAX_STEPS, Step, join_path

SAMPLE_CHARACTERS = 256 * 1024
SHOWN_CHARACTERS = 64 * 1024
SHOWN_PATHS = 300
SHOWN_ITEMS = 20
"""Of a list, whose items are alike as a rule."""
ITEM = re.compile(r"\[\d+\]")

Entries = dict[str, Any]


@dataclass(frozen=True)
class Problem:
    """Where something is wrong, in words, and a sentence; `row` and `field` are the form's, where it is about one."""

    place: str
    text: str
    row: str = ""
    field: str = ""


@dataclass
class Preview:
    """What is shown: faults of the rows as written, or failures with this sample, or the result."""

    faults: list[Problem] = field(default_factory=list)
    failures: list[Problem] = field(default_factory=list)
    result: str = ""
    note: str = ""
    changes: list[tuple[str, str]] = field(default_factory=list)
    """Lines that the version in force would write otherwise."""
    paths: list[str] = field(default_factory=list)
    """What the sample has, to choose sources from."""


@dataclass
class Written:
    """A mapping as it stands in its form: its definition, or what is wrong; the forms of its rows, in their order."""

    definition: Entries
    forms: list[Any] = field(default_factory=list)
    faults: list[Problem] = field(default_factory=list)


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
    written = Written({"expression": expression}) if expression else _rows(mapping, data)
    sample = data.get("sample") or ""
    shown = Preview(faults=written.faults)
    run = None
    if not shown.faults and (expression or written.forms):
        try:
            run = mappings.compile_definition(written.definition, tables)
        except mappings.InvalidMapping as error:
            shown.faults = [_fault(one, written) for one in error.faults]
    elif not shown.faults:
        shown.note = "Write a row, or an expression; what becomes of the sample is shown here."
    if sample.strip():
        _with_sample(shown, run, sample, mapping, written, tables)
    elif run is not None:
        shown.note = "Paste a payload, or take that of a message."
    return shown


def _rows(mapping: Mapping, data: Any) -> Written:
    """The rows as they stand in the form, and what is wrong with them."""
    made: Any = inlineformset_factory(Mapping, FieldRow, form=FieldRowForm, formset=FieldRowFormSet, can_delete=True)
    rows = made(data, instance=mapping, prefix="rows")
    valid, forms = rows.is_valid(), rows.rows()
    if valid or not forms:
        return Written({"fields": [form.instance.definition() for form in forms]}, forms)
    faults = [
        Problem(f"Row {number}, {name}" if name != "__all__" else f"Row {number}", message, form.prefix, name)
        for number, form in enumerate(forms, start=1)
        for name, messages in form.errors.items()
        for message in messages
    ]
    return Written({}, forms, faults or [Problem("", str(message)) for message in rows.non_form_errors()])


def _fault(fault: mappings.RowFault, written: Written) -> Problem:
    if not written.forms:
        return Problem("Expression", fault.message)
    row = written.forms[fault.index].prefix
    return Problem(f"Row {fault.index + 1}, {fault.field}", fault.message, row, fault.field)


def _failure(error: mappings.FieldError, written: Written) -> Problem:
    """A payload that a row cannot map; errors name the item, rows name all of them: lines[0].sku, lines[].sku."""
    if not error.target:
        return Problem("Expression", error.message)
    place = f"{error.target} ← {error.source}" if error.source else error.target
    names = {_each(error.target), error.target}
    row = next((form.prefix for form in written.forms if form.cleaned_data.get("target") in names), "")
    return Problem(place, error.message, row, "source")


def _each(path: str) -> str:
    return ITEM.sub("[]", path)


def _with_sample(
    shown: Preview, run: mappings.Mapper | None, sample: str, mapping: Mapping, written: Written, tables: Entries
) -> None:
    if len(sample) > SAMPLE_CHARACTERS:
        shown.failures.append(Problem("Sample", f"It has more than {SAMPLE_CHARACTERS:,} characters."))
        return
    try:
        payload = formats.parse(sample.encode())
    except formats.MalformedBody as error:
        shown.failures.append(Problem("Sample", f"This is not JSON: {error}"))
        return
    shown.paths = list(islice(dict.fromkeys(paths_in(payload)), SHOWN_PATHS))
    if run is None:
        return
    try:
        result = formats.dump_pretty(run(payload))
    except mappings.MappingFailed as error:
        shown.failures = [_failure(one, written) for one in error.errors]
    except formats.UnwritableValue as error:
        shown.failures.append(Problem("Result", str(error)))
    else:
        if len(result) > SHOWN_CHARACTERS:
            shown.note = f"The first {SHOWN_CHARACTERS:,} of {len(result):,} characters."
        before = _in_force(mapping, payload, tables)
        shown.result = result[:SHOWN_CHARACTERS]
        shown.changes = [] if before is None else difference(before, result)


def paths_in(value: Any, steps: tuple[Step, ...] = ()) -> Iterator[str]:
    """The paths of all values in a payload, items of lists as `[]`, from the outside inwards as they stand there."""
    if steps and len(steps) <= MAX_STEPS:
        yield join_path(steps)
    if len(steps) >= MAX_STEPS:
        return
    if isinstance(value, dict):
        for name, inner in value.items():
            yield from paths_in(inner, (*steps, name))
    elif isinstance(value, list):
        for inner in value[:SHOWN_ITEMS]:
            yield from paths_in(inner, (*steps, EACH))


def _in_force(mapping: Mapping, payload: Any, tables: Entries) -> str | None:
    """What the newest saved version makes of it; None where there is none, or where it fails."""
    version = mapping.versions.order_by("-number").first() if mapping.pk else None
    if version is None:
        return None
    try:
        return formats.dump_pretty(mappings.compile_definition(version.definition, tables)(payload))
    except (mappings.InvalidMapping, mappings.MappingFailed, formats.UnwritableValue):
        return None
