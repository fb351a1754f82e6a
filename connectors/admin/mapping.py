"""Mappings, their rows and versions, and lookup tables."""

from typing import Any

from django import forms
from django.contrib import admin
from django.db.models import Max, QuerySet
from django.forms.models import BaseInlineFormSet
from django.http import HttpRequest
from django.utils.html import format_html
from unfold.admin import ModelAdmin, TabularInline
from unfold.decorators import display
from unfold.widgets import UnfoldAdminTextInputWidget

from connectors import formats
from connectors import mapping as mappings
from connectors.admin.base import HiddenFromIndex, NamedAdmin, ReadOnly
from connectors.models import FieldRow, LookupTable, Mapping, MappingVersion, Revision


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


class FieldRowForm(forms.ModelForm):
    default = LooseJSONField(required=False)
    constant = LooseJSONField(required=False)

    class Meta:
        model = FieldRow
        fields = ("target", "source", "type", "required", "default", "lookup", "constant", "position")
        widgets = {"source": UnfoldAdminTextInputWidget, "target": UnfoldAdminTextInputWidget}


class FieldRowFormSet(BaseInlineFormSet):
    """Compiles all rows together; each fault lands on its row's field."""

    def clean(self) -> None:
        super().clean()
        forms_in_order = (
            [
                form
                for form in self.forms
                if form.has_changed() or form.instance.pk
                if not (self.can_delete and form.cleaned_data.get("DELETE"))
            ]
            if not any(self.errors)
            else []
        )
        expression = (self.data.get("expression") or "").strip()
        if any(self.errors):
            return
        if bool(forms_in_order) == bool(expression):
            raise forms.ValidationError("A mapping has either field rows or an expression.")
        if not forms_in_order:
            return
        forms_in_order.sort(key=lambda form: form.cleaned_data.get("position") or 0)
        tables = {table.slug: table.entries for table in LookupTable.objects.all()}
        rows = [form.save(commit=False).definition() for form in forms_in_order]
        try:
            mappings.compile_definition({"fields": rows}, tables)
        except mappings.InvalidMapping as error:
            for fault in error.faults:
                form = forms_in_order[fault.index]
                form.add_error(fault.field if fault.field in form.fields else None, fault.message)


class FieldRowInline(TabularInline):
    model = FieldRow
    form = FieldRowForm
    formset = FieldRowFormSet
    extra = 0
    ordering_field = "position"
    hide_ordering_field = True
    ordering = ("position", "pk")
    verbose_name_plural = "field rows"


class VersionInline(ReadOnly, TabularInline):
    model = MappingVersion
    extra = 0
    fields = ("number", "created_at", "created_by", "shown")
    readonly_fields = fields
    ordering = ("-number",)
    max_num = 0
    verbose_name_plural = "versions: each saved change"

    @display(description="Definition")
    def shown(self, version: MappingVersion) -> str:
        return json_block(version.definition)


class MappingForm(forms.ModelForm):
    class Meta:
        model = Mapping
        fields = ("name", "slug", "description", "expression")

    def clean_expression(self) -> str:
        text: str = self.cleaned_data["expression"].strip()
        if text:
            try:
                mappings.compile_expression_mapping(text)
            except mappings.InvalidMapping as error:
                raise forms.ValidationError([fault.message for fault in error.faults]) from error
        return text


@admin.register(Mapping)
class MappingAdmin(NamedAdmin):
    form = MappingForm
    list_display = ("__str__", "slug", "kind", "version", "updated_at")
    fieldsets = ((None, {"fields": ("name", "slug", "description", "expression")}),)
    inlines = (FieldRowInline, VersionInline)

    def get_queryset(self, request: HttpRequest) -> QuerySet[Mapping]:
        return super().get_queryset(request).annotate(newest=Max("versions__number"))

    @display(description="Kind")
    def kind(self, mapping: Mapping) -> str:
        return "expression" if mapping.expression else "field rows"

    @display(description="Version", ordering="newest")
    def version(self, mapping: Any) -> str:
        return f"v{mapping.newest}" if mapping.newest else "–"

    def save_related(self, request: HttpRequest, form: Any, formsets: Any, change: bool) -> None:
        super().save_related(request, form, formsets, change)
        version = form.instance.publish(by=request.user)
        if version is not None:
            self.message_user(request, f"Version {version.number} is in force.", level="success")


@admin.register(LookupTable)
class LookupTableAdmin(NamedAdmin):
    list_display = ("__str__", "slug", "size", "updated_at")
    fieldsets = ((None, {"fields": ("name", "slug", "entries")}),)

    @display(description="Entries")
    def size(self, table: LookupTable) -> int:
        return len(table.entries)


@admin.register(MappingVersion)
class MappingVersionAdmin(HiddenFromIndex, ReadOnly, ModelAdmin):
    list_display = ("mapping", "number", "created_at", "created_by")
    list_select_related = ("mapping", "created_by")
    fields = ("mapping", "number", "created_at", "created_by", "shown")
    readonly_fields = fields

    @display(description="Definition")
    def shown(self, version: MappingVersion) -> str:
        return json_block(version.definition)


@admin.register(FieldRow)
class FieldRowAdmin(HiddenFromIndex, ReadOnly, ModelAdmin):
    list_display = ("mapping", "position", "target", "source")
    list_select_related = ("mapping",)


@admin.register(Revision)
class RevisionAdmin(HiddenFromIndex, ReadOnly, ModelAdmin):
    list_display = ("number",)


def json_block(value: Any) -> str:
    return format_html('<pre class="platform-json">{}</pre>', formats.dump_pretty(value))
