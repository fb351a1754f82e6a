"""A route's page: what callers need, what is in the way, and what came lately."""

import pytest
from django.contrib.auth.models import Permission, User
from django.test import Client
from django.urls import reverse

from connectors.models import Route
from tests import factories

pytestmark = pytest.mark.django_db


def person(*permissions: str) -> Client:
    user = User.objects.create_user("person", is_staff=True)
    user.user_permissions.set(Permission.objects.filter(codename__in=permissions))
    client = Client()
    client.force_login(user)
    return client


def page_of(route: Route) -> str:
    return reverse("admin:connectors_route_change", args=[route.pk])


def activity_of(route: Route) -> str:
    return reverse("admin:messaging_route_activity", args=[route.pk])


def test_page_has_a_request_to_copy_for_each_credential_in_force() -> None:
    route = factories.RouteFactory()
    factories.CredentialFactory(application=route.source, name="main")
    factories.CredentialFactory(application=route.source, name="signed", github=True)
    for closed in ("disabled", "expired", "revoked", "without_secret"):
        factories.CredentialFactory(application=route.source, name=closed, **{closed: True})

    answer = person("view_route").get(page_of(route))

    setup = answer.context["setup"]
    assert [call["credential"].name for call in setup["calls"]] == ["main", "signed"]
    assert f"curl http://testserver/webhooks/{route.slug}" in setup["calls"][0]["request"]
    assert setup["missing"] == []
    assert b"the-secret" not in answer.content


def test_page_names_what_is_in_the_way() -> None:
    route = factories.RouteFactory(enabled=False, paused=True, endpoint__paused=True)

    missing = [text for text, _ in person("view_route").get(page_of(route)).context["setup"]["missing"]]

    assert len(missing) == 4
    assert "no credential" in missing[0]


def test_activity_shows_the_routes_own_messages_and_held_lanes() -> None:
    dead = factories.MessageFactory(dead=True)
    stranger = factories.MessageFactory(dead=True)

    text = person("view_message", "view_lane").get(activity_of(dead.route)).content.decode()

    assert str(dead.correlation_id) in text
    assert reverse("admin:messaging_lane_change", args=[dead.lane_id]) in text
    assert str(stranger.correlation_id) not in text
    assert reverse("admin:messaging_lane_change", args=[stranger.lane_id]) not in text


def test_activity_is_for_those_who_may_see_it() -> None:
    dead = factories.MessageFactory(dead=True)

    text = person("view_route").get(activity_of(dead.route)).content.decode()

    assert str(dead.correlation_id) not in text
    assert "Lanes" not in text
