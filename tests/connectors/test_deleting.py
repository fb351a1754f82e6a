"""What others rest on is not deleted, and nobody waits for a million rows to be told so."""

from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from connectors.models import Route
from tests import factories

pytestmark = pytest.mark.django_db


def in_use(kind: str) -> Any:
    """A row of this kind, somewhere behind a message."""
    mapping = factories.MappingVersionFactory().mapping
    route = factories.RouteFactory(mapping=mapping)
    factories.MessageFactory(lane__route=route)
    return {"route": route, "endpoint": route.endpoint, "application": route.source, "mapping": mapping}[kind]


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        ("route", "it has lanes. Disable it instead."),
        ("endpoint", "it has routes. Change what rests on it first."),
        ("application", "it has routes. Change what rests on it first."),
        ("mapping", "it has routes. Change what rests on it first."),
    ],
)
@pytest.mark.parametrize("method", ["get", "post"])
def test_row_in_use_stays_and_says_why(admin_client: Client, kind: str, said: str, method: str) -> None:
    row = in_use(kind)

    answer = getattr(admin_client, method)(
        reverse(f"admin:connectors_{kind}_delete", args=[row.pk]), {"post": "yes"}, follow=True
    )

    assert said in answer.content.decode()
    assert type(row).objects.filter(pk=row.pk).exists()


def test_mapping_whose_versions_made_messages_stays(admin_client: Client) -> None:
    version = factories.MappingVersionFactory()
    factories.MessageFactory(mapping_version=version)

    answer = admin_client.post(
        reverse("admin:connectors_mapping_delete", args=[version.mapping_id]), {"post": "yes"}, follow=True
    )

    assert "it has messages" in answer.content.decode()


def test_selection_with_a_row_in_use_is_refused(admin_client: Client) -> None:
    used, unused = in_use("route"), factories.RouteFactory()
    selection = {"action": "delete_selected", "_selected_action": [used.pk, unused.pk], "post": "yes"}

    answer = admin_client.post(reverse("admin:connectors_route_changelist"), selection)

    assert "it has lanes. Disable it instead." in answer.content.decode()
    assert Route.objects.count() == 2


def test_row_that_nothing_rests_on_is_deleted(admin_client: Client) -> None:
    route = factories.RouteFactory()

    admin_client.post(reverse("admin:connectors_route_delete", args=[route.pk]), {"post": "yes"})

    assert not Route.objects.exists()


def test_asking_reads_no_messages(admin_client: Client) -> None:
    route = in_use("route")

    with CaptureQueriesContext(connection) as asked:
        admin_client.get(reverse("admin:connectors_route_delete", args=[route.pk]))

    assert not [query["sql"] for query in asked if '"messaging_message"."body"' in query["sql"]]
