"""The verbs where support staff find them: on a message, in the list, on a bulk action's page."""

import re
from typing import Any

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import Permission
from django.test import Client

from connectors.admin.base import page_of
from messages import bulk
from messages.admin.bulk import TYPED_ABOVE
from messages.choices import BulkState, BulkVerb, OutcomeKind, Status
from messages.models import Bulk, Message
from tests import factories
from tests.messages.conftest import claim, configure_route, finish, push

pytestmark = pytest.mark.django_db
messages_page = "/admin/messaging/message/"


def client_with(*permissions: str) -> Client:
    agent = factories.UserFactory(is_staff=True)
    agent.user_permissions.set(Permission.objects.filter(codename__in=permissions))
    client = Client()
    client.force_login(agent)
    return client


@pytest.fixture
def agent() -> Client:
    return client_with("view_message", "view_bulk", "view_payload", "operate_message")


def post_verb(client: Client, row: Any, verb: str, **values: str) -> Any:
    name = "message" if isinstance(row, Message) else "bulk"
    address = f"/admin/messaging/{name}/{row.pk}/{verb}/"
    return client.post(address, {"_form_submitted": "on", "reason": "by hand", **values})


@pytest.mark.parametrize(
    ("state", "verbs"),
    [
        ({}, {"cancel", "edit"}),
        ({"processing": True}, {"edit"}),
        ({"retrying": True}, {"cancel", "edit"}),
        ({"succeeded": True}, {"edit"}),
        ({"failed": True}, {"retry", "edit"}),
        ({"dead": True}, {"retry", "cancel", "edit"}),
        ({"cancelled": True}, {"retry", "edit"}),
        ({"purged": True}, set()),
    ],
)
def test_page_offers_what_can_be_done(agent: Client, state: dict[str, Any], verbs: set[str]) -> None:
    message = factories.MessageFactory(**state)
    offered = rf"message/{message.pk}/(retry|cancel|edit)/"

    assert set(re.findall(offered, agent.get(page_of(message)).content.decode())) == verbs
    looker = client_with("view_message", "view_payload")
    assert not re.findall(offered, looker.get(page_of(message)).content.decode())


def test_retry_and_cancel_do_it_with_a_reason(agent: Client) -> None:
    failed, waiting = factories.MessageFactory(failed=True), factories.MessageFactory()

    post_verb(agent, failed, "retry")
    post_verb(agent, waiting, "cancel")

    assert Message.objects.get(pk=failed.pk).status == Status.QUEUED
    assert Message.objects.get(pk=waiting.pk).status == Status.CANCELLED
    assert all("by hand" in entry.get_change_message() for entry in LogEntry.objects.all())


@pytest.mark.parametrize("verb", ["retry", "cancel"])
def test_verbs_need_the_permission_and_a_post(agent: Client, verb: str) -> None:
    message = factories.MessageFactory(dead=True)

    assert post_verb(client_with("view_message"), message, verb).status_code == 403
    agent.get(f"/admin/messaging/message/{message.pk}/{verb}/")
    post_verb(agent, message, verb, reason="")

    assert Message.objects.get().status == Status.DEAD


# --- edit and resubmit -----------------------------------------------------------------------------------------------


@pytest.fixture
def dead() -> Message:
    """The dead head of a lane; 1.10 must not become 1.1."""
    plan = configure_route(ordering_key="lane")
    message = push(plan).message
    Message.objects.update(body=b'{"lane":"A","price":1.10}')
    finish(plan, claim(plan)[0], OutcomeKind.REFUSED)
    return message


def editor(message: Message) -> str:
    return f"/admin/messaging/message/{message.pk}/resubmit/"


def resubmitted(client: Client, message: Message, payload: str, reason: str = "r") -> Any:
    """Posts the editor, and once more what it comes back with."""
    compared = client.post(editor(message), {"payload": payload, "reason": reason}).context["form"]["compared"].value()
    return client.post(editor(message), {"payload": payload, "reason": reason, "compared": compared})


def test_editor_shows_the_payload_and_makes_a_linked_message(agent: Client, dead: Message) -> None:
    text = agent.get(editor(dead)).context["form"].initial["payload"]
    assert text == '{\n  "lane": "A",\n  "price": 1.10\n}'

    answer = resubmitted(agent, dead, text.replace("1.10", "2.20"), "typing error")

    made = Message.objects.get(resubmission_of=dead)
    assert answer["Location"] == page_of(made)
    assert (bytes(made.body).count(b"2.20"), made.status) == (1, Status.QUEUED)
    page = agent.get(page_of(made)).content.decode()
    assert '<code class="platform-removed">1.10</code>' in page
    assert '<code class="platform-added">2.20</code>' in page
    assert str(made) in agent.get(page_of(dead)).content.decode()


def test_what_was_changed_is_shown_before_it_is_sent(agent: Client, dead: Message) -> None:
    answer = agent.post(editor(dead), {"payload": '{"lane":"A","price":2.20}', "reason": "r"})

    assert [(change["path"], change["old"], change["new"]) for change in answer.context["changes"]] == [
        ("price", "1.10", "2.20")
    ]
    assert Message.objects.count() == 1


def test_what_was_changed_once_more_is_shown_once_more(agent: Client, dead: Message) -> None:
    shown = agent.post(editor(dead), {"payload": '{"lane":"A","price":2.20}', "reason": "r"})
    compared = shown.context["form"]["compared"].value()

    answer = agent.post(editor(dead), {"payload": '{"lane":"A","price":3}', "reason": "r", "compared": compared})

    assert [change["new"] for change in answer.context["changes"]] == ["3"]
    assert Message.objects.count() == 1


def test_difference_is_for_those_who_may_see_payloads(agent: Client, dead: Message) -> None:
    resubmitted(agent, dead, '{"lane":"A","price":2.20}')
    made = Message.objects.get(resubmission_of=dead)

    page = client_with("view_message").get(page_of(made)).content.decode()

    assert str(dead) in page
    assert "2.20" not in page


def test_payload_that_the_route_refuses_stays_in_the_editor(agent: Client, dead: Message) -> None:
    answer = resubmitted(agent, dead, '{"lane":')

    assert answer.status_code == 200
    assert answer.context["form"].errors["payload"]
    assert "{&quot;lane&quot;:" in answer.content.decode()
    assert Message.objects.count() == 1


@pytest.mark.parametrize("permission", ["operate_message", "view_payload"])
def test_editor_needs_both_permissions(dead: Message, permission: str) -> None:
    assert client_with("view_message", permission).get(editor(dead)).status_code == 403


@pytest.mark.parametrize("body", [b"\xff\xfe", b" " * (1024 * 1024 + 1)])
def test_payload_that_cannot_be_edited_is_not_opened(agent: Client, dead: Message, body: bytes) -> None:
    Message.objects.update(body=body)

    answer = agent.get(editor(dead))

    assert answer["Location"] == page_of(dead)


def test_editor_of_a_message_that_is_not_there_is_not_found(agent: Client) -> None:
    assert agent.get("/admin/messaging/message/999/resubmit/").status_code == 404


# --- many at once ----------------------------------------------------------------------------------------------------


def select(client: Client, action: str, query: str = "", **values: Any) -> Any:
    return client.post(messages_page + query, {"action": action, "index": "0", **values})


def test_selected_messages_are_frozen_confirmed_and_worked(agent: Client) -> None:
    failed = [factories.MessageFactory(failed=True) for _ in range(3)]

    answer = select(agent, "retry_selected", _selected_action=[message.pk for message in failed[:2]])

    made = Bulk.objects.get()
    assert answer["Location"] == page_of(made)
    assert (made.total, made.state, made.selection) == (2, BulkState.PREPARED, "chosen one by one")
    page = agent.get(page_of(made)).content.decode()
    assert "2 messages" in page
    assert 'hx-trigger="every 2s"' not in page
    post_verb(agent, made, "start")
    assert 'hx-trigger="every 2s"' in agent.get(page_of(made)).content.decode()
    assert "HX-Refresh" not in agent.get(page_of(made), headers={"HX-Request": "true"}).headers
    bulk.work(budget_seconds=10)
    assert agent.get(page_of(made), headers={"HX-Request": "true"})["HX-Refresh"] == "true"
    assert "2 done, 0 not possible, 0 left of 2. Finished." in agent.get(page_of(made)).content.decode()
    assert Message.objects.filter(status=Status.QUEUED).count() == 2


def test_whole_filter_is_selected_and_kept_in_words(agent: Client) -> None:
    for _ in range(3):
        factories.MessageFactory(failed=True)
    waiting = factories.MessageFactory()

    select(
        agent, "retry_selected", "?status__exact=failed", select_across="1", _selected_action=[waiting.pk]
    )  # the page's own choice does not count when everything is selected

    made = Bulk.objects.get()
    assert (made.total, made.selection) == (3, "status: failed")


def test_actions_are_for_those_who_may(agent: Client) -> None:
    message = factories.MessageFactory(failed=True)

    select(client_with("view_message"), "retry_selected", _selected_action=[message.pk])

    assert not Bulk.objects.exists()
    made = factories.BulkFactory()
    assert post_verb(client_with("view_bulk"), made, "start").status_code == 403
    made.refresh_from_db()
    assert made.state == BulkState.PREPARED


@pytest.mark.parametrize(("typed", "state"), [("", "prepared"), ("7", "prepared"), ("1001", "running")])
def test_large_number_has_to_be_typed(agent: Client, typed: str, state: str) -> None:
    made = factories.BulkFactory(total=TYPED_ABOVE + 1)

    post_verb(agent, made, "start", typed=typed)

    made.refresh_from_db()
    assert made.state == state


def test_refused_messages_are_named_with_the_reason(agent: Client) -> None:
    item = factories.BulkItemFactory(refused=True, bulk=factories.BulkFactory(finished=True, done=0, refused=1))

    page = agent.get(page_of(item.bulk)).content.decode()

    assert str(item.message) in page
    assert "in a worker&#x27;s hand" in page


def test_stopping_keeps_what_is_done(agent: Client) -> None:
    made = factories.BulkFactory(running=True, verb=BulkVerb.CANCEL)

    post_verb(agent, made, "stop")

    made.refresh_from_db()
    assert made.state == BulkState.STOPPED
    assert "by hand" in LogEntry.objects.get().get_change_message()


def test_bulk_action_that_is_not_there_is_not_found(agent: Client) -> None:
    for pk in ("999", "nonsense"):
        for verb in ("start", "stop"):
            answer = agent.post(f"/admin/messaging/bulk/{pk}/{verb}/", {"_form_submitted": "on", "reason": "r"})
            assert answer.status_code == 404


def test_dialog_repeats_what_will_happen_to_how_many(agent: Client) -> None:
    made = factories.BulkFactory(total=1234, selection="status: failed", verb=BulkVerb.CANCEL)

    dialog = agent.get(f"/admin/messaging/bulk/{made.pk}/start/").content.decode()

    assert "Cancel 1,234 messages" in dialog
    assert "status: failed" in dialog
    assert "platform-for-good" in dialog  # what is cancelled in bulk is not to be started lightly


def test_finished_bulk_action_leads_to_its_messages(agent: Client, admin_client: Client) -> None:
    item = factories.BulkItemFactory(done=True, note="It kept its place.", bulk=factories.BulkFactory(finished=True))

    page = agent.get(page_of(item.bulk)).content.decode()

    assert page_of(item.message) in page
    assert "It kept its place." in page
    every = f"/admin/messaging/bulkitem/?bulk={item.bulk_id}"
    assert every in page
    listed = admin_client.get(every)
    assert (listed.status_code, str(item.message) in listed.content.decode()) == (200, True)
