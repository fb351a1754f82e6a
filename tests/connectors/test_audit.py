"""Each change is kept with who made it and with old and new values; secrets never are."""

import json
from pathlib import Path
from typing import Any

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import User
from django.core.management import CommandError, call_command
from django.test import Client
from django.urls import reverse

from connectors import audit
from connectors.configuration import apply_configuration
from tests import factories

pytestmark = pytest.mark.django_db

FILE = """
version: 1
applications:
  - slug: erp
    name: NAME
    credentials: [{name: main, scheme: basic, secret: SECRET}]
    endpoints:
      - {slug: erp-orders, url: "http://127.0.0.1:9/orders", headers: {X-Api-Key: SECRET, X-Plain: NAME},
         auth: {scheme: bearer, token: SECRET}}
mappings:
  - {slug: order, fields: [{target: NAME, source: id}]}
"""


def filled(page: Any) -> dict[str, Any]:
    """What a browser would send back of a change form."""
    form = page.context["adminform"].form
    data = {name: form[name].value() for name in form.fields}
    for formset in (one.formset for one in page.context["inline_admin_formsets"]):
        data |= {f"{formset.prefix}-{name}": value for name, value in formset.management_form.initial.items()}
        for inline in formset.forms:
            data |= {inline.add_prefix(name): inline[name].value() for name in inline.fields}
    return {name: value for name, value in data.items() if value is not None}


def saved(client: Client, row: Any, **changed: Any) -> Any:
    """Changes fields on the row's page; returns the entry that this made."""
    url = reverse(f"admin:connectors_{row._meta.model_name}_change", args=[row.pk])
    answer = client.post(url, {**filled(client.get(url)), **changed})
    assert answer.status_code == 302, answer.context["errors"]
    return LogEntry.objects.latest("pk")


def values(entry: LogEntry) -> dict[str, tuple[str, str]]:
    return {name: (old, new) for _, told in audit.entries_of(entry) for name, old, new in told}


def test_page_keeps_old_and_new_values(admin_client: Client) -> None:
    route = factories.RouteFactory(name="Orders")
    other = factories.EndpointFactory(name="Another")

    entry = saved(admin_client, route, name="Sales orders", endpoint=other.pk, max_attempts=3)

    assert entry.user.username == "admin"
    assert values(entry) == {
        "Name": ("Orders", "Sales orders"),
        "Endpoint": (str(route.endpoint), "Another"),
        "Max attempts": ("8", "3"),
    }


def test_secrets_are_told_as_replaced(admin_client: Client) -> None:
    endpoint = factories.EndpointFactory(bearer=True)

    entry = saved(admin_client, endpoint, token="canary-new", headers='{"X-Api-Key": "canary-header"}')

    assert list(values(entry).values()).count(("", "replaced")) == 1
    assert "X-Api-Key" in values(entry)["Headers"][1]
    assert "canary" not in entry.change_message


def test_secret_of_a_credential_is_told_as_replaced(admin_client: Client) -> None:
    credential = factories.CredentialFactory(basic=True, plain="canary-old")

    entry = saved(admin_client, credential, new_secret="canary-new")

    assert values(entry)["New secret"] == ("", "replaced")
    assert "canary" not in entry.change_message


def test_changed_rows_of_a_mapping_are_told(admin_client: Client) -> None:
    row = factories.FieldRowFactory(target="no", source="id")

    entry = saved(admin_client, row.mapping, **{"rows-0-source": "order.id"})

    assert values(entry)["Source"] == ("id", "order.id")


@pytest.mark.parametrize("kind", ["route", "endpoint"])
@pytest.mark.parametrize(("verb", "told"), [("pause", "Paused. ERP is down"), ("resume", "Resumed. ERP is down")])
def test_pause_and_resume_ask_for_a_reason_and_keep_it(admin_client: Client, kind: str, verb: str, told: str) -> None:
    make: Any = {"route": factories.RouteFactory, "endpoint": factories.EndpointFactory}[kind]
    row = make(paused=verb == "resume")
    url = f"/admin/connectors/{kind}/{row.pk}/{verb}/"

    admin_client.post(url, {"_form_submitted": "on"})
    assert not LogEntry.objects.exists()
    admin_client.post(url, {"_form_submitted": "on", "reason": "ERP is down"})

    row.refresh_from_db()
    assert row.paused == (verb == "pause")
    assert LogEntry.objects.get().get_change_message() == told


def test_file_leaves_entries_with_old_and_new_values() -> None:
    ada = factories.UserFactory(username="ada")
    apply_configuration(FILE.replace("NAME", "old").replace("SECRET", "canary-1"), environ={}, by=ada)
    made = LogEntry.objects.count()

    apply_configuration(FILE.replace("NAME", "new").replace("SECRET", "canary-2"), environ={}, by=ada)

    changes = LogEntry.objects.order_by("pk").select_related("content_type")[made:]
    entries = {str(entry.content_type): values(entry) for entry in changes}
    assert made == 4
    assert list(entries) == [f"Configuration | {kind}" for kind in ("mapping", "application", "credential", "endpoint")]
    mapping, application, credential, endpoint = entries.values()
    assert application == {"name": ("old", "new")}
    assert credential == {"secret": ("", "replaced")}
    assert endpoint["auth"] == ("", "replaced")
    assert json.loads(endpoint["headers"][1]) == {"X-Api-Key": "replaced", "X-Plain": "new"}
    assert mapping["fields"] == ('[{"target":"old","source":"id"}]', '[{"target":"new","source":"id"}]')
    assert not LogEntry.objects.filter(change_message__contains="canary").exists()
    assert set(LogEntry.objects.values_list("user", flat=True)) == {ada.pk}


def test_command_names_the_command_line_or_whoever_is_given(tmp_path: Path) -> None:
    file = tmp_path / "file.yaml"
    factories.UserFactory(username="ada")

    file.write_text("version: 1\napplications: [{slug: erp}]\n")
    call_command("apply", file, "--check")
    assert not LogEntry.objects.exists()
    call_command("apply", file)
    file.write_text("version: 1\napplications: [{slug: erp, name: ERP}]\n")
    call_command("apply", file, "--by", "ada")
    with pytest.raises(CommandError, match="nobody"):
        call_command("apply", file, "--by", "nobody")

    assert list(LogEntry.objects.order_by("pk").values_list("user__username", flat=True)) == ["command-line", "ada"]
    account = User.objects.get(username="command-line")
    assert (account.is_active, account.has_usable_password()) == (False, False)


def test_unchanged_file_leaves_nothing() -> None:
    ada = factories.UserFactory()
    apply_configuration(FILE, environ={}, by=ada)
    made = LogEntry.objects.count()

    apply_configuration(FILE, environ={}, by=ada)

    assert LogEntry.objects.count() == made == 4


def test_downloads_are_kept(admin_client: Client) -> None:
    message = factories.MessageFactory()

    admin_client.get(reverse("admin:messaging_message_payload", args=[message.pk]))

    entry = LogEntry.objects.get()
    assert (entry.get_change_message(), entry.object_id) == ("Downloaded the payload.", str(message.pk))


@pytest.mark.parametrize(
    ("value", "told"),
    [
        (None, ""),
        (True, "yes"),
        (19.90, "19.9"),
        ({"Authorization": "Basic abc", "X-Plain": "a"}, '{"Authorization":"replaced","X-Plain":"a"}'),
        (["a", "b"], '["a","b"]'),
        ("x" * 3000, "x" * 2000),
    ],
)
def test_values_are_told_in_one_text(value: Any, told: str) -> None:
    assert audit.in_words(value) == told
