"""A row in every table that the admin shows, in a state in which most verbs could do something."""

from datetime import timedelta

from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import Group
from django.utils import timezone
from django_q.models import Failure

from connectors import audit
from integration_platform.models import LoginTally
from messages.tasks import ensure_schedules
from tests import factories


def furnish(text: str = "plain") -> None:
    """`text` stands wherever people or other systems write something."""
    somebody = factories.UserFactory(username="somebody")
    source = factories.ApplicationFactory(name=text, description=text)
    endpoint = factories.EndpointFactory(name=text, application=source, headers={"X-Said": text}, bearer=True)
    mapping = factories.MappingFactory(name=text, description=text)
    table = factories.LookupTableFactory(name=text, entries={text: text})
    factories.FieldRowFactory(mapping=mapping, lookup=table, source="`x`")
    for number in (1, 2):
        definition = {"fields": [{"target": f"no{number}", "constant": text}]}
        factories.MappingVersionFactory(mapping=mapping, number=number, definition=definition)
    parts = {"source": source, "endpoint": endpoint, "mapping": mapping}
    route = factories.RouteFactory(name=text, search_keys={"order": "id"}, schema={"title": text}, **parts)
    credential = factories.CredentialFactory(application=source, name=text, github=True)
    credential.set_secret("another", keep_until=timezone.now() + timedelta(days=1))
    credential.save()
    dead = factories.MessageFactory(
        dead=True,
        lane__route=route,
        lane__key=text,
        body=text.encode(),
        headers={"X-Said": text},
        idempotency_key=text,
        content_type=text[:255],
        told__error={"type": "/problems/destination-refused", "title": text, "detail": text, "errors": []},
    )
    factories.MessageFactory(lane__route=route, resubmission_of=dead)
    factories.AttemptFactory(
        message=dead, detail=text, response_body=text.encode(), response_headers=[["X-Said", text]], url=text
    )
    factories.SearchKeyFactory(message=dead, name="order", value=text)
    bulk = factories.BulkFactory(selection=text, reason=text, made_by=somebody)
    factories.BulkItemFactory(message=dead, bulk=bulk, refused=True, note=text)
    factories.CircuitFactory(endpoint=endpoint, open=True, reason=text)
    factories.AllowanceFactory(endpoint=endpoint)
    factories.RejectionFactory(route=route, detail=text, body=text.encode())
    factories.WorkerFactory(name=text)
    factories.HourlyCountFactory(route=route)
    factories.SavedViewFactory(owner=somebody, name=text[:50], shared=True)
    LoginTally.objects.create(kind="account", key=text, seen_at=timezone.now())
    Group.objects.create(name=text)
    ensure_schedules()
    Failure.objects.create(
        id="a" * 32, name=text, func=text, started=timezone.now(), stopped=timezone.now(), success=False, result=text
    )
    for row in (route, dead, dead.lane, bulk, endpoint, mapping):
        audit.record(row, by=somebody, text=f"Done. {text}")
    audit.record(route, by=somebody, text=audit.changed({"Name": (text, text)}))
    assert LogEntry.objects.exists()
