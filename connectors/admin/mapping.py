"""Mappings and lookup tables."""

from typing import Any

from django import forms
from django.contrib import admin
from django.contrib.admin.utils import flatten_fieldsets
from django.db.models import Max, Q, QuerySet
from django.http import HttpRequest, HttpResponse
from django.urls import path
from django.utils.safestring import SafeString
from unfold.admin import ModelAdmin
from unfold.decorators import display

from connectors import mapping as mappings
from connectors.admin.base import HiddenFromIndex, NamedAdmin, ReadOnly, links
from connectors.admin.preview import preview
from connectors.admin.rows import FieldRowInline
from connectors.admin.versions import VersionInline
from connectors.models import LookupTable, Mapping, Revision, Route


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
    fieldsets = ((None, {"fields": (("name", "slug"), "description")}),)
    readonly_fields = ("route_links",)
    inlines = (FieldRowInline, VersionInline)
    parts = frozenset({"field row", "mapping version"})

    def get_fieldsets(self, request: HttpRequest, obj: Any = None) -> Any:
        ((title, options),) = super().get_fieldsets(request, obj)
        return ((title, {**options, "fields": (*options["fields"], "route_links")}),) if obj else ((title, options),)

    def get_form(self, request: HttpRequest, obj: Any = None, change: bool = False, **kwargs: Any) -> Any:
        """The expression stands beside the field rows, as the other way to write the same: `ways.html`."""
        beside = kwargs.pop("fields", None) or flatten_fieldsets(self.get_fieldsets(request, obj))
        return super().get_form(request, obj, change=change, fields=[*beside, "expression"], **kwargs)

    def get_inlines(self, request: HttpRequest, obj: Any) -> Any:
        return self.inlines if obj else [one for one in self.inlines if one is not VersionInline]

    def get_urls(self) -> list[Any]:
        own = path("preview/", self.admin_site.admin_view(self.preview), name="connectors_mapping_preview")
        return [own, *super().get_urls()]

    def preview(self, request: HttpRequest) -> HttpResponse:
        return preview(self, request)

    def get_queryset(self, request: HttpRequest) -> QuerySet[Mapping]:
        return super().get_queryset(request).annotate(newest=Max("versions__number"))

    @display(description="Kind")
    def kind(self, mapping: Mapping) -> str:
        return "expression" if mapping.expression else "field rows"

    @display(description="Version", ordering="newest")
    def version(self, mapping: Any) -> str:
        return f"v{mapping.newest}" if mapping.newest else "–"

    @display(description="Used by")
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

    def get_form(self, request: HttpRequest, obj: Any = None, change: bool = False, **kwargs: Any) -> Any:
        told = {"entries": 'What a value becomes, as JSON: {"Germany": "DE", "France": "FR"}.'}
        return super().get_form(request, obj, change=change, help_texts=told, **kwargs)

    @display(description="Entries")
    def size(self, table: LookupTable) -> int:
        return len(table.entries)

    @display(description="Mappings")
    def mapping_links(self, table: LookupTable) -> SafeString:
        return links(Mapping.objects.filter(rows__lookup=table).distinct())


@admin.register(Revision)
class RevisionAdmin(HiddenFromIndex, ReadOnly, ModelAdmin):
    list_display = ("number",)
