"""A page's row is read once: the shell asks for it anew for every verb that it might offer."""

from typing import Any

from django.http import HttpRequest


class ReadOnce:
    """Keeps what `get_object` found on the request. A verb's own code looks at the tables again, under their locks."""

    def get_object(self, request: HttpRequest, object_id: Any, from_field: str | None = None) -> Any:
        kept: dict[Any, Any] = request.__dict__.setdefault("platform_rows", {})
        key = (self, str(object_id), from_field)
        if key not in kept:
            kept[key] = self.read_object(request, object_id, from_field)
        return kept[key]

    def read_object(self, request: HttpRequest, object_id: Any, from_field: str | None) -> Any:
        """The row, or None; for pages that read more of it than a list does."""
        return super().get_object(request, object_id, from_field)  # type: ignore[misc]
