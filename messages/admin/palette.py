"""What the command palette finds besides pages: messages, by index, for those who may see them."""

from django.http import HttpRequest
from unfold.dataclasses import SearchResult

from connectors.admin.base import page_of
from messages.admin import search
from messages.admin.display import second
from messages.models import Message

SHOWN = 10
SHORTEST = 2
"""One digit finds everything that has it as a key, and is on the way to a longer number."""


def found(request: HttpRequest, search_term: str) -> list[SearchResult]:
    """The newest messages that the term names; as it was typed, since the shell hands it over in small letters."""
    term = request.GET.get("s", search_term).strip()
    if len(term) < SHORTEST or not request.user.has_perm("messaging.view_message"):
        return []
    rows = search.find(Message.objects.order_by("-pk").without_body().select_related("route"), term)[:SHOWN]
    return [
        SearchResult(
            title=str(message),
            description=f"{message.get_status_display()}, {message.route}, {second(message.received_at)}",
            link=page_of(message),
            icon="mail",
        )
        for message in rows
    ]
