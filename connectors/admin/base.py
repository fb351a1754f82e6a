"""What the configuration's pages share."""

from typing import Any

from django.forms import Textarea
from django.http import HttpRequest
from unfold.admin import ModelAdmin

TEXT_ROWS = {"expression": 5, "schema": 12, "entries": 12, "headers": 3, "search_keys": 3}


class HiddenFromIndex:
    """Registered for permissions and links, but shown inside another page."""

    def has_module_permission(self, request: HttpRequest) -> bool:
        return False


class ReadOnly:
    """Rows that the platform writes; people look."""

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


class NamedAdmin(ModelAdmin):
    """Pages of objects with a slug and a name."""

    search_fields: tuple[str, ...] = ("slug", "name")
    list_per_page = 25
    show_full_result_count = False
    warn_unsaved_form = True

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
