"""Samples for a mapping's preview: what its routes received, or for a reply mapping what came back."""

from typing import Any

from django.core.exceptions import PermissionDenied
from django.db.models import Exists, OuterRef, Q, QuerySet
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404
from django.template.response import TemplateResponse

from connectors import formats
from connectors.models import Mapping, Route
from messages.admin.display import content_type, may_see_payloads
from messages.admin.recorded import BODY_BYTES, SHOWN, SHOWN_ROUTES, with_payload
from messages.models import Attempt, Message


def samples(page: Any, request: HttpRequest) -> HttpResponse:
    """The newest messages of the mapping's routes, to choose one; a part of the mapping's page."""
    mapping = _asked(page, request)
    routes = Route.objects.filter(Q(mapping=mapping) | Q(reply_mapping=mapping))[:SHOWN_ROUTES]
    rows = [message for route in routes for message in _readable(mapping, route)]
    context = {"mapping": mapping, "samples": sorted(rows, key=lambda message: -message.pk)}
    return TemplateResponse(request, "admin/messaging/message/samples.html", context)


def _readable(mapping: Mapping, route: Route) -> QuerySet[Message]:
    """The newest of a route; a reply mapping reads answers, and there are none without a delivery."""
    rows: QuerySet[Message] = with_payload(route)
    if route.mapping_id != mapping.pk:
        rows = rows.filter(Exists(Attempt.objects.filter(message=OuterRef("pk"), status_code__range=(200, 299))))
    return rows[:SHOWN]


def sample(page: Any, request: HttpRequest, pk: int) -> HttpResponse:
    """The sample's field, with what the mapping would have read of this message; a sentence where that is nothing."""
    mapping = _asked(page, request)
    message = get_object_or_404(Message.objects.select_related("route"), pk=pk, purged_at=None)
    text = read_for(mapping, message)
    note = "" if text else f"Nothing in {message} can be shown as JSON."
    context = {"sample": text or "", "note": note}
    answer = TemplateResponse(request, "admin/connectors/mapping/sample.html", context)
    answer["HX-Trigger-After-Settle"] = "sampled"
    return answer


def _asked(page: Any, request: HttpRequest) -> Mapping:
    if not page.has_view_permission(request) or not may_see_payloads(request):
        raise PermissionDenied
    number = request.GET.get("mapping", "")
    if not number.isdecimal():
        raise Http404
    return get_object_or_404(Mapping, pk=number)


def read_for(mapping: Mapping, message: Message) -> str | None:
    """The mapping's input as JSON with every digit; None where there is none, or where it is too long."""
    route = message.route
    lists = frozenset(route.force_list or ())
    try:
        if route.mapping_id == mapping.pk:
            if len(message.body) > BODY_BYTES:
                return None
            return formats.dump_pretty(formats.read(bytes(message.body), message.content_type, force_list=lists))
        attempt = Attempt.objects.filter(message=message, status_code__range=(200, 299)).order_by("-pk").first()
        if attempt is None or len(attempt.response_body or b"") > BODY_BYTES:
            return None
        kind = content_type(attempt.response_headers)
        body = formats.reply_input(bytes(attempt.response_body or b""), kind, force_list=lists)
        headers = {str(name).lower(): value for name, value in attempt.response_headers or ()}
        return formats.dump_pretty({"status_code": attempt.status_code, "headers": headers, "body": body})
    except formats.UNREADABLE:
        return None
