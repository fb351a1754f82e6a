from pathlib import Path

import pytest

from connectors.configuration import InvalidConfiguration, apply_configuration, export_configuration
from connectors.models import Application, Credential, Endpoint, FieldRow, LookupTable, Mapping, Route
from connectors.models.application import key_matches

pytestmark = pytest.mark.django_db

SECRETS = {"SHOP_KEY": "the-shop-secret", "ERP_TOKEN": "the-erp-token"}
FILE = """
version: 1
applications:
  - slug: shop
    name: Web shop
    credentials:
      - {name: main, scheme: api_key, secret: "${SHOP_KEY}"}
      - {name: old, scheme: basic, username: shop, secret: pass word, enabled: false}
  - slug: erp
    endpoints:
      - slug: erp-orders
        url: http://127.0.0.1:9000/orders
        method: PUT
        auth: {scheme: bearer, token: "${ERP_TOKEN}"}
        headers: {X-Tenant: main}
        timeout_seconds: 2.5
lookup_tables:
  - slug: codes
    entries: {Norway: NO, 404: missing, one: 1, price: 19.90, nothing: null}
mappings:
  - slug: order
    fields:
      - {target: orderNo, source: id, type: string, required: true}
      - {target: 'lines[].sku', source: 'items[].sku'}
      - {target: country, source: country, lookup: codes, default: null}
      - {target: rate, constant: 19.90}
      - {target: code, constant: "007"}
  - slug: reply
    expression: '{"invoice": body.no}'
routes:
  - slug: orders
    source: shop
    endpoint: erp-orders
    patterns: [sync, async]
    schema: {type: object, properties: {n: {multipleOf: 0.010}}}
    mapping: order
    reply_mapping: reply
    reply: body
    ordering: key
    ordering_key: customer.id
    idempotency_key: '=$string(id)'
    search_keys: {order: id}
    on_failure: skip
    retry: {max_attempts: 3, first_delay_seconds: 0.5, factor: 2, max_delay_seconds: 9}
    sync_deadline_seconds: 3
    on_deadline: accept
    max_body_bytes: 1000
    retention_days: 7
"""


def actions(text: str, environ: dict[str, str] = SECRETS, *, check: bool = False) -> dict[str, str]:
    """What happened to each object, by kind and slug."""
    changes = apply_configuration(text, environ=environ, check=check)
    return {f"{change.kind} {change.slug}": change.action for change in changes}


def test_everything_of_the_file_is_created() -> None:
    done = actions(FILE)

    assert set(done.values()) == {"created"}
    route = Route.objects.get(slug="orders")
    assert (route.source.slug, route.endpoint.slug, route.patterns) == ("shop", "erp-orders", "sync,async")
    assert (route.max_attempts, route.first_delay_seconds, route.on_deadline) == (3, 0.5, "accept")
    assert route.endpoint.read_auth() == {"token": "the-erp-token"}
    assert key_matches("the-shop-secret", Credential.objects.get(name="main").secret_hash)
    assert LookupTable.objects.get().entries["Norway"] == "NO"
    assert str(LookupTable.objects.get().entries["price"]) == "19.90"
    assert LookupTable.objects.get().entries["404"] == "missing"
    assert Mapping.objects.get(slug="order").versions.get().number == 1
    assert FieldRow.objects.get(target="rate").constant == "19.90"
    assert FieldRow.objects.get(target="code").constant == '"007"'
    assert FieldRow.objects.get(target="country").default == "null"


def test_applying_twice_changes_nothing() -> None:
    actions(FILE)
    before = {row.slug: row.updated_at for row in Route.objects.all()}

    done = actions(FILE)

    assert set(done.values()) == {"unchanged"}
    assert {row.slug: row.updated_at for row in Route.objects.all()} == before
    assert Mapping.objects.get(slug="order").versions.count() == 1


def test_check_changes_nothing() -> None:
    done = actions(FILE, check=True)

    assert set(done.values()) == {"created"}
    assert not Application.objects.exists()


def test_only_what_differs_is_changed() -> None:
    actions(FILE)

    done = actions(FILE.replace("constant: 19.90", "constant: 19.9").replace("factor: 2", "factor: 4"))

    assert {name for name, action in done.items() if action == "changed"} == {"mapping order", "route orders"}
    assert Mapping.objects.get(slug="order").versions.count() == 2
    assert Route.objects.get().factor == 4


def test_key_that_is_left_out_takes_its_default() -> None:
    actions(FILE)

    actions(FILE.replace("    on_failure: skip\n", "").replace("        method: PUT\n", ""))

    assert Route.objects.get().on_failure == "block"
    assert Endpoint.objects.get().method == "POST"


def test_export_applied_again_changes_nothing() -> None:
    actions(FILE)
    exported = export_configuration()

    again = actions(exported, {})

    assert set(again.values()) == {"unchanged"}
    assert export_configuration() == exported


def test_export_rebuilds_an_empty_platform() -> None:
    actions(FILE)
    exported = export_configuration()
    for model in (Route, Endpoint, Application, Mapping, LookupTable):
        model.objects.all().delete()

    done = actions(exported, {"SHOP_MAIN_SECRET": "a", "SHOP_OLD_SECRET": "b", "ERP_ORDERS_TOKEN": "c"})

    assert set(done.values()) == {"created"}
    assert export_configuration() == exported


def test_secrets_are_never_exported() -> None:
    actions(FILE)

    exported = export_configuration()

    for secret in (*SECRETS.values(), "pass word"):
        assert secret not in exported
    assert "${SHOP_MAIN_SECRET}" in exported


def test_secret_whose_variable_is_not_set_is_kept() -> None:
    actions(FILE)

    done = actions(FILE, {})

    assert set(done.values()) == {"unchanged"}
    assert Endpoint.objects.get().read_auth() == {"token": "the-erp-token"}


def test_new_secret_replaces_the_stored_one() -> None:
    actions(FILE)

    done = actions(FILE, {**SECRETS, "ERP_TOKEN": "another"})

    assert done["endpoint erp-orders"] == "changed"
    assert Endpoint.objects.get().read_auth() == {"token": "another"}


def test_objects_that_the_file_does_not_name_stay() -> None:
    actions(FILE)

    actions("version: 1\napplications: [{slug: crm}]\n")

    assert set(Application.objects.values_list("slug", flat=True)) == {"shop", "erp", "crm"}
    assert Route.objects.exists()


def test_placeholders_are_replaced_and_doubled_dollars_are_letters() -> None:
    text = 'version: 1\napplications: [{slug: crm, name: "The ${WHO} ${WHO}, not $${WHO}"}]\n'

    actions(text, {"WHO": "CRM"})

    assert Application.objects.get().name == "The CRM CRM, not ${WHO}"
    assert "$${WHO}" in export_configuration()


def test_json_is_read_too() -> None:
    actions('{\n\t"version": 1, "applications": [{"slug": "crm", "name": "a\\/b"}]}')

    assert Application.objects.get().name == "a/b"


FAULTS = [
    # what is replaced in the file, by what, and the place that has to be named
    ("version: 1", "version: 2", "version: "),
    ("slug: shop", "slug: s h o p", "applications[0].slug: "),
    ("scheme: api_key", "scheme: magic", "applications[0].credentials[0].scheme: "),
    ("${SHOP_KEY}", "${NOT_SET}", "applications[0].credentials[0].secret: "),
    ("http://127.0.0.1:9000/orders", "ftp://x", "applications[1].endpoints[0].url: "),
    ("timeout_seconds: 2.5", "timeout_seconds: soon", "applications[1].endpoints[0].timeout_seconds: "),
    ("timeout_seconds: 2.5", "timeout_seconds: 999", "applications[1].endpoints[0].timeout_seconds: "),
    ("timeout_seconds", "timout_seconds", "did you mean timeout_seconds?"),
    ("token: ", "toke: ", "applications[1].endpoints[0].auth.token: "),
    ("X-Tenant: main", "Host: main", "applications[1].endpoints[0].headers: "),
    ("target: orderNo", "target: 'order..No'", "mappings[0].fields[0].target: "),
    ("type: string", "type: text", "mappings[0].fields[0].type: "),
    ("lookup: codes", "lookup: cods", "mappings[0].fields[2].lookup: "),
    ("'{\"invoice\": body.no}'", "'{'", "mappings[1].expression: "),
    ("source: shop\n", "source: nobody\n", "routes[0].source: "),
    ("patterns: [sync, async]", "patterns: [now]", "routes[0].patterns: "),
    ("{type: object, prop", "{type: thing, prop", "routes[0].schema: "),
    ("ordering_key: customer.id", "ordering_key: 'customer..id'", "routes[0].ordering_key: "),
    ("search_keys: {order: id}", "search_keys: {order: 'a['}", "routes[0].search_keys: "),
    ("max_attempts: 3", "max_attempts: 0", "routes[0].retry.max_attempts: "),
    ("on_failure: skip", "on_failure: panic", "routes[0].on_failure: "),
    ("max_body_bytes: 1000", "max_body_bytes: 99999999999", "routes[0].max_body_bytes: "),
]


@pytest.mark.parametrize(("old", "new", "place"), FAULTS)
def test_fault_is_named_with_its_place_and_nothing_changes(old: str, new: str, place: str) -> None:
    assert old in FILE

    with pytest.raises(InvalidConfiguration) as caught:
        apply_configuration(FILE.replace(old, new, 1), environ=SECRETS)

    assert any(place in fault for fault in caught.value.faults), caught.value.faults
    assert not Application.objects.exists()


def test_all_faults_are_named_at_once() -> None:
    text = (
        FILE.replace("version: 1", "version: 2")
        .replace("on_failure: skip", "on_failure: x")
        .replace("type: string", "type: x")
    )

    with pytest.raises(InvalidConfiguration) as caught:
        apply_configuration(text, environ=SECRETS)

    assert len(caught.value.faults) == 3


@pytest.mark.parametrize(
    "text",
    [
        "version: [1",  # not YAML
        "- version: 1",  # not a mapping
        "version: 1\nversion: 1",  # a key twice
        "",  # nothing
        "version: 1\n? [a, b]\n: 1",  # a key that is no text
        "a0: &a0 [x]\n" + "".join(f"a{n}: &a{n} [{','.join([f'*a{n - 1}'] * 9)}]\n" for n in range(1, 8)),  # a bomb
        "version: 1e99999999999999999999",  # a number that is none
        "version: !!timestamp 2026-01-01",  # a value that JSON does not have
        "version: !!python/object/apply:os.system [ls]",  # a tag that would run something
    ],
)
def test_file_that_cannot_be_read_is_a_fault(text: str) -> None:
    with pytest.raises(InvalidConfiguration) as caught:
        apply_configuration(text, environ={})

    assert caught.value.faults


def test_endpoint_of_another_application_is_not_taken_over() -> None:
    actions(FILE)

    with pytest.raises(InvalidConfiguration) as caught:
        actions("version: 1\napplications: [{slug: crm, endpoints: [{slug: erp-orders, url: 'http://x'}]}]")

    assert "applications[0].endpoints[0].slug: " in caught.value.faults[0]


def test_the_demos_file_applies() -> None:
    path = Path(__file__).parents[2] / "integration_platform" / "demo" / "demo.yaml"

    done = actions(path.read_text(), {"DEMO_DESTINATION": "http://127.0.0.1:8001"})

    assert set(done.values()) == {"created"}
