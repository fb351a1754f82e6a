"""The preview of a mapping: what its form, as it stands, makes of a sample; and versions that come back."""

from typing import Any

import pytest
from django.contrib.auth.models import Permission, User
from django.test import Client
from django.urls import reverse

from connectors.configuration import apply_configuration
from connectors.models import FieldRow, LookupTable, Mapping
from messages.models import Message
from tests import factories

pytestmark = pytest.mark.django_db

PREVIEW = "/admin/connectors/mapping/preview/"
CONFIGURATION = """
version: 1
lookup_tables: [{slug: codes, entries: {Norway: NO}}]
mappings:
  - slug: order
    fields:
      - {target: no, source: id}
      - {target: price, source: price, type: decimal, default: 19.90}
      - {target: country, source: country, lookup: codes}
"""


@pytest.fixture
def mapping() -> Mapping:
    apply_configuration(CONFIGURATION, environ={})
    return Mapping.objects.get()


def person(*permissions: str) -> Client:
    user = User.objects.create_user("person", is_staff=True)
    user.user_permissions.set(Permission.objects.filter(codename__in=permissions))
    client = Client()
    client.force_login(user)
    return client


def form(*rows: dict[str, Any], **fields: Any) -> dict[str, Any]:
    data: dict[str, Any] = {"rows-TOTAL_FORMS": len(rows), "rows-INITIAL_FORMS": 0, **fields}
    for index, row in enumerate(rows):
        data |= {f"rows-{index}-{name}": value for name, value in {"position": index, **row}.items()}
    return data


def shown(client: Client, data: dict[str, Any], mapping: Mapping | None = None) -> Any:
    answer = client.post(PREVIEW + (f"?mapping={mapping.pk}" if mapping else ""), data)
    assert answer.status_code == 200
    return answer.context["preview"]


def test_unsaved_rows_map_the_sample_and_every_digit_stays() -> None:
    rows = [{"target": "no", "source": "id"}, {"target": "price", "source": "price", "type": "decimal"}]

    preview = shown(person("add_mapping"), form(*rows, sample='{"id": 90071992547409931, "price": 19.90}'))

    assert preview.result == '{\n  "no": 90071992547409931,\n  "price": 19.90\n}'
    assert preview.changes == []
    assert not Mapping.objects.exists()
    assert not FieldRow.objects.exists()


def test_stored_rows_that_were_edited_are_compared_with_the_version_in_force(mapping: Mapping) -> None:
    stored = list(mapping.rows.all())
    rows = [{"id": row.pk, "target": row.target, "source": row.source} for row in stored]
    rows[0]["target"] = "number"
    rows[1]["DELETE"] = "on"
    data = form(*rows, sample='{"id": 7, "price": 2.50, "country": "Norway"}') | {"rows-INITIAL_FORMS": 3}

    preview = shown(person("change_mapping"), data, mapping)

    assert preview.result == '{\n  "number": 7,\n  "country": "Norway"\n}'
    assert ("removed", '-  "price": 2.50,') in preview.changes
    assert [row.target for row in mapping.rows.all()] == ["no", "price", "country"]


def test_faults_name_the_row_and_failures_name_every_failing_one() -> None:
    client = person("add_mapping")
    faulty = form({"target": "a", "source": "x"}, {"target": "", "source": "y"}, {"target": "b..c", "source": "z"})
    failing = form(
        {"target": "a", "source": "x", "required": "on"},
        {"target": "b", "source": "y", "type": "integer"},
        sample='{"y": "seven"}',
    )

    faults = shown(client, faulty).faults + shown(client, form({"target": "b..c", "source": "z"})).faults
    failures = shown(client, failing).failures

    assert [(one.place, one.row, one.field) for one in faults] == [
        ("Row 2, target", "rows-1", "target"),
        ("Row 1, target", "rows-0", "target"),
    ]
    assert [(one.place, one.row) for one in failures] == [("a ← x", "rows-0"), ("b ← y", "rows-1")]


def test_failure_of_one_item_belongs_to_the_row_of_all_items() -> None:
    row = {"target": "lines[].n", "source": "items[].n", "type": "integer"}

    (failure,) = shown(person("add_mapping"), form(row, sample='{"items": [{"n": 1}, {"n": "x"}]}')).failures

    assert (failure.place, failure.row, failure.field) == ("lines[1].n ← items[1].n", "rows-0", "source")


def test_empty_form_is_no_fault() -> None:
    preview = shown(person("add_mapping"), form())

    assert (preview.faults, preview.failures) == ([], [])
    assert preview.note.startswith("Write a row")


def test_paths_of_the_sample_are_suggested_even_where_rows_are_faulty() -> None:
    sample = '{"id": 1, "items": [{"sku": "a"}, {"sku": "b", "the price": 2}]}'

    preview = shown(person("add_mapping"), form({"target": "b..c", "source": "z"}, sample=sample))

    assert preview.faults
    assert preview.paths == ["id", "items", "items[]", "items[].sku", "items[].`the price`"]


@pytest.mark.parametrize(
    ("fields", "place"),
    [
        ({"expression": "id +", "sample": "{}"}, "Expression"),
        ({"expression": "$error('no')", "sample": "{}"}, "Expression"),
        ({"expression": "id", "sample": "{"}, "Sample"),
        ({"expression": "id", "sample": " " * 300_000 + "{}"}, "Sample"),
    ],
)
def test_what_is_wrong_is_said_where_it_is(fields: dict[str, str], place: str) -> None:
    preview = shown(person("add_mapping"), form(**fields))

    assert [found.place for found in preview.faults + preview.failures] == [place]


def test_hostile_samples_stay_text() -> None:
    answer = person("add_mapping").post(PREVIEW, form(expression="$", sample='{"a": "<script>x</script>"}'))

    assert b"&lt;script&gt;" in answer.content
    assert b"<script>" not in answer.content


def test_preview_is_a_post_for_those_who_may_change(mapping: Mapping) -> None:
    client = person("view_mapping", "add_mapping")

    assert client.get(PREVIEW).status_code == 405
    assert client.post(f"{PREVIEW}?mapping={mapping.pk}", form(expression="$")).status_code == 403
    assert client.post(f"{PREVIEW}?mapping=99999", form(expression="$")).status_code == 404


def test_samples_come_from_messages_for_those_who_may_see_payloads(mapping: Mapping) -> None:
    message = factories.MessageFactory(lane__route__mapping=mapping, body=b'{"id":7,"price":19.90}')
    addresses = [
        reverse("admin:messaging_message_samples"),
        reverse("admin:messaging_message_sample", args=[message.pk]),
    ]
    may, may_not = person("view_message", "view_payload"), Client()
    may_not.force_login(User.objects.create_superuser("root"))
    User.objects.filter(username="root").update(is_superuser=False)
    asked = {"mapping": str(mapping.pk)}

    listed, taken = (may.get(address, asked).content.decode() for address in addresses)

    assert str(message.correlation_id) in listed
    assert "&quot;price&quot;: 19.90" in taken
    assert [may_not.get(address, asked).status_code for address in addresses] == [403, 403]


def test_sample_of_a_reply_mapping_is_what_came_back(mapping: Mapping) -> None:
    message = factories.MessageFactory(lane__route__reply_mapping=mapping, succeeded=True)
    factories.AttemptFactory(message=message, response_body=b'{"invoice":1.10}')
    url = reverse("admin:messaging_message_sample", args=[message.pk])

    text = person("view_message", "view_payload").get(url, {"mapping": mapping.pk}).content.decode()

    assert "&quot;status_code&quot;: 201" in text
    assert "&quot;invoice&quot;: 1.10" in text


def test_message_that_holds_no_sample_says_so(mapping: Mapping) -> None:
    message = factories.MessageFactory(lane__route__mapping=mapping, body=b"{")
    url = reverse("admin:messaging_message_sample", args=[message.pk])

    text = person("view_message", "view_payload").get(url, {"mapping": mapping.pk}).content.decode()

    assert f"Nothing in {message} can be shown as JSON." in text
    assert Message.objects.count() == 1


def test_reply_mapping_offers_only_messages_that_were_answered(mapping: Mapping) -> None:
    lane = factories.LaneFactory(route__reply_mapping=mapping)
    waiting = factories.MessageFactory(lane=lane)
    refused = factories.AttemptFactory(message__lane=lane, message__failed=True, refused=True)
    answered = factories.AttemptFactory(message__lane=lane, message__succeeded=True)
    url = reverse("admin:messaging_message_samples")

    text = person("view_message", "view_payload").get(url, {"mapping": mapping.pk}).content.decode()

    offered = [str(message) in text for message in (waiting, refused.message, answered.message)]
    assert offered == [False, False, True]


@pytest.mark.parametrize(("rights", "asks"), [((), False), (("view_message", "view_payload"), True)])
def test_page_asks_for_samples_only_for_those_who_may_see_them(
    mapping: Mapping, rights: tuple[str, ...], asks: bool
) -> None:
    client = person("view_mapping", "change_mapping", "view_fieldrow", "change_fieldrow", *rights)

    text = client.get(reverse("admin:connectors_mapping_change", args=[mapping.pk])).content.decode()

    assert ("/samples/" in text) == asks
    assert ("offered to those who may see them" in text) != asks


def test_difference_to_the_version_in_force_stays_open(mapping: Mapping) -> None:
    """Whatever a person had to open would close again with every key that is pressed."""
    client = person("view_mapping", "change_mapping")
    data = form({"target": "number", "source": "id"}, sample='{"id": 7, "price": 1, "country": "Norway"}')

    text = client.post(f"{PREVIEW}?mapping={mapping.pk}", data).content.decode()

    assert "Different from the version in force" in text
    assert "<details" not in text


def test_restored_version_is_the_newest_again_with_rows_digits_and_history(mapping: Mapping) -> None:
    first = mapping.versions.get()
    mapping.rows.all().delete()
    Mapping.objects.update(expression="$")
    Mapping.objects.get().publish()
    client = person("view_mapping", "view_mappingversion", "change_mapping")
    page = f"/admin/connectors/mappingversion/{first.pk}/restore/"

    client.get(page)
    assert mapping.versions.count() == 2
    client.post(page, {"_form_submitted": "on", "reason": "it was better"})

    newest = mapping.versions.order_by("-number").first()
    assert newest is not None
    assert (newest.number, newest.definition) == (3, first.definition)
    assert Mapping.objects.get().expression == ""
    assert [row.default for row in mapping.rows.all()] == ["", "19.90", ""]
    assert (
        "it was better" in client.get(reverse("admin:connectors_mapping_history", args=[mapping.pk])).content.decode()
    )


def test_version_page_shows_what_changed_and_what_cannot_run_is_not_restored(mapping: Mapping) -> None:
    first = mapping.versions.get()
    mapping.rows.all().delete()
    Mapping.objects.update(expression="$")
    Mapping.objects.get().publish()
    LookupTable.objects.all().delete()
    client = person("view_mapping", "view_mappingversion", "change_mapping")

    text = client.get(reverse("admin:connectors_mappingversion_change", args=[first.pk])).content.decode()
    answer = client.post(
        f"/admin/connectors/mappingversion/{first.pk}/restore/", {"_form_submitted": "on", "reason": "x"}, follow=True
    )

    assert "platform-removed" in text
    assert "It cannot be restored" in answer.content.decode()
    assert mapping.versions.count() == 2


def test_version_shows_its_rows_as_people_write_them(mapping: Mapping) -> None:
    version = mapping.versions.get()
    client = person("view_mapping", "view_mappingversion")

    text = client.get(reverse("admin:connectors_mappingversion_change", args=[version.pk])).content.decode()

    assert "<tr><th>no</th><td>←\N{NO-BREAK SPACE}id</td><td></td></tr>" in text
    assert "<tr><th>price</th><td>←\N{NO-BREAK SPACE}price</td><td>decimal, default 19.90</td></tr>" in text
    assert "<tr><th>country</th><td>←\N{NO-BREAK SPACE}country</td><td>looked up in codes</td></tr>" in text


def test_restoring_needs_the_right_to_change(mapping: Mapping) -> None:
    version = mapping.versions.get()
    client = person("view_mapping", "view_mappingversion")

    answer = client.post(
        f"/admin/connectors/mappingversion/{version.pk}/restore/", {"_form_submitted": "on", "reason": "x"}
    )

    assert answer.status_code in (302, 403)
    assert mapping.versions.count() == 1
