"""Every page of the admin opens, shows what it should and hides what it must."""

import json
from typing import Any

import pytest
from django.contrib import admin
from django.contrib.auth.models import Permission, User
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from connectors.catalogue import catalogue
from connectors.configuration import apply_configuration
from connectors.keys import key_matches
from connectors.models import Application, Credential, Endpoint, FieldRow, LookupTable, Mapping, Route
from messages import intake, lanes
from messages.accepting import Taking
from messages.choices import OutcomeKind
from messages.claims import Finished
from messages.intake import Incoming
from messages.models import Message, Rejection, Worker
from messages.outcomes import Outcome, Received, Reply, Sent
from messages.pump import policy_of

pytestmark = pytest.mark.django_db

XSS = "<script>alert('x')</script>"
CONFIGURATION = """
version: 1
applications:
  - slug: shop
    credentials:
      - {name: main, scheme: api_key, secret: canary-api-key}
      - {name: basic, scheme: basic, username: u, secret: canary-password}
  - slug: erp
    endpoints:
      - {slug: erp-orders, url: "http://127.0.0.1:9/orders", auth: {scheme: bearer, token: canary-token}}
lookup_tables: [{slug: codes, entries: {Norway: NO}}]
mappings:
  - {slug: order, fields: [{target: no, source: id}, {target: price, source: price, type: decimal, default: 19.90}]}
routes:
  - {slug: orders, source: shop, endpoint: erp-orders, patterns: [async, sync], mapping: order,
     search_keys: {order: id}}
"""


@pytest.fixture
def configured() -> None:
    apply_configuration(CONFIGURATION, environ={})


@pytest.fixture
def message(configured: None) -> Message:
    """One message that the destination refused, with hostile text wherever text comes from outside."""
    plan = catalogue.by_slug("orders")
    assert plan is not None
    body = json.dumps({"id": f"47{XSS}", "price": 1}).encode()
    accepted = intake.accept(
        plan, Incoming("sync", body, "application/json", {"User-Agent": XSS}, None), taking=Taking("web", 30)
    )
    assert accepted.claim is not None
    assert accepted.work is not None
    outcome = Outcome(
        OutcomeKind.REFUSED,
        timezone.now(),
        detail=f"refused {XSS}",
        sent=Sent("POST", "http://erp/orders", [["Authorization", "[redacted]"]], XSS.encode()),
        received=Received(422, [["X-Said", XSS]], XSS.encode(), truncated=False),
        reply=Reply(422, "text/html", XSS.encode()),
        error={"type": "/problems/destination-refused", "title": "Refused", "detail": f"refused {XSS}"},
    )
    lanes.finish([Finished(accepted.claim, accepted.work, outcome, policy_of(plan))], now=timezone.now())
    Rejection.objects.create(
        route_id=plan.id,
        reason="invalid-payload",
        status_code=422,
        detail=XSS,
        body=XSS.encode(),
        created_at=timezone.now(),
    )
    Worker.objects.create(name="host:1", started_at=timezone.now(), seen_at=timezone.now())
    return accepted.message


def person(*permissions: str, superuser: bool = False) -> Client:
    user = User.objects.create_user("person", is_staff=True, is_superuser=superuser)
    for permission in permissions:
        label, codename = permission.split(".")
        user.user_permissions.add(Permission.objects.get(content_type__app_label=label, codename=codename))
    client = Client()
    client.force_login(user)
    return client


def pages() -> list[str]:
    """The addresses of all lists, add forms and, where there is a row, change forms."""
    found = [reverse("admin:index")]
    for model, page in admin.site._registry.items():
        name = f"admin:{model._meta.app_label}_{model._meta.model_name}"
        found.append(reverse(f"{name}_changelist"))
        row = model._default_manager.first()
        if row is not None:
            found.append(reverse(f"{name}_change", args=[row.pk]))
        if page.__class__.__name__ in (
            "ApplicationAdmin",
            "EndpointAdmin",
            "MappingAdmin",
            "RouteAdmin",
            "LookupTableAdmin",
        ):
            found.append(reverse(f"{name}_add"))
    return found


def test_every_page_opens_and_nothing_hostile_or_secret_is_in_it(message: Message) -> None:
    client = person(superuser=True)

    for page in pages():
        answer = client.get(page)
        text = answer.content.decode()
        assert answer.status_code == 200, page
        assert XSS not in text, page
        for secret in ("canary-api-key", "canary-password", "canary-token"):
            assert secret not in text, page


def test_message_page_tells_the_whole_story(message: Message) -> None:
    client = person(superuser=True)

    text = client.get(reverse("admin:messaging_message_change", args=[message.pk])).content.decode()

    assert str(message.correlation_id) in text
    assert "Attempt 1" in text
    assert "HTTP 422" in text
    assert "refused &lt;script&gt;" in text
    assert "http://erp/orders" in text


def test_payloads_are_for_those_who_may_see_them(message: Message) -> None:
    client = person("messaging.view_message", "messaging.view_rejection", "messaging.view_attempt")

    page = client.get(reverse("admin:messaging_message_change", args=[message.pk]))
    rejection = client.get(reverse("admin:messaging_rejection_change", args=[Rejection.objects.get().pk]))
    download = client.get(reverse("admin:messaging_message_payload", args=[message.pk]))

    assert page.status_code == rejection.status_code == 200
    assert b"platform-json" not in page.content
    assert b"platform-json" not in rejection.content
    assert download.status_code == 403


def test_download_gives_the_bytes_as_they_came(message: Message) -> None:
    client = person("messaging.view_message", "messaging.view_payload")

    answer = client.get(reverse("admin:messaging_message_payload", args=[message.pk]))

    assert answer.content == bytes(Message.objects.get().body)
    assert answer["Content-Disposition"].startswith("attachment")


@pytest.mark.parametrize("term", ["{id}", "{beginning}", "order:47" + XSS, "47" + XSS])
def test_messages_are_found(message: Message, term: str) -> None:
    client = person(superuser=True)
    name = str(message.correlation_id)

    found = client.get(
        reverse("admin:messaging_message_changelist"),
        {"q": term.format(id=name, beginning=name[:13]) if "{" in term else term},
    )
    missing = client.get(reverse("admin:messaging_message_changelist"), {"q": "4712"})

    assert name in found.content.decode()
    assert name not in missing.content.decode()


def test_message_list_asks_the_same_number_of_queries_at_any_size(
    message: Message, django_assert_max_num_queries: Any
) -> None:
    client = person(superuser=True)
    plan = catalogue.by_slug("orders")
    assert plan is not None
    for number in range(30):
        intake.accept(plan, Incoming("async", b'{"id":"%d"}' % number, "application/json", {}, None))

    with django_assert_max_num_queries(10):
        client.get(reverse("admin:messaging_message_changelist"))


def test_messages_cannot_be_changed_or_deleted(message: Message) -> None:
    client = person(superuser=True)

    change = client.post(reverse("admin:messaging_message_change", args=[message.pk]), {"status": "succeeded"})
    delete = client.post(reverse("admin:messaging_message_delete", args=[message.pk]), {"post": "yes"})

    assert change.status_code == delete.status_code == 403
    assert Message.objects.get().status == "failed"


def formset(prefix: str, *rows: dict[str, Any], initial: int = 0) -> dict[str, Any]:
    data: dict[str, Any] = {f"{prefix}-TOTAL_FORMS": len(rows), f"{prefix}-INITIAL_FORMS": initial}
    for index, row in enumerate(rows):
        data.update({f"{prefix}-{index}-{name}": value for name, value in row.items()})
    return data


def add(client: Client, model: type, data: dict[str, Any]) -> Any:
    return client.post(reverse(f"admin:{model._meta.app_label}_{model._meta.model_name}_add"), data, follow=True)  # type: ignore[attr-defined]


ROUTE = {
    "slug": "orders", "enabled": "on", "patterns": "async", "reply": "document", "ordering": "route",
    "on_failure": "block",
    "max_attempts": 8, "first_delay_seconds": 5, "factor": 3, "max_delay_seconds": 3600, "sync_deadline_seconds": 8,
    "on_deadline": "timeout", "on_unknown": "retry", "max_body_bytes": 1000, "retention_days": 30,
}  # fmt: skip


def test_everything_can_be_configured_by_forms() -> None:
    client = person(superuser=True)

    shown = add(
        client,
        Application,
        {"slug": "shop", **formset("credentials", {"name": "main", "scheme": "api_key", "enabled": "on"})},
    )
    add(client, Application, {"slug": "erp", **formset("credentials")})
    add(
        client,
        Endpoint,
        {
            "slug": "erp-orders", "application": Application.objects.get(slug="erp").pk, "url": "https://erp.example.com/",
            "method": "POST", "format": "json", "headers": '{"X-Tenant": "main"}',
            "timeout_seconds": 10, "auth_scheme": "basic", "username": "u", "password": "p",
        },
    )  # fmt: skip
    add(client, LookupTable, {"slug": "codes", "entries": '{"Norway": "NO"}'})
    rows = [
        {"target": "no", "source": "id", "type": "string", "position": 0},
        {"target": "price", "source": "price", "default": "19.90", "position": 1},
        {
            "target": "country",
            "source": "country",
            "lookup": LookupTable.objects.get().pk,
            "default": "XX",
            "position": 2,
        },
        {"target": "code", "constant": "007", "position": 3},
    ]
    add(client, Mapping, {"slug": "order", **formset("rows", *rows), **formset("versions")})
    add(
        client,
        Route,
        {
            **ROUTE,
            "source": Application.objects.get(slug="shop").pk,
            "endpoint": Endpoint.objects.get().pk,
            "mapping": Mapping.objects.get().pk,
            "schema": '{"type": "object"}',
            "search_keys": '{"order": "id"}',
        },
    )

    credential = Credential.objects.get()
    key = next(word for word in shown.content.decode().split() if word.startswith(credential.key_prefix))
    assert key_matches(key, credential.secret_hash)
    assert Endpoint.objects.get().read_auth() == {"username": "u", "password": "p"}
    assert [row.default for row in FieldRow.objects.order_by("position")] == ["", "19.90", '"XX"', ""]
    assert FieldRow.objects.get(target="code").constant == '"007"'
    assert Mapping.objects.get().versions.get().created_by == User.objects.get()
    assert Route.objects.get().schema == {"type": "object"}


def test_faulty_row_is_named_on_its_field() -> None:
    client = person(superuser=True)
    rows = [{"target": "a", "source": "x", "position": 0}, {"target": "b..c", "source": "y[", "position": 1}]

    answer = add(client, Mapping, {"slug": "order", **formset("rows", *rows), **formset("versions")})

    assert not Mapping.objects.exists()
    assert answer.content.decode().count("is not a path") == 2


@pytest.mark.parametrize("rows", [(), ({"target": "a", "source": "x", "position": 0},)])
def test_mapping_has_rows_or_an_expression_but_not_both(rows: tuple[dict[str, Any], ...]) -> None:
    client = person(superuser=True)
    data = {"slug": "order", "expression": "a" if rows else "", **formset("rows", *rows), **formset("versions")}

    answer = add(client, Mapping, data)

    assert not Mapping.objects.exists()
    assert "either field rows or an expression" in answer.content.decode()


def test_empty_secret_fields_keep_what_is_stored(configured: None) -> None:
    client = person(superuser=True)
    endpoint = Endpoint.objects.get()
    page = reverse("admin:connectors_endpoint_change", args=[endpoint.pk])

    form = {"application": endpoint.application_id, "url": "https://new.example.com/", "auth_scheme": "bearer"}

    client.post(page, {**form, "method": "POST", "format": "json", "timeout_seconds": 5})

    changed = Endpoint.objects.get()
    assert changed.url == "https://new.example.com/"
    assert changed.read_auth() == {"token": "canary-token"}


def test_pausing_is_a_post_with_permission_and_is_logged(configured: None) -> None:
    route = Route.objects.get()
    page = f"/admin/connectors/route/{route.pk}/pause/"
    client = person(superuser=True)

    asked = client.get(page, follow=True)
    assert asked.status_code == 200
    assert not Route.objects.get().paused
    client.post(page, {"_form_submitted": "on", "reason": "ERP is down"}, follow=True)

    assert Route.objects.get().paused
    assert (
        "Paused. ERP is down" in client.get(reverse("admin:connectors_route_history", args=[route.pk])).content.decode()
    )


def test_pausing_without_permission_is_refused(configured: None) -> None:
    route = Route.objects.get()
    client = person("connectors.view_route")

    answer = client.post(f"/admin/connectors/route/{route.pk}/pause/", {"_form_submitted": "on", "reason": "r"})

    assert answer.status_code in (302, 403)
    assert not Route.objects.get().paused


def test_no_list_counts_its_filters_nor_leads_out_of_the_admin(admin_client: Client) -> None:
    assert {page.show_facets for page in admin.site._registry.values()} == {admin.ShowFacets.NEVER}
    assert "View site" not in admin_client.get(reverse("admin:index")).content.decode()
    assert "Return to site" not in Client().get(reverse("admin:login")).content.decode()
