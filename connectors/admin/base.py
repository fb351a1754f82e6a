"""What the configuration's pages share."""

from collections.abc import Iterable
from typing import Any
from urllib.parse import urlencode

from django.contrib import admin
from django.db.models import Model
from django.forms import Form, ModelForm, Textarea
from django.http import HttpRequest
from django.urls import reverse
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString
from unfold.admin import ModelAdmin
from unfold.decorators import display

from connectors import audit
from connectors.admin.deleting import Kept
from connectors.models.base import Named

TEXT_ROWS = {
    "expression": 5,
    "schema": 12,
    "entries": 12,
    "headers": 3,
    "query_parameters": 2,
    "search_keys": 3,
    "force_list": 2,
    "statuses": 2,
}
SHOWN_LINKS = 50


class HiddenFromIndex:
    """Registered for permissions and links, but shown inside another page."""

    show_facets = admin.ShowFacets.NEVER

    def has_module_permission(self, request: HttpRequest) -> bool:
        return False


class ReadOnly:
    """Rows that the platform writes; people look."""

    show_facets = admin.ShowFacets.NEVER  # each count of a filter's values reads the whole table

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


class Audited:
    """Pages whose changes are kept with their old and new values."""

    def construct_change_message(self, request: HttpRequest, form: Any, formsets: Any, add: bool = False) -> list[Any]:
        return audit.of_forms(form, formsets, add=add)


class NamedAdmin(Audited, Kept, ModelAdmin):
    """Pages of objects with a slug and a name.

    `uses_fieldsets` are shown as soon as the object exists: what it is used by, and what it leads to. `parts` names
    what nobody may delete by itself, but goes or stays with the object.
    """

    search_fields: tuple[str, ...] = ("slug", "name")
    uses_fieldsets: tuple[Any, ...] = ()
    parts: frozenset[str] = frozenset()
    list_per_page = 25
    show_facets = admin.ShowFacets.NEVER
    warn_unsaved_form = True

    def get_fieldsets(self, request: HttpRequest, obj: Any = None) -> Any:
        fieldsets = super().get_fieldsets(request, obj)
        return (*fieldsets, *self.uses_fieldsets) if obj else fieldsets

    def formfield_for_dbfield(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        """Text areas as high as what is usually written into them."""
        field = super().formfield_for_dbfield(db_field, request, **kwargs)
        if isinstance(getattr(field, "widget", None), Textarea):
            field.widget.attrs["rows"] = TEXT_ROWS.get(db_field.name, 2)
        return field

    def get_prepopulated_fields(self, request: HttpRequest, obj: Any = None) -> dict[str, tuple[str, ...]]:
        return {} if obj else {"slug": ("name",)}

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> tuple[str, ...]:
        """A slug is in other systems' addresses and in files: it is chosen once."""
        return (
            (*super().get_readonly_fields(request, obj), "slug")
            if obj
            else tuple(super().get_readonly_fields(request, obj))
        )

    def get_deleted_objects(self, objs: Any, request: HttpRequest) -> Any:
        listed, counts, needed, protected = super().get_deleted_objects(objs, request)
        return listed, counts, set(needed) - self.parts, protected

    @display(description="Changed", ordering="updated_at")
    def changed(self, row: Named) -> str:
        return f"{row.updated_at:%Y-%m-%d %H:%M}"


def label_fields(form: Form | ModelForm, what: str) -> None:
    """Names for fields in a table: it has headings, which say nothing to whoever hears one field at a time."""
    for name, field in form.fields.items():
        field.widget.attrs["aria-label"] = f"{what}, {(field.label or name.replace('_', ' ')).lower()}"


def links(rows: Iterable[Model]) -> SafeString:
    """The pages of `rows`, SHOWN_LINKS of them at most, by name."""
    found = list(rows)
    if not found:
        return format_html('<span class="platform-muted">{}</span>', "none")
    shown = format_html_join(", ", "{}", ((link(page_of(row), row),) for row in found[:SHOWN_LINKS]))
    rest = len(found) - SHOWN_LINKS
    return format_html("{} and {} more", shown, rest) if rest > 0 else shown


def link(url: str, text: Any) -> SafeString:
    return format_html('<a class="platform-link" href="{}">{}</a>', url, text)


def page_of(row: Model) -> str:
    return reverse(f"admin:{row._meta.app_label}_{row._meta.model_name}_change", args=[row.pk])


def listed(model: str, **filters: Any) -> str:
    """The address of a list, filtered; `model` as in `messaging_message`."""
    url = reverse(f"admin:{model}_changelist")
    return f"{url}?{urlencode(filters)}" if filters else url


def webhook_address(base: str, slug: str) -> str:
    """Where the messages of the route `slug` are sent to; `base` is the platform's address, with its last slash."""
    return f"{base}webhooks/{slug}"
