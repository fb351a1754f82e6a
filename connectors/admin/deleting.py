"""What stands in the way of a deletion, asked before anything is collected: a route may have a million messages."""

from collections.abc import Iterator
from typing import Any

from django.db.models import CASCADE, PROTECT, QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import reverse
from django.utils.text import capfirst


def in_the_way(rows: QuerySet[Any]) -> Iterator[str]:
    """The kinds of rows, in the plural, that rest on some of `rows` and that a deletion would leave in the air.

    One `exists()` for each kind, instead of reading all of them as Django's collector does; what goes along with
    `rows` is asked for its own dependants last.
    """
    relations = [one for one in rows.model._meta.get_fields(include_hidden=True) if getattr(one, "on_delete", None)]
    resting = [
        (one.on_delete, one.field.model._base_manager.filter(**{f"{one.field.name}__in": rows}))
        for one in relations
        if one.auto_created and not one.concrete
    ]
    for on_delete, leaning in resting:
        if on_delete is PROTECT and leaning.exists():
            yield str(leaning.model._meta.verbose_name_plural)
    for on_delete, leaning in resting:
        if on_delete is CASCADE:
            yield from in_the_way(leaning)


class Kept:
    """Rows that others rest on stay: the page and the list say which, and what to do `instead`."""

    instead = "Change what rests on it first."

    def get_deleted_objects(self, objs: Any, request: HttpRequest) -> Any:
        """Called for a selection of the list, too; `protected` is what both pages refuse by."""
        refused = [
            f"{capfirst(row._meta.verbose_name)} “{row}”: it has {kinds}. {self.instead}"
            for row in objs
            if (kinds := next(in_the_way(type(row)._base_manager.filter(pk=row.pk)), ""))
        ]
        if refused:
            return [], {}, set(), refused
        return super().get_deleted_objects(objs, request)  # type: ignore[misc]

    def delete_view(self, request: HttpRequest, object_id: str, extra_context: Any = None) -> HttpResponse:
        row = self.get_object(request, object_id)  # type: ignore[attr-defined]
        if row is not None and self.has_delete_permission(request, row):  # type: ignore[attr-defined]
            kinds = next(in_the_way(type(row)._base_manager.filter(pk=row.pk)), "")
            if kinds:
                said = f"“{row}” was not deleted: it has {kinds}. {self.instead}"
                self.message_user(request, said, level="warning")  # type: ignore[attr-defined]
                return redirect(reverse(f"admin:{row._meta.app_label}_{row._meta.model_name}_change", args=[row.pk]))
        response: HttpResponse = super().delete_view(request, object_id, extra_context)  # type: ignore[misc]
        return response
