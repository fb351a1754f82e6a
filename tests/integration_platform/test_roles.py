"""Who may open which page, and who may do what there."""

import pytest
from django.contrib import admin
from django.contrib.auth.models import Group, Permission, User
from django.core.management import call_command
from django.test import Client
from django.urls import reverse

from integration_platform.roles import ROLES, keep_roles
from tests.factories import EndpointFactory, MessageFactory

pytestmark = pytest.mark.django_db

LISTS = {f"{model._meta.app_label}.{model._meta.model_name}" for model in admin.site._registry}
OURS = {name for name in LISTS if name.startswith(("connectors.", "messaging."))}
CONFIGURED = {f"connectors.{name}" for name in ("application", "endpoint", "mapping", "lookuptable", "route")}
SEEN = {"viewer": OURS, "support": OURS | {"admin.logentry"}, "integrator": OURS, "administrator": LISTS}
ADDED = {
    "viewer": set(),
    "support": set(),
    "integrator": CONFIGURED,
    "administrator": CONFIGURED | {"auth.user", "auth.group"},
}


def somebody(role: str) -> Client:
    user = User.objects.create_user(role, is_staff=True)
    user.groups.add(Group.objects.get(name=role))
    client = Client()
    client.force_login(user)
    return client


def opened(client: Client, page: str) -> set[str]:
    """The models whose `page` this client may open."""
    return {name for name in LISTS if client.get(reverse(f"admin:{name.replace('.', '_')}_{page}")).status_code == 200}


@pytest.mark.parametrize("role", ROLES)
def test_lists_open_for_whom_they_are_meant(role: str) -> None:
    assert opened(somebody(role), "changelist") == SEEN[role]


@pytest.mark.parametrize("role", ROLES)
def test_configuration_is_added_by_integrators_and_administrators(role: str) -> None:
    assert opened(somebody(role), "add") == ADDED[role]


@pytest.mark.parametrize("role", ROLES)
def test_payloads_and_the_editor_are_for_support_and_administrators(role: str) -> None:
    message = MessageFactory(failed=True)
    client = somebody(role)

    payload = client.get(reverse("admin:messaging_message_payload", args=[message.pk]))
    editor = client.get(reverse("admin:messaging_message_editor", args=[message.pk]))

    expected = 200 if role in ("support", "administrator") else 403
    assert (payload.status_code, editor.status_code) == (expected, expected)


@pytest.mark.parametrize("role", ROLES)
def test_messages_are_retried_by_support_and_administrators(role: str) -> None:
    message = MessageFactory(failed=True)

    url = f"/admin/messaging/message/{message.pk}/retry/"
    somebody(role).post(url, {"_form_submitted": "on", "reason": "the destination is back"})

    message.refresh_from_db()
    assert (message.status == "queued") == (role in ("support", "administrator"))


@pytest.mark.parametrize("role", ROLES)
def test_endpoints_are_paused_by_integrators_and_administrators(role: str) -> None:
    endpoint = EndpointFactory()

    somebody(role).post(
        f"/admin/connectors/endpoint/{endpoint.pk}/pause/", {"_form_submitted": "on", "reason": "maintenance"}
    )

    endpoint.refresh_from_db()
    assert endpoint.paused == (role in ("integrator", "administrator"))


def test_migrate_puts_roles_right_and_leaves_other_groups_alone() -> None:
    viewer, own = Group.objects.get(name="viewer"), Group.objects.create(name="our own")
    before = set(viewer.permissions.values_list("codename", flat=True))
    own.permissions.add(Permission.objects.get(codename="view_payload"))
    viewer.permissions.set(Permission.objects.filter(codename="delete_user"))
    Group.objects.get(name="support").delete()

    call_command("migrate", verbosity=0)
    keep_roles()

    assert set(viewer.permissions.values_list("codename", flat=True)) == before
    assert own.permissions.get().codename == "view_payload"
    assert Group.objects.get(name="support").permissions.filter(codename="operate_message").exists()
