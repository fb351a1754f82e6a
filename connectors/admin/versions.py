"""Versions of a mapping: what each saved change changed, and the way back."""

from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString
from unfold.admin import ModelAdmin, TabularInline
from unfold.decorators import display
from unfold.forms import PaginationInlineFormSet

from connectors import audit, formats
from connectors.admin.base import HiddenFromIndex, ReadOnly, link, page_of
from connectors.admin.comparing import difference, lines_shown
from connectors.admin.pausing import back_to
from connectors.admin.reason import ReasonForm, verb
from connectors.mapping import InvalidMapping
from connectors.models import MappingVersion


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
        return link(page_of(version), f"v{version.number}")

    @display(description="Definition")
    def shown(self, version: MappingVersion) -> SafeString:
        rows = version.definition.get("fields")
        title = "expression" if rows is None else "1 field row" if len(rows) == 1 else f"{len(rows)} field rows"
        fold = '<details class="platform-fold"><summary class="cursor-pointer">{}</summary>{}</details>'
        return format_html(fold, title, definition_shown(version.definition))


@admin.register(MappingVersion)
class MappingVersionAdmin(HiddenFromIndex, ReadOnly, ModelAdmin):
    list_display = ("mapping", "number", "created_at", "created_by")
    list_select_related = ("mapping", "created_by")
    fields = (("mapping", "number"), ("created_at", "created_by"), "before", "in_force", "shown")
    readonly_fields = ("mapping", "number", "created_at", "created_by", "before", "in_force", "shown")
    actions_detail = ("restore",)

    def has_restore_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """A method, since the shell looks a permission's name up in the database before there is one."""
        return request.user.has_perm("connectors.change_mapping")

    def get_actions_detail(self, request: HttpRequest, object_id: Any) -> list[Any]:
        """What is in force already cannot be restored."""
        version = self.get_object(request, object_id)
        if version is None or _newest(version).pk == version.pk:
            return []
        return list(super().get_actions_detail(request, object_id))

    @verb(
        "Restore this version",
        "settings_backup_restore",
        "It becomes the newest version, and is in force at once. The versions between stay.",
        submit="Restore",
        permission="restore",
    )
    def restore(self, request: HttpRequest, form: ReasonForm, object_id: str) -> HttpResponse:
        version = self.get_object(request, object_id)
        if version is None:
            raise Http404
        try:
            made = version.restore(by=request.user)
        except InvalidMapping as error:
            self.message_user(request, f"It cannot be restored: {error}", level="error")
            return back_to(request, version)
        if made is not None:
            note = f"Restored version {version.number} as version {made.number}. {form.cleaned_data['reason']}"
            audit.record(version.mapping, by=request.user, text=note)
        said = f"Version {made.number} is in force." if made else "It is in force already."
        self.message_user(request, said, level="success")
        return back_to(request, version.mapping)

    @display(description="Definition")
    def shown(self, version: MappingVersion) -> SafeString:
        return definition_shown(version.definition)

    @display(description="Changed by it")
    def before(self, version: MappingVersion) -> SafeString:
        """Against the version before it."""
        previous = version.mapping.versions.filter(number__lt=version.number).order_by("-number").first()
        return _compared(previous, version) if previous else format_html("{}", "It is the first.")

    @display(description="Changed since")
    def in_force(self, version: MappingVersion) -> SafeString:
        """What is different in the version that is in force."""
        newest = _newest(version)
        return _compared(version, newest) if newest.pk != version.pk else format_html("{}", "It is in force.")


def _newest(version: MappingVersion) -> MappingVersion:
    newest: MappingVersion = version.mapping.versions.order_by("-number").first() or version
    return newest


def _compared(old: MappingVersion, new: MappingVersion) -> SafeString:
    return lines_shown(difference(formats.dump_pretty(old.definition), formats.dump_pretty(new.definition)))


def definition_shown(definition: dict[str, Any]) -> SafeString:
    """Field rows as a table, target ← source and what else a row says; an expression as it is written."""
    if "expression" in definition:
        return format_html('<pre class="platform-json" tabindex="0">{}</pre>', definition["expression"])
    rows = ((row.get("target", ""), _origin(row), _rest(row)) for row in definition.get("fields", []))
    shown = format_html_join("", "<tr><th>{}</th><td>←\N{NO-BREAK SPACE}{}</td><td>{}</td></tr>", rows)
    return format_html('<table class="platform-headers platform-definition">{}</table>', shown)


def _origin(row: dict[str, Any]) -> str:
    return str(row["source"]) if "source" in row else formats.dump(row.get("constant")).decode()


def _rest(row: dict[str, Any]) -> str:
    told = [row["type"]] if "type" in row else []
    told += ["required"] if row.get("required") else []
    told += [f"default {formats.dump(row['default']).decode()}"] if "default" in row else []
    told += [f"looked up in {row['lookup']}"] if "lookup" in row else []
    return ", ".join(told)
