"""The pages about the API, for the people who connect a source application."""

import re

import pytest
from django.contrib.auth.models import Permission, User
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from connectors.models import Application, Route
from tests import factories
from tests.messages.conftest import configure_route, push

pytestmark = pytest.mark.django_db(transaction=True)
SCHEMA = {"type": "object", "required": ["id"], "properties": {"id": {"type": "integer"}, "note": {"type": "string"}}}
INDEX, ORDERS = "/admin/api/", "/admin/api/orders/"


def person(*permissions: str) -> Client:
    user = User.objects.create_user("person", is_staff=True)
    user.user_permissions.set(Permission.objects.filter(codename__in=permissions))
    client = Client()
    client.force_login(user)
    return client


def text_of(client: Client, url: str) -> str:
    answer = client.get(url)
    assert answer.status_code == 200
    return answer.content.decode()


def test_page_of_a_route_tells_its_callers_everything() -> None:
    configure_route(schema=SCHEMA, ordering_key="customer.id", patterns=["sync", "async"])
    shop = Application.objects.get(slug="shop")
    factories.CredentialFactory(application=shop, name="signed", github=True)
    factories.CredentialFactory(application=shop, name="closed", revoked=True)

    text = text_of(person("view_route"), ORDERS)

    for address in ("/webhooks/orders", "/webhooks/orders/sync", "/webhooks/orders/async"):
        assert f"POST http://testserver{address}<" in text
    assert "X-API-Key: $SECRET" in text.replace("&quot;", '"')
    assert "X-Hub-Signature-256" in text
    assert "<strong>closed</strong>" not in text
    assert "&quot;required&quot;" in text  # the schema
    assert re.search(r"BODY=\S*customer", text)  # a body that the route takes
    for slug in ("invalid-payload", "lane-blocked", "deadline-passed"):
        assert f'href="/problems/{slug}"' in text
    assert reverse("admin:connectors_route_change", args=[Route.objects.get().pk]) in text


def test_answers_are_those_of_the_patterns() -> None:
    configure_route(patterns=["async"])
    client = person("view_route")
    alone = text_of(client, ORDERS)
    configure_route(patterns=["async", "sync"])
    both = text_of(client, ORDERS)

    assert "deadline-passed" not in alone
    assert "only" not in re.findall(r"platform-muted\">([^<]*)<", alone)
    assert both.count("sync only") > both.count("async only") == 1


def test_index_lists_routes_results_and_every_problem() -> None:
    configure_route()
    factories.RouteFactory(slug="closed", enabled=False)

    text = text_of(person("view_route"), INDEX)

    assert 'href="/admin/api/orders/"' in text
    assert "disabled: answered 404" in text
    for told in ("/results/{correlation_id}", "Idempotency-Replayed", "/problems/circuit-open", "/openapi.json"):
        assert told in text


def test_what_is_in_the_way_is_told() -> None:
    configure_route(enabled=False)

    assert "The route is disabled" in text_of(person("view_route"), ORDERS)


@pytest.mark.parametrize("url", [INDEX, ORDERS])
def test_pages_are_for_those_who_may_view_routes(url: str) -> None:
    configure_route()

    assert person("view_message").get(url).status_code == 403
    assert Client().get(url).status_code == 302


def test_unknown_route_is_a_404() -> None:
    assert person("view_route").get("/admin/api/none/").status_code == 404


@pytest.mark.parametrize("url", [INDEX, ORDERS])
def test_pages_run_nothing_in_place_and_name_no_other_host(url: str) -> None:
    hostile = {"type": "object", "description": "<script>alert(1)</script>", "properties": {"<b>": {"type": "string"}}}
    plan = configure_route(schema=hostile)
    push(plan)

    text = text_of(person("view_route"), url)
    content = text[text.index("<section") : text.rindex("</section>")]

    assert "<script" not in content
    assert "<b>" not in content
    assert not re.search(r" (?:on\w+|style)=", content)
    assert "shop-key" not in content


def test_sidebar_and_route_lead_there() -> None:
    configure_route()
    client = person("view_route")

    page = text_of(client, reverse("admin:connectors_route_change", args=[Route.objects.get().pk]))

    assert f'href="{ORDERS}"' in page
    assert f'href="{INDEX}"' in page


def test_pages_ask_the_database_little() -> None:
    for number in range(30):
        factories.RouteFactory(slug=f"route-{number}")
    client = person("view_route")
    client.get(INDEX)

    for url in (INDEX, "/admin/api/route-7/"):
        with CaptureQueriesContext(connection) as queries:
            client.get(url)
        assert len(queries) <= 12
