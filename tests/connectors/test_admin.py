"""The configuration's pages: everything can be set by forms, nothing secret comes back."""

import re
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import Permission, User
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from connectors.admin.credential import CredentialAdmin
from connectors.admin.rows import LooseJSONField
from connectors.advice import private_address
from connectors.choices import Scheme
from connectors.keys import key_matches
from connectors.models import Application, Credential, Endpoint, FieldRow, LookupTable, Mapping, MappingVersion, Route
from tests import factories

pytestmark = pytest.mark.django_db

XSS = "<script>alert('x')</script>"
CANARIES = ("canary-token", "canary-key", "canary-password")
MODELS = ("application", "credential", "endpoint", "lookuptable", "mapping", "mappingversion", "fieldrow", "route")
ADDABLE = ("application", "endpoint", "lookuptable", "mapping", "route")


@pytest.fixture
def admin(admin_client: Client) -> Client:
    return admin_client


@pytest.fixture
def viewer() -> Client:
    """Somebody who may look at all of the configuration and change nothing."""
    user = User.objects.create_user("viewer", is_staff=True)
    user.user_permissions.set(Permission.objects.filter(codename__startswith="view_"))
    client = Client()
    client.force_login(user)
    return client


@pytest.fixture
def everything() -> Route:
    """One row of each table, hostile names and planted secrets included."""
    source = factories.ApplicationFactory(name=XSS)
    factories.CredentialFactory(application=source, basic=True, plain="canary-password", name="basic")
    factories.EndpointFactory(application=source, api_key=True, name=XSS)
    mapping = factories.MappingFactory(name=XSS, description=XSS)
    table = factories.LookupTableFactory(name=XSS, entries={XSS: XSS})
    factories.FieldRowFactory(mapping=mapping, source="`<script>`", lookup=table, default='"<script>"')
    factories.MappingVersionFactory(mapping=mapping, definition={"expression": XSS})
    endpoint = factories.EndpointFactory(bearer=True)
    return factories.RouteFactory(source=source, endpoint=endpoint, mapping=mapping, name=XSS, search_keys={"x": "a"})


def page(name: str, *args: Any) -> str:
    return reverse(f"admin:connectors_{name}", args=args)


def change_pages(model: str) -> list[str]:
    rows = {m._meta.model_name: m for m in (Application, Credential, Endpoint, LookupTable, Mapping, Route)}
    rows |= {"mappingversion": MappingVersion, "fieldrow": FieldRow}
    return [page(f"{model}_change", row.pk) for row in rows[model].objects.all()]


def formset(prefix: str, *rows: dict[str, Any], initial: int = 0) -> dict[str, Any]:
    data: dict[str, Any] = {f"{prefix}-TOTAL_FORMS": len(rows), f"{prefix}-INITIAL_FORMS": initial}
    for index, row in enumerate(rows):
        data.update({f"{prefix}-{index}-{name}": value for name, value in row.items()})
    return data


def errors_of(answer: Any) -> dict[str, list[str]]:
    return dict(answer.context["adminform"].form.errors)


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("who", ["admin", "viewer"])
def test_every_page_opens_without_secrets_and_without_scripts_from_outside(
    everything: Route, who: str, model: str, request: pytest.FixtureRequest
) -> None:
    client = request.getfixturevalue(who)
    pages = [page(f"{model}_changelist"), *change_pages(model)]
    if who == "admin" and model in ADDABLE:
        pages.append(page(f"{model}_add"))

    answers = {address: client.get(address) for address in pages}

    assert len(answers) > 1
    for address, answer in answers.items():
        text = answer.content.decode()
        assert answer.status_code == 200, address
        assert "<script>alert" not in text, address
        assert not [canary for canary in CANARIES if canary in text], address


@pytest.mark.parametrize("model", ADDABLE)
def test_viewers_can_neither_add_nor_change_nor_delete(everything: Route, viewer: Client, model: str) -> None:
    (change, *_) = change_pages(model)
    delete = change.replace("/change/", "/delete/")

    refused = [viewer.get(page(f"{model}_add")), viewer.post(change, {}), viewer.post(delete, {"post": "yes"})]

    assert [answer.status_code for answer in refused] == [403, 403, 403]


@pytest.mark.parametrize("model", ADDABLE)
def test_lists_ask_the_same_number_of_queries_at_any_size(everything: Route, admin: Client, model: str) -> None:
    factory = {
        "application": factories.CredentialFactory,
        "endpoint": factories.EndpointFactory,
        "lookuptable": factories.LookupTableFactory,
        "mapping": factories.MappingVersionFactory,
        "route": factories.RouteFactory,
    }[model]
    with CaptureQueriesContext(
        connection,
    ) as few:
        admin.get(page(f"{model}_changelist"))

    factory.create_batch(8)

    with CaptureQueriesContext(connection) as many:
        admin.get(page(f"{model}_changelist"))
    assert len(many) == len(few)


# --- applications ----------------------------------------------------------------------------------------------------


def save_application(admin: Client, *credentials: dict[str, Any], application: Application | None = None) -> Any:
    """Adds the application, or saves it with its only credential changed."""
    address = page("application_change", application.pk) if application else page("application_add")
    data = formset("credentials", *credentials, initial=int(application is not None))
    return admin.post(address, {"slug": "shop", **data}, follow=True)


def test_made_api_key_is_shown_exactly_once(admin: Client) -> None:
    answer = save_application(admin, {"name": "main", "scheme": "api_key", "enabled": "on"})

    credential = Credential.objects.get()
    (key,) = re.findall(rf"{credential.key_prefix}\.[\w-]+", answer.content.decode())
    assert key_matches(key, credential.secret_hash)
    again = admin.get(page("application_change", credential.application_id)).content.decode()
    assert key not in again
    assert f"set ({credential.key_prefix}…)" in again


def test_chosen_api_key_is_not_shown(admin: Client) -> None:
    answer = save_application(admin, {"name": "main", "scheme": "api_key", "new_secret": "chosen-by-the-shop"})

    assert key_matches("chosen-by-the-shop", Credential.objects.get().secret_hash)
    assert "chosen-by-the-shop" not in answer.content.decode()


def test_password_has_to_be_given(admin: Client) -> None:
    answer = save_application(admin, {"name": "main", "scheme": "basic", "username": "shop"})

    assert "This scheme needs a secret." in answer.content.decode()
    assert not Application.objects.exists()


@pytest.mark.parametrize(
    ("scheme", "typed", "fits"),
    [
        ("basic", "", "canary-password"),  # empty keeps what is stored
        ("basic", "another", "another"),
        ("api_key", "a-key", "a-key"),  # another scheme, another secret
    ],
)
def test_secret_of_a_credential_is_kept_or_replaced(admin: Client, scheme: str, typed: str, fits: str) -> None:
    credential = factories.CredentialFactory(basic=True, plain="canary-password")
    row = {
        "id": credential.pk,
        "application": credential.application_id,
        "name": "main",
        "scheme": scheme,
        "new_secret": typed,
    }

    answer = save_application(admin, row, application=credential.application)

    credential.refresh_from_db()
    assert answer.redirect_chain
    assert credential.has_this_secret(fits)
    assert "canary-password" not in answer.content.decode()


# --- credentials -----------------------------------------------------------------------------------------------------

WHSEC = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"


def credential_form(**fields: Any) -> dict[str, Any]:
    usual = {"name": "main", "scheme": "github", "enabled": "on", "algorithm": "sha256", "encoding": "hex"}
    return {**usual, "tolerance_seconds": 300, "previous": 86400, **fields}


def save_credential(admin: Client, credential: Credential, **fields: Any) -> Any:
    return admin.post(page("credential_change", credential.pk), credential_form(**fields), follow=True)


@pytest.mark.parametrize(
    ("scheme", "typed", "said"),
    [
        ("github", "chosen", None),
        ("github", "", None),  # made, and shown once
        ("hmac", "", None),
        ("standard_webhooks", "", None),
        ("standard_webhooks", WHSEC, None),
        ("standard_webhooks", "too-short", "A secret of Standard Webhooks is whsec_ and the base64"),
        ("stripe", "", "This scheme needs a secret."),
        ("shopify", "", "This scheme needs a secret."),
        ("slack", "", "This scheme needs a secret."),
        ("slack", "pasted ", "A secret must not begin or end with white space."),
    ],
)
def test_credential_of_each_scheme_is_made(admin: Client, scheme: str, typed: str, said: str | None) -> None:
    answer = save_application(admin, {"name": "main", "scheme": scheme, "new_secret": typed, "enabled": "on"})

    text = answer.content.decode()
    made = [row.secret for row in Credential.objects.all()]
    if said:
        assert said in text
        assert made == []
    else:
        assert (made == [typed]) if typed else (made[0] in text)
        assert not typed or typed not in text


def test_secret_is_rotated_without_a_gap(admin: Client) -> None:
    row = factories.CredentialFactory(github=True, plain="canary-old")

    save_credential(admin, row, new_secret="canary-new", previous=3600)

    row.refresh_from_db()
    text = admin.get(page("credential_change", row.pk)).content.decode()
    assert [secret.value for secret in row.secrets] == ["canary-new", "canary-old"]
    assert row.previous_until is not None
    assert timedelta(minutes=59) < row.previous_until - timezone.now() <= timedelta(hours=1)
    assert "the old one goes on until" in text
    assert "canary" not in text


@pytest.mark.parametrize("scheme", ["api_key", "github"])
def test_secret_that_is_made_anew_is_shown_once_and_the_old_one_may_end_at_once(admin: Client, scheme: str) -> None:
    row = factories.CredentialFactory(**{scheme: True})

    answer = save_credential(admin, row, scheme=scheme, make_secret="on", previous=0)

    row.refresh_from_db()
    (made,) = re.findall(r"is ([\w.-]{40,}) — copy it now", answer.content.decode())
    assert row.has_this_secret(made)
    assert len(row.secrets) == 1
    assert made not in admin.get(page("credential_change", row.pk)).content.decode()


@pytest.mark.parametrize(
    ("fields", "faulty"),
    [
        ({"make_secret": "on", "new_secret": "typed"}, ["make_secret"]),
        ({"make_secret": "on", "scheme": "stripe", "new_secret": ""}, ["new_secret", "make_secret"]),
        ({"scheme": "hmac", "template": "fixed"}, ["template"]),
        ({"scheme": "hmac", "tolerance_seconds": 0}, ["tolerance_seconds"]),
        ({"scheme": "hmac", "header": "X Acme"}, ["header"]),
        ({"expires_at_0": "soon", "expires_at_1": "12:00"}, ["expires_at"]),
    ],
)
def test_credential_that_cannot_work_is_not_saved(admin: Client, fields: dict[str, Any], faulty: list[str]) -> None:
    row = factories.CredentialFactory(github=True)

    answer = save_credential(admin, row, **fields)

    assert list(errors_of(answer)) == faulty
    assert Credential.objects.get().scheme == "github"


def test_signature_of_ones_own_is_configured_and_forgotten_with_its_scheme(admin: Client) -> None:
    row = factories.CredentialFactory(github=True)
    own = {"header": "X-Acme", "algorithm": "sha512", "timestamp_header": "X-Time", "tolerance_seconds": 60}

    save_credential(admin, row, scheme="hmac", expires_at_0="2127-01-31", expires_at_1="12:00:00", **own)
    row.refresh_from_db()
    assert {name: row.options[name] for name in own} == own
    assert row.expires_at == datetime(2127, 1, 31, 12, tzinfo=UTC)

    save_credential(admin, row, scheme="github", **own)
    row.refresh_from_db()
    assert (row.scheme, row.header, row.timestamp_header, row.algorithm) == ("github", "", "", "sha256")


@pytest.mark.parametrize("where", ["page", "application"])
def test_stored_secret_is_not_carried_over_to_another_scheme(admin: Client, where: str) -> None:
    row = factories.CredentialFactory(github=True, plain="canary-old", name="main")
    row.set_secret("canary-new", keep_until=timezone.now() + timedelta(days=1))
    row.save()

    if where == "page":
        save_credential(admin, row, scheme="hmac")
    else:
        inline = {"id": row.pk, "application": row.application_id, "name": "main", "scheme": "hmac", "new_secret": ""}
        save_application(admin, inline, application=row.application)

    row.refresh_from_db()
    assert row.scheme == "hmac"
    assert len(row.secrets) == 1
    assert "canary" not in row.secret


def test_revoked_credential_stays_revoked(admin: Client) -> None:
    row = factories.CredentialFactory(github=True)
    address = page("credential_change", row.pk).replace("/change/", "/revoke/")

    admin.get(address)
    assert Credential.objects.get().revoked_at is None
    admin.post(address, {"_form_submitted": "on", "reason": "It leaked."})
    revoked_at = Credential.objects.get().revoked_at
    admin.post(address, {"_form_submitted": "on", "reason": "Again."})
    answer = save_credential(admin, row, new_secret="another", enabled="on")

    assert revoked_at is not None
    assert Credential.objects.get().revoked_at == revoked_at
    assert list(errors_of(answer)) == ["new_secret"]
    assert [entry.change_message for entry in LogEntry.objects.filter(object_id=str(row.pk))] == ["Revoked. It leaked."]


def test_old_secret_is_ended_by_a_person(admin: Client) -> None:
    row = factories.CredentialFactory(github=True, plain="old")
    row.set_secret("new", keep_until=timezone.now() + timedelta(days=1))
    row.save()
    address = page("credential_change", row.pk).replace("/change/", "/end_previous/")

    admin.get(address)
    assert len(Credential.objects.get().secrets) == 2
    admin.post(address, {"_form_submitted": "on", "reason": "All changed over."})

    assert [secret.value for secret in Credential.objects.get().secrets] == ["new"]


@pytest.mark.parametrize("verb", ["revoke", "end_previous"])
def test_who_may_only_look_ends_nothing(viewer: Client, verb: str) -> None:
    row = factories.CredentialFactory(github=True, plain="old")
    row.set_secret("new", keep_until=timezone.now() + timedelta(days=1))
    row.save()
    address = page("credential_change", row.pk)

    text = viewer.get(address).content.decode()
    answer = viewer.post(address.replace("/change/", f"/{verb}/"), {"_form_submitted": "on", "reason": "x"})

    assert answer.status_code in (302, 403)
    assert f"/{verb}/" not in text
    assert "Make a new one" not in text
    assert (len(Credential.objects.get().secrets), Credential.objects.get().revoked_at) == (2, None)


@pytest.mark.parametrize(
    ("trait", "state"), [({}, "open"), ({"disabled": True}, "disabled"), ({"expired": True}, "expired"),
                         ({"revoked": True, "expired": True}, "revoked")],
)  # fmt: skip
def test_state_of_a_credential_is_shown(trait: dict[str, bool], state: str) -> None:
    assert CredentialAdmin.state(None, factories.CredentialFactory(**trait)) == state  # type: ignore[arg-type]


@pytest.mark.parametrize("scheme", Scheme.values)
def test_page_says_what_the_sender_has_to_do(admin: Client, scheme: str) -> None:
    row = factories.CredentialFactory(scheme=scheme)
    route = factories.RouteFactory(source=row.application)

    text = admin.get(page("credential_change", row.pk)).content.decode()

    assert f"http://testserver/webhooks/{route.slug}" in text
    assert "SECRET=" in text


def test_credential_is_reached_by_clicking_from_application_and_route(admin: Client) -> None:
    credential = factories.CredentialFactory()
    route = factories.RouteFactory(source=credential.application)
    pages = [page("application_change", credential.application.pk), page("route_change", route.pk)]

    texts = [admin.get(address).content.decode() for address in pages]

    assert [f'href="{page("credential_change", credential.pk)}"' in text for text in texts] == [True, True]


def test_application_leads_to_its_endpoints_and_routes(admin: Client) -> None:
    route = factories.RouteFactory()
    endpoint = factories.EndpointFactory(application=route.source)

    text = admin.get(page("application_change", route.source_id)).content.decode()

    assert page("route_change", route.pk) in text
    assert page("endpoint_change", endpoint.pk) in text


# --- endpoints -------------------------------------------------------------------------------------------------------


def endpoint_form(application: Application, **fields: Any) -> dict[str, Any]:
    return {
        "slug": "erp",
        "application": application.pk,
        "url": "https://erp.example.com/orders",
        "method": "POST",
        "format": "json",
        "timeout_seconds": 10,
        "auth_scheme": "none",
        **fields,
    }


OAUTH2 = {
    "auth_scheme": "oauth2_client_credentials",
    "token_url": "https://login.example.com/",
    "client_id": "us",
    "client_secret": "s",
}


@pytest.mark.parametrize(
    ("fields", "stored", "faulty"),
    [
        ({"auth_scheme": "none", "token": "left over"}, {}, []),
        ({"auth_scheme": "bearer", "token": "t"}, {"token": "t"}, []),
        ({"auth_scheme": "bearer"}, None, ["token"]),
        ({"auth_scheme": "bearer", "token": "a\tb\rc"}, None, ["token"]),  # control characters cannot be sent
        ({"auth_scheme": "api_key", "key": "k"}, {"key": "k"}, []),  # in the usual header
        ({"auth_scheme": "api_key", "header": "X-Code", "key": "k"}, {"header": "X-Code", "key": "k"}, []),
        ({"auth_scheme": "api_key", "header": "Host", "key": "k"}, None, ["header"]),  # the transport's own
        ({"auth_scheme": "api_key", "header": "X-Code", "key": "ключ"}, None, ["key"]),  # no Latin-1
        ({"auth_scheme": "basic", "username": "u", "password": "пароль"}, {"username": "u", "password": "пароль"}, []),
        ({"auth_scheme": "basic", "username": "u"}, None, ["password"]),
        ({"auth_scheme": "api_key", "query": "code", "key": "k"}, {"query": "code", "key": "k"}, []),
        ({"auth_scheme": "hmac", "secret": "s", "algorithm": "sha256"}, {"secret": "s"}, []),  # the default
        (
            {"auth_scheme": "hmac", "secret": "s", "algorithm": "sha512", "timestamp_header": "X-Time"},
            {"secret": "s", "algorithm": "sha512", "timestamp_header": "X-Time"},
            [],
        ),
        ({"auth_scheme": "hmac", "secret": "s", "template": "x"}, None, ["template"]),
        ({"auth_scheme": "standard_webhooks", "secret": "s"}, None, ["secret"]),
        (
            {**OAUTH2, "extra": '{"resource": "orders"}', "client_auth": "post"},
            {"token_url": "https://login.example.com/", "client_id": "us", "client_secret": "s"}
            | {"extra": {"resource": "orders"}, "client_auth": "post"},
            [],
        ),
        ({**OAUTH2, "extra": '{"resource": 7}'}, None, ["extra"]),
        ({**OAUTH2, "extra": "{"}, None, ["extra"]),
        ({**OAUTH2, "token_url": "login"}, None, ["token_url"]),
        ({"auth_scheme": "carrier-pigeon"}, None, ["auth_scheme"]),
        ({"headers": '{"X-Tenant": 7}'}, None, ["headers"]),
        ({"headers": "{"}, None, ["headers"]),
        ({"url": "ftp://erp.example.com"}, None, ["url"]),
        ({"timeout_seconds": 0}, None, ["timeout_seconds"]),
        ({"max_concurrent": 4, "rate_calls": 100, "rate_per": "minute"}, {}, []),
        ({"max_concurrent": 0}, None, ["max_concurrent"]),
        ({"rate_calls": 0}, None, ["rate_calls"]),
        ({"circuit_failure_share": 0.2, "circuit_minimum_calls": 3}, {}, []),
        ({"circuit_failure_share": 2}, None, ["circuit_failure_share"]),
    ],
)
def test_endpoint_is_configured_by_its_form(
    admin: Client, fields: dict[str, Any], stored: dict[str, str] | None, faulty: list[str]
) -> None:
    form = endpoint_form(factories.ApplicationFactory(), **fields)

    answer = admin.post(page("endpoint_add"), form)

    assert (answer.status_code == 200) == bool(faulty)
    assert [endpoint.read_auth() for endpoint in Endpoint.objects.all()] == ([] if faulty else [stored])
    if faulty:
        assert list(errors_of(answer)) == faulty


def test_typed_secret_does_not_come_back_with_the_errors(admin: Client) -> None:
    form = endpoint_form(factories.ApplicationFactory(), auth_scheme="bearer", token="canary-typed", url="nonsense")

    answer = admin.post(page("endpoint_add"), form)

    assert "url" in errors_of(answer)
    assert "canary-typed" not in answer.content.decode()


@pytest.mark.parametrize(
    ("fields", "stored"),
    [
        ({"auth_scheme": "api_key", "header": "X-New"}, {"header": "X-New", "key": "canary-key"}),  # the key is kept
        ({"auth_scheme": "api_key", "key": "new"}, {"key": "new"}),
        ({"auth_scheme": "none"}, {}),  # what is not used any more is forgotten
    ],
)
def test_secrets_of_an_endpoint_are_kept_or_replaced(
    admin: Client, fields: dict[str, str], stored: dict[str, str]
) -> None:
    endpoint = factories.EndpointFactory(api_key=True)

    admin.post(page("endpoint_change", endpoint.pk), endpoint_form(endpoint.application, **fields))

    endpoint.refresh_from_db()
    assert endpoint.read_auth() == stored


def test_stored_parameters_of_a_scheme_come_back_into_the_form_and_its_secret_does_not(admin: Client) -> None:
    form = endpoint_form(factories.ApplicationFactory(), **{**OAUTH2, "client_secret": "canary-token", "scope": "a b"})
    admin.post(page("endpoint_add"), form)
    endpoint = Endpoint.objects.get()

    text = admin.get(page("endpoint_change", endpoint.pk)).content.decode()

    assert 'value="https://login.example.com/"' in text
    assert 'value="a b"' in text
    assert "canary-token" not in text


def test_secret_is_not_taken_over_by_another_scheme(admin: Client) -> None:
    endpoint = factories.EndpointFactory(api_key=True)

    answer = admin.post(page("endpoint_change", endpoint.pk), endpoint_form(endpoint.application, auth_scheme="bearer"))

    assert list(errors_of(answer)) == ["token"]


def test_who_may_only_look_sees_the_scheme_and_no_fields_for_secrets(viewer: Client) -> None:
    endpoint = factories.EndpointFactory(bearer=True)

    text = viewer.get(page("endpoint_change", endpoint.pk)).content.decode()

    assert "Bearer token" in text
    assert not re.search(r"<label[^>]*>\s*(API key|Password|User name)", text)


def test_private_address_is_a_warning_and_no_error(admin: Client) -> None:
    form = endpoint_form(factories.ApplicationFactory(), url="http://10.1.2.3/orders")

    answer = admin.post(page("endpoint_add"), form, follow=True)

    assert Endpoint.objects.get().url == "http://10.1.2.3/orders"
    assert "Calls to it will be refused" in answer.content.decode()


@pytest.mark.parametrize(
    ("url", "warned"),
    [
        ("http://127.0.0.1:9000/", False),  # the tests' settings list all of 127.0.0.0/8
        ("http://localhost/", False),
        ("http://192.168.0.1/", True),
        ("https://[fd00::1]:8443/", True),
        ("http://169.254.169.254/", True),  # cloud metadata
        ("https://erp.example.com/", False),  # names are judged when they are called
        ("https://1.1.1.1/", False),
    ],
)
def test_addresses_are_judged_like_calls(url: str, warned: bool) -> None:
    assert (private_address(url) is not None) == warned


# --- mappings --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("typed", "stored", "shown"),
    [
        ("", "", ""),
        ("XX", '"XX"', "XX"),  # a text needs no quotes …
        ('"XX"', '"XX"', "XX"),
        ("19.90", "19.90", "19.90"),  # digits stay
        ("123456789012345678901234567890", "123456789012345678901234567890", "123456789012345678901234567890"),
        ('"19.90"', '"19.90"', '"19.90"'),  # … unless it would be read as something else without them
        ("true", "true", "true"),
        ('"true"', '"true"', '"true"'),
        ("null", "null", "null"),
        ("007", '"007"', "007"),  # no JSON number
        ('{"a": [1]}', '{"a":[1]}', '{"a":[1]}'),
        ('{"a": ', '"{\\"a\\":"', '{"a":'),  # not JSON: taken at its word
        ("Zoë", '"Zoë"', "Zoë"),
    ],
)
def test_defaults_are_json_or_plain_text(typed: str, stored: str, shown: str) -> None:
    field = LooseJSONField(required=False)

    assert field.clean(typed) == stored
    assert field.prepare_value(stored) == shown
    assert not field.has_changed(stored, shown)


def save_mapping(admin: Client, *rows: dict[str, Any], expression: str = "", mapping: Mapping | None = None) -> Any:
    """Adds a mapping, or saves one whose rows are all among `rows`."""
    address = page("mapping_change", mapping.pk) if mapping else page("mapping_add")
    initial = sum("id" in row for row in rows)
    data = {**formset("rows", *rows, initial=initial), **formset("versions")}
    if mapping is not None:  # the versions' forms are read-only and come without fields
        data["versions-TOTAL_FORMS"] = data["versions-INITIAL_FORMS"] = 0
    return admin.post(address, {"slug": "order", "expression": expression, **data})


def row_of(row: FieldRow, **changes: Any) -> dict[str, Any]:
    return {"id": row.pk, "mapping": row.mapping_id, "target": row.target, "source": row.source, **changes}


def test_saved_mapping_is_a_version_by_whoever_saved_it(admin: Client, admin_user: User) -> None:
    rows = [
        {"target": "no", "source": "id", "type": "string", "required": "on", "position": 0},
        {"target": "country", "source": "land", "default": "XX", "lookup": factories.LookupTableFactory().pk},
    ]
    rows[1]["position"] = 1

    save_mapping(admin, *rows)

    version = MappingVersion.objects.get()
    assert version.created_by == admin_user
    assert version.definition == {
        "fields": [
            {"target": "no", "source": "id", "type": "string", "required": True},
            {"target": "country", "source": "land", "default": "XX", "lookup": LookupTable.objects.get().slug},
        ]
    }


def test_rows_in_another_order_are_a_new_version_and_the_same_rows_none(admin: Client) -> None:
    save_mapping(admin, *({"target": name, "source": "id", "position": place} for place, name in enumerate("ab")))
    mapping = Mapping.objects.get()
    first, second = mapping.rows.all()

    save_mapping(admin, row_of(first, position=0), row_of(second, position=1), mapping=mapping)
    assert mapping.versions.count() == 1
    save_mapping(admin, row_of(first, position=1), row_of(second, position=0), mapping=mapping)

    newest, _ = mapping.versions.all()
    assert [row["target"] for row in newest.definition["fields"]] == ["b", "a"]


def test_deleted_row_is_in_nobodys_way(admin: Client) -> None:
    mapping = factories.MappingFactory()
    old = factories.FieldRowFactory(mapping=mapping, target="a", source="before")
    new = {"target": "a", "source": "behind", "position": 1}  # two rows of one target would be a fault

    save_mapping(admin, row_of(old, position=0, DELETE="on"), new, mapping=mapping)

    assert [row.source for row in mapping.rows.all()] == ["behind"]
    assert mapping.versions.count() == 1


def test_each_fault_lands_on_the_field_of_its_row(admin: Client) -> None:
    rows = [
        {"target": "good", "source": "id", "position": 2},
        {"target": "a..b", "source": "id", "position": 1},
        {"target": "total", "source": "=$sum(", "position": 0},
        {"target": "nothing", "position": 3},
    ]

    answer = save_mapping(admin, *rows)

    inline, *_ = answer.context["inline_admin_formsets"]
    assert [list(errors) for errors in inline.formset.errors][:3] == [[], ["target"], ["source"]]
    assert inline.formset.errors[3]
    assert not Mapping.objects.exists()


@pytest.mark.parametrize(
    ("rows", "expression"),
    [
        ([], ""),
        ([], "   "),
        ([{"target": "a", "source": "b", "position": 0}], "{}"),
    ],
)
def test_mapping_is_rows_or_an_expression(admin: Client, rows: list[dict[str, Any]], expression: str) -> None:
    answer = save_mapping(admin, *rows, expression=expression)

    assert "either field rows or an expression" in answer.content.decode()
    assert not Mapping.objects.exists()


def test_expression_stands_beside_the_rows_for_those_who_write_and_those_who_look(
    admin: Client, viewer: Client
) -> None:
    mapping = factories.MappingFactory(expression='{"no": id}')

    written, looked = (one.get(page("mapping_change", mapping.pk)).content.decode() for one in (admin, viewer))

    assert "{&quot;no&quot;: id}</textarea>" in written
    assert "{&quot;no&quot;: id}</pre>" in looked
    assert "<textarea" not in looked


def test_faulty_expression_is_named_on_its_field(admin: Client) -> None:
    answer = save_mapping(admin, expression='{"a": ')

    assert list(errors_of(answer)) == ["expression"]


def test_versions_can_be_looked_at_and_not_be_changed(admin: Client) -> None:
    version = factories.MappingVersionFactory()
    address = page("mappingversion_change", version.pk)

    assert "<th>no</th>" in admin.get(address).content.decode()
    assert admin.post(address, {"number": 9}).status_code == 403
    assert address in admin.get(page("mapping_change", version.mapping_id)).content.decode()


def test_lookup_table_has_an_object_of_simple_values(admin: Client) -> None:
    for entries in ('["a"]', '{"a": [1]}'):
        answer = admin.post(page("lookuptable_add"), {"slug": "codes", "entries": entries})
        assert list(errors_of(answer)) == ["entries"]

    admin.post(page("lookuptable_add"), {"slug": "codes", "entries": '{"a": 1.50}'})

    assert str(LookupTable.objects.get().entries["a"]) == "1.50"


# --- routes ----------------------------------------------------------------------------------------------------------

ROUTE = {
    "slug": "orders", "name": "Orders", "enabled": "on", "patterns": "async,sync", "reply": "body",
    "ordering": "key", "ordering_key": "customer.id", "on_failure": "skip", "max_attempts": 3, "on_unknown": "stop",
    "first_delay_seconds": 1.5, "factor": 2, "max_delay_seconds": 60, "sync_deadline_seconds": 4,
    "on_deadline": "accept", "max_body_bytes": 1000, "retention_days": 7, "idempotency_key": "id",
    "search_keys": '{"order": "id"}', "schema": '{"type": "object"}',
    "statuses": '{"success": [409]}',
}  # fmt: skip


def route_form(**changes: Any) -> dict[str, Any]:
    mapping = factories.MappingFactory()
    return {
        **ROUTE,
        "source": factories.ApplicationFactory().pk,
        "endpoint": factories.EndpointFactory().pk,
        "mapping": mapping.pk,
        "reply_mapping": mapping.pk,
        **changes,
    }


def test_route_takes_everything_that_the_configuration_file_has(admin: Client) -> None:
    form = route_form()

    admin.post(page("route_add"), form)

    route = Route.objects.get()
    expected = {
        **form,
        "enabled": True,
        "search_keys": {"order": "id"},
        "schema": {"type": "object"},
        "statuses": {"success": [409]},
    }
    for name, value in expected.items():
        stored = getattr(route, f"{name}_id" if name in ("source", "endpoint", "mapping", "reply_mapping") else name)
        assert stored == value, name
    assert not route.paused


@pytest.mark.parametrize(
    ("changes", "faulty"),
    [
        ({"ordering_key": ""}, "ordering_key"),  # ordering by key has one
        ({"ordering": "route", "ordering_key": "a..b"}, "ordering_key"),  # checked though it is not used
        ({"idempotency_key": "=$sum("}, "idempotency_key"),
        ({"search_keys": '["id"]'}, "search_keys"),
        ({"search_keys": '{"a b": "id"}'}, "search_keys"),
        ({"schema": '{"type": "objekt"}'}, "schema"),
        ({"schema": "{"}, "schema"),
        ({"max_attempts": 0}, "max_attempts"),
        ({"factor": "nan"}, "factor"),
        ({"max_body_bytes": 10**9}, "max_body_bytes"),
        ({"sync_deadline_seconds": 61}, "sync_deadline_seconds"),
        ({"slug": "no good"}, "slug"),
        ({"endpoint": ""}, "endpoint"),
    ],
)
def test_fault_of_a_route_lands_on_its_field(admin: Client, changes: dict[str, Any], faulty: str) -> None:
    answer = admin.post(page("route_add"), route_form(**changes))

    assert list(errors_of(answer)) == [faulty]
    assert not Route.objects.exists()


def test_route_shows_the_addresses_under_which_it_is_reached(admin: Client) -> None:
    route = factories.RouteFactory(patterns="async")

    text = admin.get(page("route_change", route.pk)).content.decode()

    assert f"http://testserver/webhooks/{route.slug}<" in text
    assert f"http://testserver/webhooks/{route.slug}/async<" in text
    assert f"/webhooks/{route.slug}/sync" not in text


def test_route_leads_to_what_it_is_made_of_and_its_addresses_are_copied(admin: Client) -> None:
    route = factories.RouteFactory(mapping=factories.MappingFactory())
    places = {"application": route.source, "mapping": route.mapping, "endpoint": route.endpoint}

    text = admin.get(page("route_change", route.pk)).content.decode()

    for name, row in places.items():
        assert f'href="{page(f"{name}_change", row.pk)}">{row}</a>' in text
    assert text.count("data-copy-from") == 3


def test_keys_and_statuses_of_a_route_are_lines(admin: Client) -> None:
    lines = {"search_keys": "order = id\nsku = items[].sku", "statuses": "success = 409", "force_list": "line, note"}

    admin.post(page("route_add"), route_form(**lines))

    route = Route.objects.get()
    assert route.search_keys == {"order": "id", "sku": "items[].sku"}
    assert (route.statuses, route.force_list) == ({"success": [409]}, ["line", "note"])
    assert "order = id\nsku = items[].sku" in admin.get(page("route_change", route.pk)).content.decode()


def test_slug_is_chosen_once_and_paused_is_no_switch(admin: Client) -> None:
    route = factories.RouteFactory(paused=True)
    form = route_form(slug="another", source=route.source_id, endpoint=route.endpoint_id)

    admin.post(page("route_change", route.pk), form)

    changed = Route.objects.get()
    assert (changed.slug, changed.paused, changed.name) == (route.slug, True, "Orders")


@pytest.mark.parametrize("model", ["route", "endpoint"])
@pytest.mark.parametrize(("paused", "verb"), [(False, "pause"), (True, "resume")])
def test_only_the_verb_that_would_do_something_is_offered(
    admin: Client, viewer: Client, model: str, paused: bool, verb: str
) -> None:
    factory = {"route": factories.RouteFactory, "endpoint": factories.EndpointFactory}[model]
    address = page(f"{model}_change", factory(paused=paused).pk)

    offered = re.findall(r"/(pause|resume)/", admin.get(address).content.decode())

    assert set(offered) == {verb}
    assert not re.findall(r"/(pause|resume)/", viewer.get(address).content.decode())


@pytest.mark.parametrize("model", ["route", "endpoint"])
@pytest.mark.parametrize("address", ["{}/999/pause/", "{}/nonsense/pause/"])
def test_verb_on_what_is_not_there_is_not_found(admin: Client, model: str, address: str) -> None:
    answer = admin.post(f"/admin/connectors/{address.format(model)}", {"_form_submitted": "on", "reason": "r"})

    assert answer.status_code == 404


# --- deleting --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("model", ["application", "endpoint", "mapping", "lookuptable"])
def test_what_is_in_use_cannot_be_deleted_and_the_page_says_by_what(
    everything: Route, admin: Client, model: str
) -> None:
    used = {
        "application": everything.source,
        "endpoint": everything.endpoint,
        "mapping": everything.mapping,
        "lookuptable": LookupTable.objects.get(),
    }[model]
    address = page(f"{model}_delete", used.pk)

    asked, done = admin.get(address, follow=True), admin.post(address, {"post": "yes"}, follow=True)

    for answer in (asked, done):
        assert "was not deleted: it has" in answer.content.decode()
    assert type(used).objects.filter(pk=used.pk).exists()


@pytest.mark.parametrize("model", ADDABLE)
def test_what_is_not_in_use_can_be_deleted(admin: Client, model: str) -> None:
    unused = {
        "application": lambda: factories.CredentialFactory().application,
        "endpoint": factories.EndpointFactory,
        "lookuptable": factories.LookupTableFactory,
        "mapping": lambda: factories.MappingVersionFactory(mapping=factories.FieldRowFactory().mapping).mapping,
        "route": factories.RouteFactory,
    }[model]()

    admin.post(page(f"{model}_delete", unused.pk), {"post": "yes"})

    assert not type(unused).objects.filter(pk=unused.pk).exists()
