"""What a route's page shows of its messages and lanes: a part of that page, for those who may see them."""

from typing import Any

from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404
from django.template.response import TemplateResponse

from connectors.admin.base import listed, page_of
from connectors.models import Route
from messages.admin.display import moment, status_label
from messages.database import clock_reading
from messages.models import Lane, Message

SHOWN = 10


def activity(page: Any, request: HttpRequest, pk: int) -> HttpResponse:
    route = get_object_or_404(Route, pk=pk)
    context: dict[str, Any] = {
        "may_see_messages": page.has_view_permission(request),
        "may_see_lanes": request.user.has_perm("messaging.view_lane"),
    }
    if context["may_see_messages"]:
        context["messages_shown"] = newest(route)
        context["messages_url"] = listed("messaging_message", route__id__exact=route.pk)
    if context["may_see_lanes"]:
        held = Lane.objects.held().filter(route=route).select_related("route").order_by("pk")[:SHOWN]
        context["lanes"] = [(page_of(lane), lane) for lane in held]
        context["lanes_url"] = listed("messaging_lane", route__id__exact=route.pk)
    return TemplateResponse(request, "admin/messaging/message/activity.html", context)


def newest(route: Route) -> list[dict[str, Any]]:
    now = clock_reading()
    messages = Message.objects.filter(route=route).without_body().select_related("lane").order_by("-pk")[:SHOWN]
    return [
        {
            "url": page_of(message),
            "message": message,
            "status": status_label(message.standing(now)),
            "received": moment(message.received_at),
        }
        for message in messages
    ]
