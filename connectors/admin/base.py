"""What the configuration's pages share."""

from typing import Any

from django.http import HttpRequest
from unfold.admin import ModelAdmin


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

    search_fields = ("slug", "name")
    list_per_page = 25
    show_full_result_count = False
    warn_unsaved_form = True

    def get_prepopulated_fields(self, request: HttpRequest, obj: Any = None) -> dict[str, tuple[str, ...]]:
        return {} if obj else {"slug": ("name",)}

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> tuple[str, ...]:
        """A slug is in other systems' addresses and in files: it is chosen once."""
        return (*super().get_readonly_fields(request, obj), "slug") if obj else tuple(super().get_readonly_fields(request, obj))
