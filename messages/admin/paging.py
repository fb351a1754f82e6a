"""Lists of tables that grow for ever: nothing counts or sorts all rows."""

from typing import Any

from django.contrib import admin
from django.core.paginator import Paginator
from django.http import HttpRequest
from django.utils.functional import cached_property

COUNTED = 10_000
OLDER = "older"
"""The primary key that a page ends before. It is about paging, and never narrows what is selected."""
PASSING = ("p", "e", OLDER)
"""What says where in a list somebody is, and not what is listed."""
MAX_KEY_DIGITS = 18
"""A longer number in an address is no primary key of any database's."""


def key_in(text: object) -> int | None:
    """The primary key that an address names; None for what is none."""
    number = str(text)
    return int(number) if number.isdecimal() and len(number) <= MAX_KEY_DIGITS else None


class UncountedPaginator(Paginator):
    """Counts to COUNTED and no further: a COUNT over a million rows takes longer than everything else on the page."""

    @cached_property
    def count(self) -> int:
        rows: Any = self.object_list
        count: int = rows.order_by().values("pk")[:COUNTED].count()
        return count


class UncountedPages:
    """For a change list: no word about how many rows there are in all."""

    def get_results(self, request: HttpRequest) -> None:
        super().get_results(request)  # type: ignore[misc]
        if not self.has_active_filters and not self.query:  # type: ignore[attr-defined]
            self.full_result_count = self.result_count  # type: ignore[attr-defined]


class FixedPages:
    """For a change list: its order."""

    fixed: list[str]

    def get_ordering(self, request: HttpRequest, queryset: Any) -> list[str]:
        return self.fixed


class Uncounted:
    """A list that says how many rows it has as far as they are counted, and never asks for all of them."""

    list_per_page = 25
    show_full_result_count = False
    paginator = UncountedPaginator

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> Any:
        base: Any = super().get_changelist(request, **kwargs)  # type: ignore[misc]
        return type("UncountedChangeList", (UncountedPages, base), {})


class FixedOrder(Uncounted):
    """A list in its own order, whatever the address asks for: any other one would sort all rows.

    Nor may an address look for anything but the list's own filters and `looked_up`: every other column has no index.
    """

    ordering: tuple[str, ...] = ("-pk",)
    sortable_by: tuple[str, ...] = ()
    show_facets = admin.ShowFacets.NEVER
    looked_up: frozenset[str] = frozenset()

    def lookup_allowed(self, lookup: str, value: Any, request: Any = None) -> bool:
        name = lookup.removesuffix("__exact").removesuffix("__id").removesuffix("__isnull")
        filters: Any = self.list_filter  # type: ignore[attr-defined]
        return name in self.looked_up or name in {getattr(one, "parameter_name", one) for one in filters}

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> Any:
        base: Any = super().get_changelist(request, **kwargs)
        return type("FixedChangeList", (FixedPages, base), {"fixed": list(self.ordering)})
