"""Field rows: how people write them, and the check of all of them together."""

from typing import Any

from django import forms
from django.contrib import admin
from django.forms.models import BaseInlineFormSet
from django.http import HttpRequest
from unfold.admin import ModelAdmin, TabularInline
from unfold.widgets import UnfoldAdminTextInputWidget

from connectors import formats
from connectors import mapping as mappings
from connectors.admin.base import HiddenFromIndex, ReadOnly, label_fields
from connectors.choices import FieldType
from connectors.models import FieldRow, LookupTable

SUGGESTIONS = "mapping-paths"
"""The list of the preview that has the sample's paths."""


class LooseJSONField(forms.CharField):
    """What people type into `default` and `constant`: JSON where it is JSON, otherwise a text. Stored as JSON text."""

    widget = UnfoldAdminTextInputWidget

    def prepare_value(self, value: Any) -> Any:
        """A text is shown without quotes, unless it would then be read as something else."""
        try:
            stored = formats.parse(value.encode()) if value else value
        except (formats.MalformedBody, AttributeError):
            return value
        return stored if isinstance(stored, str) and self.to_python(stored) == value else value

    def to_python(self, value: Any) -> str:
        text = super().to_python(value)
        if not text:
            return ""
        try:
            return formats.dump(formats.parse(text.encode())).decode()
        except formats.MalformedBody:
            return formats.dump(text).decode()

    def has_changed(self, initial: Any, data: Any) -> bool:
        """A default that is shown as 19.90 and comes back so has not changed, though it is stored as text."""
        return (initial or "") != self.to_python(data)


def one_line(**attrs: str) -> UnfoldAdminTextInputWidget:
    """Paths and values as they are written, without a browser's memory or its opinion on their spelling."""
    return UnfoldAdminTextInputWidget(attrs={"autocomplete": "off", "spellcheck": "false", **attrs})


class FieldRowForm(forms.ModelForm):
    default = LooseJSONField(
        required=False,
        widget=one_line(placeholder="default"),
        help_text="Used when the source is absent or null.",
    )
    constant = LooseJSONField(required=False, widget=one_line(placeholder="constant"), help_text="Instead of a source.")

    class Meta:
        model = FieldRow
        fields = ("target", "source", "type", "required", "default", "lookup", "constant", "position")
        widgets = {
            "target": one_line(placeholder="target, e.g. lines[].sku"),
            "source": one_line(placeholder="source, e.g. items[].sku", list=SUGGESTIONS),
        }

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if "type" in self.fields:
            titles = {**dict(FieldType.choices), FieldType.DECIMAL: "Decimal"}  # the row has no room for more
            self.fields["type"].choices = [("", "as it is"), *titles.items()]  # type: ignore[attr-defined]
        label_fields(self, "Field row")


class FieldRowFormSet(BaseInlineFormSet):
    """Compiles all rows together; each fault lands on its row's field."""

    def clean(self) -> None:
        super().clean()
        if any(self.errors):
            return
        rows = self.rows()
        expression = (self.data.get("expression") or "").strip()
        if bool(rows) == bool(expression):
            raise forms.ValidationError("A mapping has either field rows or an expression.")
        if rows:
            self._compile(rows)

    def rows(self) -> list[Any]:
        """The forms that stay, in their order, faulty ones included."""
        stay = [
            form
            for form in self.forms
            if (form.has_changed() or form.instance.pk) and not form.cleaned_data.get("DELETE")
        ]
        return sorted(stay, key=lambda form: form.cleaned_data.get("position") or 0)

    def _compile(self, rows: list[Any]) -> None:
        tables = {table.slug: table.entries for table in LookupTable.objects.all()}
        try:
            mappings.compile_definition({"fields": [form.instance.definition() for form in rows]}, tables)
        except mappings.InvalidMapping as error:
            for fault in error.faults:
                form = rows[fault.index]
                form.add_error(fault.field if fault.field in form.fields else None, fault.message)


class FieldRowInline(TabularInline):
    model = FieldRow
    form = FieldRowForm
    formset = FieldRowFormSet
    extra = 0
    ordering_field = "position"
    hide_ordering_field = True
    hide_title = True
    ordering = ("position", "pk")
    template_before = "admin/connectors/mapping/ways.html"
    template_after = "admin/connectors/mapping/preview.html"
    verbose_name_plural = "What becomes of a payload"

    def formfield_for_foreignkey(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        field = super().formfield_for_foreignkey(db_field, request, **kwargs)
        if db_field.name == "lookup" and field is not None:
            field.empty_label = "no lookup"
        return field

    def formfield_for_dbfield(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        """Tables are made on their own page: the row has no room for a menu."""
        field = super().formfield_for_dbfield(db_field, request, **kwargs)
        if db_field.name == "lookup":
            field.widget = field.widget.widget
        return field


@admin.register(FieldRow)
class FieldRowAdmin(HiddenFromIndex, ReadOnly, ModelAdmin):
    list_display = ("mapping", "position", "target", "source")
    list_select_related = ("mapping",)
