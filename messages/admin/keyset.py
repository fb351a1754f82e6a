"""Pages of a list that grows for ever: each begins behind the last row of the one before it, however far that is."""

from typing import Any

from django.http import HttpRequest

from messages.admin.paging import COUNTED, OLDER, key_in


class Bounded(int):
    """A number that was counted no further than COUNTED."""

    def __str__(self) -> str:
        return f"more than {int(self):,}"


class KeysetPages:
    """For a change list in the order of its primary keys, newest first."""

    def get_filters(self, request: HttpRequest) -> Any:
        """Keeps paging out of the filters, and the shell's own panel away: the form above the list is all there is."""
        self.filter_params.pop(OLDER, None)  # type: ignore[attr-defined]
        specs, _, lookups, duplicates, active = super().get_filters(request)  # type: ignore[misc]
        self.narrowing = specs[0]
        return specs, False, lookups, duplicates, active

    def get_results(self, request: HttpRequest) -> None:
        size = self.list_per_page  # type: ignore[attr-defined]
        queryset: Any = self.queryset  # type: ignore[attr-defined]
        older = key_in(request.GET.get(OLDER, ""))
        is_first = older is None
        following = queryset if is_first else queryset.filter(pk__lt=older)
        # what a search finds is few, and has an order of its own
        rows = list(following[: size + 1] if self.query else self.narrowing.newest(following, size + 1))  # type: ignore[attr-defined]
        self.result_list = rows[:size]
        self.result_count = self._count(request, rows, is_first=is_first)
        self.full_result_count = self.result_count  # said below the list
        self.show_admin_actions = True
        self.can_show_all, self.multi_page = False, False
        self.paginator = self.model_admin.get_paginator(request, queryset, size)  # type: ignore[attr-defined]
        self.paginator.template_name = "admin/messaging/message/older.html"
        has_more = len(rows) > size
        query = self.get_query_string  # type: ignore[attr-defined]
        self.older_url = query({OLDER: rows[size - 1].pk}) if has_more else ""
        self.newest_url = "" if is_first else query({})

    def _count(self, request: HttpRequest, rows: list[Any], *, is_first: bool) -> int:
        if is_first and len(rows) <= self.list_per_page:  # type: ignore[attr-defined]
            return len(rows)
        count: int = self.model_admin.get_paginator(request, self.queryset, self.list_per_page).count  # type: ignore[attr-defined]
        return Bounded(count) if count >= COUNTED else count
