"""Mappings, their rows and versions, and lookup tables."""

from typing import Any

from django import forms
from django.contrib import admin
from django.db.models import Max, Q, QuerySet
from django.forms.models import BaseInlineFormSet
from django.http import HttpRequest
from django.utils.html import format_html
from django.utils.safestring import SafeString
from unfold.admin import ModelAdmin, TabularInline
from unfold.decorators import display
from unfold.forms import PaginationInlineFormSet
from unfold.widgets import UnfoldAdminTextInputWidget

from connectors import formats
from connectors import mapping as mappings
from connectors.admin.base import HiddenFromIndex, NamedAdmin, ReadOnly, links, page_of
from connectors.choices import FieldType
from connectors.models import FieldRow, LookupTable, Mapping, MappingVersion, Revision, Route


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


def wide(width: str) -> UnfoldAdminTextInputWidget:
    """Paths need room; the table scrolls where a screen has not enough."""
    return UnfoldAdminTextInputWidget(attrs={"style": f"min-width: {width}"})


class FieldRowForm(forms.ModelForm):
    default = LooseJSONField(required=False, widget=wide("6rem"), help_text="Used when the source is absent or null.")
    constant = LooseJSONField(required=False, widget=wide("6rem"), help_text="Instead of a source.")

    class Meta:
        model = FieldRow
        fields = ("target", "source", "type", "required", "default", "lookup", "constant", "position")
        widgets = {"source": wide("10rem"), "target": wide("10rem")}

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if "type" in self.fields:
            self.fields["type"].choices = [("", "as it is"), *FieldType.choices]  # type: ignore[attr-defined]
        for name in {"type", "lookup"} & set(self.fields):
            self.fields[name].widget.attrs["style"] = "min-width: 6.5rem"


class FieldRowFormSet(BaseInlineFormSet):
    """Compiles all rows together; each fault lands on its row's field."""

    def clean(self) -> None:
        super().clean()
        if any(self.errors):
            return
        rows = self._rows()
        expression = (self.data.get("expression") or "").strip()
        if bool(rows) == bool(expression):
            raise forms.ValidationError("A mapping has either field rows or an expression.")
        if rows:
            self._compile(rows)

    def _rows(self) -> list[Any]:
        """The forms that stay, in their order."""
        deleted = self.deleted_forms if self.can_delete else []
        rows = [form for form in self.forms if (form.has_changed() or form.instance.pk) and form not in deleted]
        return sorted(rows, key=lambda form: form.cleaned_data.get("position") or 0)

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
    verbose_name_plural = "field rows"

    def formfield_for_foreignkey(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        field = super().formfield_for_foreignkey(db_field, request, **kwargs)
        if db_field.name == "lookup" and field is not None:
            field.empty_label = "none"
        return field

    def formfield_for_dbfield(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        """Tables are made on their own page: the row has no room for a menu."""
        field = super().formfield_for_dbfield(db_field, request, **kwargs)
        if db_field.name == "lookup":
            field.widget = field.widget.widget
        return field


class VersionInline(ReadOnly, TabularInline):
    model = MappingVersion
    formset = PaginationInlineFormSet
    per_page = 10
    extra = 0
    fields = ("name", "created_at", "created_by", "shown")
    readonly_fields = fields
    ordering = ("-number",)
    max_num = 0
    hide_title = True
    verbose_name_plural = "versions: each saved change, the newest is in force"

    def get_queryset(self, request: HttpRequest) -> QuerySet[MappingVersion]:
        return super().get_queryset(request).select_related("mapping", "created_by")

    @display(description="Version")
    def name(self, version: MappingVersion) -> SafeString:
        return format_html('<a class="platform-link" href="{}">v{}</a>', page_of(version), version.number)

    @display(description="Definition")
    def shown(self, version: MappingVersion) -> SafeString:
        rows = version.definition.get("fields")
        title = "expression" if rows is None else "1 field row" if len(rows) == 1 else f"{len(rows)} field rows"
        return format_html("<details><summary>{}</summary>{}</details>", title, json_block(version.definition))


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
    list_display = ("__str__", "slug", "kind", "version", "changed")
    fieldsets = ((None, {"fields": ("name", "slug", "description", "expression")}),)
    uses_fieldsets = (("Used by", {"fields": ("route_links",)}),)
    readonly_fields = ("route_links",)
    inlines = (FieldRowInline, VersionInline)
    parts = frozenset({"field row", "mapping version"})

    def get_queryset(self, request: HttpRequest) -> QuerySet[Mapping]:
        return super().get_queryset(request).annotate(newest=Max("versions__number"))

    @display(description="Kind")
    def kind(self, mapping: Mapping) -> str:
        return "expression" if mapping.expression else "field rows"

    @display(description="Version", ordering="newest")
    def version(self, mapping: Any) -> str:
        return f"v{mapping.newest}" if mapping.newest else "–"

    @display(description="Routes")
    def route_links(self, mapping: Mapping) -> SafeString:
        return links(Route.objects.filter(Q(mapping=mapping) | Q(reply_mapping=mapping)))

    def save_related(self, request: HttpRequest, form: Any, formsets: Any, change: bool) -> None:
        super().save_related(request, form, formsets, change)
        version = form.instance.publish(by=request.user)
        if version is not None:
            self.message_user(request, f"Version {version.number} is in force.", level="success")


@admin.register(LookupTable)
class LookupTableAdmin(NamedAdmin):
    list_display = ("__str__", "slug", "size", "changed")
    fieldsets = ((None, {"fields": ("name", "slug", "entries")}),)
    uses_fieldsets = (("Used by", {"fields": ("mapping_links",)}),)
    readonly_fields = ("mapping_links",)
    parts = frozenset({"field row"})

    @display(description="Entries")
    def size(self, table: LookupTable) -> int:
        return len(table.entries)

    @display(description="Mappings")
    def mapping_links(self, table: LookupTable) -> SafeString:
        return links(Mapping.objects.filter(rows__lookup=table).distinct())


@admin.register(MappingVersion)
class MappingVersionAdmin(HiddenFromIndex, ReadOnly, ModelAdmin):
    list_display = ("mapping", "number", "created_at", "created_by")
    list_select_related = ("mapping", "created_by")
    fields = ("mapping", "number", "created_at", "created_by", "shown")
    readonly_fields = fields

    @display(description="Definition")
    def shown(self, version: MappingVersion) -> SafeString:
        return json_block(version.definition)


@admin.register(FieldRow)
class FieldRowAdmin(HiddenFromIndex, ReadOnly, ModelAdmin):
    list_display = ("mapping", "position", "target", "source")
    list_select_related = ("mapping",)


@admin.register(Revision)
class RevisionAdmin(HiddenFromIndex, ReadOnly, ModelAdmin):
    list_display = ("number",)


def json_block(value: Any) -> SafeString:
    return format_html('<pre class="platform-json">{}</pre>', formats.dump_pretty(value))
