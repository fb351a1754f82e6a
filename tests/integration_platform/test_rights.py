"""Every address of the admin × every role: who gets through, and who does not.

The addresses come from the resolver: one that is new fails here until somebody has said whom it is for.
"""

from collections.abc import Iterator
from typing import Any

import pytest
from django.contrib import admin
from django.contrib.auth.models import Group, User
from django.test import Client
from django.urls import NoReverseMatch, get_resolver, reverse

from connectors.models import Route
from integration_platform.roles import ROLES
from tests.furnishing import furnish

pytestmark = pytest.mark.django_db

NOBODY: tuple[str, ...] = ()
ADMIN = ("administrator",)
CONFIGURE = ("integrator", "administrator")
OPERATE = ("support", "administrator")
ALL_BUT_VIEWER = ("support", "integrator", "administrator")
ALL = tuple(ROLES)
FAMILY = ("changelist", "change", "history", "add", "delete")

# who looks, who adds, who deletes
MODELS = {
    **dict.fromkeys(
        [f"connectors_{name}" for name in ("application", "endpoint", "mapping", "lookuptable", "route")],
        (ALL, CONFIGURE, CONFIGURE),
    ),
    "connectors_credential": (ALL, NOBODY, CONFIGURE),  # added on the page of its application
    **dict.fromkeys(
        [f"connectors_{name}" for name in ("fieldrow", "mappingversion", "revision")], (ALL, NOBODY, NOBODY)
    ),
    **dict.fromkeys(
        [
            f"messaging_{name}"
            for name in (
                *("attempt", "result", "searchkey", "bulk", "bulkitem", "circuit", "allowance", "savedview", "lane"),
                *("worker", "message", "rejection", "hourlycount"),
            )
        ],
        (ALL, NOBODY, NOBODY),
    ),
    "admin_logentry": (OPERATE, NOBODY, NOBODY),
    "auth_user": (ADMIN, ADMIN, ADMIN),
    "auth_group": (ADMIN, ADMIN, ADMIN),
    "django_q_failure": (ADMIN, NOBODY, NOBODY),
    "django_q_schedule": (ADMIN, NOBODY, NOBODY),
    "integration_platform_logintally": (ADMIN, NOBODY, ADMIN),
}
OWN = {
    "search": ALL,
    "api": ALL,
    "api-route": ALL,
    "index": ALL,
    "password_change": ALL,
    "password_change_done": ALL,
    "jsi18n": ALL,
    "auth_user_password_change": ADMIN,
    "connectors_credential_end_previous": CONFIGURE,
    "connectors_credential_revoke": CONFIGURE,
    "connectors_endpoint_test": CONFIGURE,
    "connectors_endpoint_pause": CONFIGURE,
    "connectors_endpoint_resume": CONFIGURE,
    "connectors_mappingversion_restore": CONFIGURE,
    "connectors_mapping_preview": CONFIGURE,
    "connectors_route_test": ALL_BUT_VIEWER,
    "connectors_route_pause": CONFIGURE,
    "connectors_route_resume": CONFIGURE,
    "messaging_bulk_start": OPERATE,
    "messaging_bulk_stop": OPERATE,
    "messaging_circuit_close_now": OPERATE,
    "messaging_savedview_save": ALL,
    "messaging_lane_retry_head": OPERATE,
    "messaging_lane_skip_head": OPERATE,
    "messaging_lane_try_now": OPERATE,
    "messaging_lane_pause": OPERATE,
    "messaging_lane_resume": OPERATE,
    "messaging_message_payload": OPERATE,
    "messaging_message_editor": OPERATE,
    "messaging_message_samples": OPERATE,
    "messaging_message_sample": OPERATE,
    "messaging_endpoint_test": CONFIGURE,
    "messaging_route_activity": ALL,
    "messaging_route_test": ALL_BUT_VIEWER,
    "messaging_message_retry": OPERATE,
    "messaging_message_cancel": OPERATE,
    "messaging_message_edit": OPERATE,
}
OPEN = {"login", "logout", "app_list", "view_on_site", "autocomplete"}
"""The way in and out; and Django's own, which judge by what they are asked for."""
POST_ONLY = {"connectors_mapping_preview", "messaging_savedview_save"}
ABOUT_OTHERS = {"messaging_endpoint_test": "connectors_endpoint", "messaging_route_activity": "connectors_route",
                "messaging_route_test": "connectors_route"}  # fmt: skip


def names(patterns: Any = None, inside: bool = False) -> Iterator[str]:
    """The names of all addresses under /admin/."""
    for pattern in get_resolver().url_patterns if patterns is None else patterns:
        below = inside or str(pattern.pattern).startswith("admin/")
        if hasattr(pattern, "url_patterns"):
            yield from names(pattern.url_patterns, below)
        elif below and pattern.name:
            yield pattern.name


def whom(name: str) -> tuple[str, ...]:
    model, _, page = name.rpartition("_")
    if name in OWN:
        return OWN[name]
    look, add, delete = MODELS[model]
    return {"add": add, "delete": delete}.get(page, look) if page in FAMILY else ("said nowhere",)


def address(name: str) -> str:
    """With the first row of the model, where it is about one."""
    model = ABOUT_OTHERS.get(name) or name.rpartition("_")[0]
    models = {one._meta.label_lower.replace(".", "_"): one for one in admin.site._registry}
    found = next((one for label, one in models.items() if f"{name}_".startswith(f"{label}_") or label == model), None)
    row = found._default_manager.order_by("pk").first() if found is not None else None
    if name.startswith("api"):
        return reverse(name, args=[Route.objects.get().slug] if name == "api-route" else [])
    try:
        return reverse(f"admin:{name}")
    except NoReverseMatch:
        return reverse(f"admin:{name}", args=[row.pk if row else 1])


def refused(client: Client, method: str, url: str) -> bool:
    answer = getattr(client, method)(url, {"_form_submitted": "on", "list": "message"} if method == "post" else {})
    return answer.status_code == 403 or answer.get("Location", "").startswith(reverse("admin:login"))


def somebody(role: str) -> Client:
    furnish()
    user = User.objects.create_user(role, is_staff=True)
    user.groups.add(Group.objects.get(name=role))
    client = Client()
    client.force_login(user)
    return client


def test_every_address_is_meant_for_somebody() -> None:
    walked = set(names()) - OPEN

    assert len(walked) > 150
    assert {name for name in walked if "said nowhere" in whom(name)} == set()


@pytest.mark.timeout(400)
@pytest.mark.parametrize("role", ROLES)
def test_every_address_lets_through_whom_it_is_for(role: str) -> None:
    client, walked = somebody(role), sorted(set(names()) - OPEN - POST_ONLY)

    through = {name for name in walked if not refused(client, "get", address(name))}

    assert through == {name for name in walked if role in whom(name)}


@pytest.mark.parametrize("role", ROLES)
def test_verbs_are_refused_to_whom_they_are_not_for(role: str) -> None:
    """What is sent lacks its reason, so that nothing is done to the rows that the next one needs."""
    client = somebody(role)
    verbs = sorted(name for name in OWN if name.startswith(("connectors_", "messaging_")))

    through = {name for name in verbs if not refused(client, "post", address(name))}

    assert through == {name for name in verbs if role in whom(name)}


def test_strangers_are_sent_to_the_login() -> None:
    furnish()
    walked = sorted(set(names()) - OPEN)

    assert [name for name in walked if not refused(Client(), "get", address(name))] == []
