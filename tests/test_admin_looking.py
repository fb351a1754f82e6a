"""Looking at the admin changes nothing: no address, a verb's included, writes on GET."""

from typing import Any

import pytest
from django.apps import apps
from django.contrib import admin
from django.test import Client
from django.urls import reverse

from tests.furnishing import furnish

pytestmark = pytest.mark.django_db


def snapshot() -> dict[str, list[Any]]:
    """All rows of all tables, but the sessions: those are the client's own."""
    models = [model for model in apps.get_models() if model._meta.label_lower != "sessions.session"]
    rows = {
        model._meta.label: [
            {name: bytes(value) if isinstance(value, memoryview) else value for name, value in row.items()}
            for row in model._default_manager.order_by("pk").values()
        ]
        for model in models
    }
    # that somebody fetched a payload is kept, and is all that fetching it does
    rows["admin.LogEntry"] = [
        entry for entry in rows["admin.LogEntry"] if entry["change_message"] != "Downloaded the payload."
    ]
    return rows


def addresses() -> list[str]:
    """Every address of every registered model, with its first row where it is about one."""
    found = []
    for model, page in admin.site._registry.items():
        base = reverse(f"admin:{model._meta.app_label}_{model._meta.model_name}_changelist")
        row = model._default_manager.order_by("pk").first()
        for pattern in page.get_urls():
            route = str(pattern.pattern)
            for name in ("<path:object_id>", "<int:pk>", "<id>"):
                route = route.replace(name, str(row.pk))  # type: ignore[union-attr]
            if "<" not in route and "^" not in route:
                found.append(base + route)
    return found


def test_no_address_of_the_admin_writes_on_get(admin_user: Any) -> None:
    furnish()
    client = Client()
    client.force_login(admin_user)
    before, walked = snapshot(), addresses()

    statuses = {address: client.get(address).status_code for address in walked}

    assert snapshot() == before
    assert {status for status in statuses.values() if status >= 500} == set()
    for verb in (
        *("retry", "cancel", "edit", "retry_head", "skip_head", "try_now", "pause", "resume", "revoke", "end_previous"),
        *("start", "stop", "close_now", "restore", "test"),
    ):
        assert [status for address, status in statuses.items() if f"/{verb}/" in address], verb
