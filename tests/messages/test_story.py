"""A message's page: how it stands, what happened to it and when, what came in and what went out."""

import json
import re
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import Permission
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from connectors import audit
from connectors.admin.base import page_of
from messages.admin import curl, sides, timeline
from messages.admin.sides import Body
from messages.choices import Hold, OutcomeKind, Status
from messages.models import Message, Result
from tests import factories
from tests.plans import plan_of

pytestmark = pytest.mark.django_db


@pytest.fixture
def agent() -> Client:
    """Not a superuser, whose permissions cost no queries."""
    user = factories.UserFactory(is_staff=True)
    codes = ("view_message", "view_payload", "operate_message", "view_attempt", "view_lane", "view_route")
    user.user_permissions.set(Permission.objects.filter(codename__in=codes))
    client = Client()
    client.force_login(user)
    return client


def shown(client: Client, message: Message, **headers: str) -> str:
    return client.get(page_of(message), headers=headers).content.decode()


def told(client: Client, message: Message) -> list[str]:
    """The titles of its timeline, without markup."""
    titles = [str(entry["title"]) for entry in client.get(page_of(message)).context["timeline"]]
    return [" ".join(re.sub("<[^>]*>", " ", title).split()) for title in titles]


# --- the timeline ----------------------------------------------------------------------------------------------------


def test_timeline_goes_from_receipt_over_each_attempt_to_the_end(agent: Client) -> None:
    received = timezone.now() - timedelta(minutes=5)
    version = factories.MappingVersionFactory()
    message = factories.MessageFactory(
        status=Status.SUCCEEDED,
        attempts=2,
        received_at=received,
        completed_at=received + timedelta(seconds=91),
        mapping_version=version,
    )
    factories.AttemptFactory(
        message=message,
        outcome=OutcomeKind.FAILED,
        status_code=503,
        detail="The destination answered 503.",
        response_body=b"maintenance until ten",
        started_at=received + timedelta(seconds=2),
        duration_ms=500,
    )
    factories.AttemptFactory(message=message, number=2, started_at=received + timedelta(seconds=62.5))

    entries = agent.get(page_of(message)).context["timeline"]

    assert told(agent, message) == [
        "Received",
        f"Mapped with {version}",
        "Attempt 1 Failed in passing HTTP 503",
        "Attempt 2 Succeeded HTTP 201",
        "succeeded after 1 min 31 s",
    ]
    assert [entry["after"] for entry in entries] == ["", "2.0 s", "", "1 min 0 s", "28.5 s"]
    assert [entry.get("took") for entry in entries] == [None, None, "500 ms", "12 ms", None]
    assert entries[2]["excerpt"] == "maintenance until ten"


def test_reply_is_quoted_up_to_a_bound(agent: Client) -> None:
    attempt = factories.AttemptFactory(response_body=b"x" * 5_000)

    (quoted,) = [
        entry["excerpt"] for entry in agent.get(page_of(attempt.message)).context["timeline"] if "took" in entry
    ]

    assert quoted == "x" * timeline.EXCERPT_BYTES + "…"


def test_attempts_that_are_not_shown_are_counted(agent: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(timeline, "SHOWN_ATTEMPTS", 2)
    message = factories.MessageFactory(retrying=True)
    Message.objects.update(attempts=5)
    for number in range(1, 6):
        factories.AttemptFactory(message=message, number=number)

    titles = told(agent, message)

    assert titles[1] == "3 earlier attempts are not shown"
    assert [title.split()[1] for title in titles if title.startswith("Attempt")] == ["4", "5"]


def test_what_people_did_stands_between_the_attempts(agent: Client) -> None:
    received = timezone.now() - timedelta(minutes=5)
    ended = received + timedelta(seconds=100)
    message = factories.MessageFactory(status=Status.SUCCEEDED, attempts=2, received_at=received, completed_at=ended)
    for number, seconds in ((1, 1), (2, 99)):
        started = received + timedelta(seconds=seconds)
        factories.AttemptFactory(message=message, number=number, started_at=started)
    ada = factories.UserFactory(first_name="Ada", last_name="<Lovelace>")
    for seconds, text in ((60, "Retried. It kept its place. <b>ERP is back</b>"), (120, timeline.DOWNLOADED)):
        audit.record(message, by=ada, text=text)
        LogEntry.objects.filter(pk=LogEntry.objects.latest("pk").pk).update(
            action_time=received + timedelta(seconds=seconds)
        )
    audit.record(message, by=factories.UserFactory(username="bo"), text="Edited and resubmitted as 7f. Wrong total.")
    audit.record(factories.MessageFactory(), by=ada, text="Cancelled. Another one.")

    titles = told(agent, message)
    page = shown(agent, message)

    assert [title.split(" after ")[0] for title in titles[2:]] == [
        *("Attempt 1 Succeeded HTTP 201", "Ada &lt;Lovelace&gt;", "Attempt 2 Succeeded HTTP 201", "succeeded", "bo")
    ]
    assert "Retried. It kept its place. &lt;b&gt;ERP is back&lt;/b&gt;" in page
    assert page.index("Wrong total.") > page.index("ERP is back")
    assert timeline.DOWNLOADED not in page
    assert "Another one." not in page


def test_message_whose_worker_died_claims_no_mapping(agent: Client) -> None:
    message = factories.MessageFactory(
        status=Status.DEAD, attempts=1, completed_at=timezone.now(), lane__route__mapping=factories.MappingFactory()
    )
    factories.AttemptFactory(message=message, outcome=OutcomeKind.UNKNOWN, method="", detail="Its worker ended.")

    assert [title.split(" ")[0] for title in told(agent, message)] == ["Received", "Attempt", "dead"]
    assert "no mapping that is known" in shown(agent, message)


@pytest.mark.skipif(connection.vendor != "sqlite", reason="how SQLite goes about it stands for both")
def test_what_people_did_with_a_message_is_found_by_index() -> None:
    message = factories.MessageFactory()

    with CaptureQueriesContext(connection) as asked:
        timeline.verbs_of(message)

    assert "log_entry_by_object (object_id=? AND content_type_id=?)" in plan_of(asked.captured_queries[-1]["sql"])


@pytest.mark.parametrize(
    ("state", "lane", "said"),
    [
        ({}, {}, "It is the next of its lane ."),
        ({"retrying": True}, {}, "The next attempt is in"),
        ({}, {"hold": Hold.PAUSED}, "Somebody paused its lane ."),
        ({}, {"hold": Hold.BLOCKED}, "The head of its lane is dead, and blocks what waits behind it."),
        ({}, {"done_position": -2}, "2 messages before it in its lane ."),
    ],
)
def test_message_that_waits_says_why(agent: Client, state: dict[str, Any], lane: dict[str, Any], said: str) -> None:
    message = factories.MessageFactory(**state)
    type(message.lane).objects.filter(pk=message.lane_id).update(**lane)

    assert told(agent, message)[-1].startswith(said)


# --- what went wrong -------------------------------------------------------------------------------------------------


def test_every_row_that_failed_is_shown(agent: Client) -> None:
    message = factories.MessageFactory(status=Status.FAILED, attempts=1, completed_at=timezone.now())
    errors = [{"target": f"lines[{n}].total", "source": f"items[{n}].price", "message": f"No {n}."} for n in range(7)]
    error = {"type": "/problems/mapping-failed", "title": "The mapping failed", "detail": "No 0. (and 6 more)"}
    factories.ResultFactory(message=message, status_code=None, body=None, error={**error, "errors": errors})
    factories.AttemptFactory(message=message, unsent=True, detail="No 0. (and 6 more)")

    page = shown(agent, message)

    for one in errors:
        assert f"<td><code>{one['target']}</code></td><td><code>{one['source']}</code></td><td>{one['message']}" in page
    assert "The mapping failed: 7 places." in page


def test_success_says_nothing_of_what_went_wrong(agent: Client) -> None:
    assert "platform-wrong" not in shown(agent, factories.MessageFactory(succeeded=True))


@pytest.mark.parametrize(
    ("state", "attempts", "words"),
    [
        ({}, 0, "no mapping yet: its route has none"),
        ({"route__mapping": True}, 0, "not mapped yet"),
        ({"route__mapping": True, "cancelled": True}, 0, "it was never mapped"),
        ({"retrying": True}, 1, "no mapping"),
    ],
)
def test_message_that_was_not_mapped_yet_is_told_from_one_without_mapping(
    agent: Client, state: dict[str, Any], attempts: int, words: str
) -> None:
    has_mapping = state.pop("route__mapping", False)
    message = factories.MessageFactory(**state)
    type(message.route).objects.update(mapping=factories.MappingFactory() if has_mapping else None)

    assert re.search(rf">\s*{words}\s*<", shown(agent, message))
    assert Message.objects.get().attempts == attempts


def test_what_could_not_be_sent_is_not_shown_as_sent(agent: Client) -> None:
    attempt = factories.AttemptFactory(outcome=OutcomeKind.NOT_SENT, status_code=None, response_body=None)

    for page in (shown(agent, attempt.message), agent.get(page_of(attempt)).content.decode()):
        assert "To be sent" in page
        assert not re.search(r"Payload as sent|Sent:", page)


# --- where one goes from here ----------------------------------------------------------------------------------------


def test_page_leads_to_its_neighbours_in_lane_and_list(agent: Client) -> None:
    lane = factories.LaneFactory()
    first, other = factories.MessageFactory(lane=lane), factories.MessageFactory()
    middle, last = factories.MessageFactory.create_batch(2, lane=lane)

    neighbours = dict(agent.get(page_of(middle)).context["standing"]["neighbours"])

    assert neighbours == {
        "Before it in its lane": page_of(first),
        "Behind it in its lane": page_of(last),
        "Older": page_of(other),
        "Newer": page_of(last),
    }
    assert "Older" not in dict(agent.get(page_of(first)).context["standing"]["neighbours"])


def test_correlation_id_can_be_copied(agent: Client) -> None:
    message = factories.MessageFactory()

    assert f'data-copy="{message}"' in shown(agent, message)


# --- while somebody looks --------------------------------------------------------------------------------------------


def test_open_message_renews_itself_and_a_final_one_does_not(agent: Client) -> None:
    waiting, done = factories.MessageFactory(), factories.MessageFactory(succeeded=True)

    assert f'hx-get="{page_of(waiting)}?attempts=0"' in shown(agent, waiting)
    assert "data-renews" not in shown(agent, done)


@pytest.mark.parametrize(
    ("state", "known", "is_renewed"),
    [({}, "0", False), ({"retrying": True}, "0", True), ({"succeeded": True}, "1", True)],
)
def test_page_is_loaded_anew_when_something_came_of_it(
    agent: Client, state: dict[str, Any], known: str, is_renewed: bool
) -> None:
    message = factories.MessageFactory(body=b'{"canary":1}', **state)

    answer = agent.get(page_of(message), {"attempts": known}, headers={"HX-Request": "true"})

    assert ("HX-Refresh" in answer.headers) == is_renewed
    assert "canary" not in answer.content.decode()  # payloads do not change


# --- bodies ----------------------------------------------------------------------------------------------------------


def test_received_and_sent_stand_side_by_side_with_their_differences(agent: Client) -> None:
    message = factories.MessageFactory(succeeded=True, body=b'{"id":4711,"price":1.10}')
    factories.AttemptFactory(message=message, request_body=b'{"id":4711,"price":1.1,"currency":"EUR"}')

    page = shown(agent, message)

    marks = re.findall(r'<span class="platform-(removed|added)">(.*?)</span>', page, re.DOTALL)
    assert [(kind, text.strip()) for kind, text in marks if "&quot;" in text] == [
        ("removed", "&quot;price&quot;: 1.10"),
        ("added", "&quot;price&quot;: 1.1,\n  &quot;currency&quot;: &quot;EUR&quot;"),
    ]


@pytest.mark.parametrize(
    ("left", "right"),
    [
        (Body(b"\xff\xfe", "application/octet-stream"), Body(b'{"a":1}', "application/json")),
        (Body(b'{"a":1}', "application/json"), Body(b"[" + b"1," * sides.COMPARED_BYTES + b"1]", "application/json")),
    ],
)
def test_what_cannot_be_compared_is_shown_as_it_is(left: Body, right: Body) -> None:
    both = sides.side_by_side(left, right)

    assert not both.compared
    assert both.left
    assert both.right


def test_xml_and_json_are_compared_by_their_values() -> None:
    both = sides.side_by_side(
        Body(b"<order><id>4711</id></order>", "application/xml"), Body(b'{"order":{"id":"4711"}}', "application/json")
    )

    assert both.compared
    assert "platform-added" not in both.right


def test_curl_repeats_the_call_without_its_secrets(agent: Client) -> None:
    sent = [["Content-Type", "application/json"], ["X-API-Key", "hunter2"], ["X-Note", "it's"]]
    attempt = factories.AttemptFactory(request_headers=sent, request_body=b'{"no":"it\'s"}')

    command = agent.get(page_of(attempt.message)).context["bodies"]["curl"]

    assert command.split(" \\\n  ") == [
        "curl -X POST http://127.0.0.1:9/orders",
        "-H 'Content-Type: application/json'",
        "-H 'X-API-Key: [redacted]'",
        "-H 'X-Note: it'\"'\"'s'",
        '--data-binary \'{"no":"it\'"\'"\'s"}\'',
    ]


@pytest.mark.parametrize("body", [b"\xff", b"@/etc/passwd", b"a\0b", b"x" * (curl.MOST_BYTES + 1)])
def test_body_that_fits_no_command_line_is_taken_from_a_file(body: bytes) -> None:
    assert curl.as_curl("POST", "http://x/", [], body).endswith("--data-binary @body.bin")


# --- what it costs ---------------------------------------------------------------------------------------------------


def test_page_asks_at_most_ten_queries(agent: Client) -> None:
    before = factories.MessageFactory(failed=True)
    message = factories.MessageFactory(
        retrying=True,
        lane=factories.LaneFactory(),
        resubmission_of=before,
        mapping_version=factories.MappingVersionFactory(),
        reply_mapping_version=factories.MappingVersionFactory(),
    )
    factories.MessageFactory(lane=message.lane, resubmission_of=message)
    factories.SearchKeyFactory(message=message)
    factories.AttemptFactory.create_batch(5, message=message)
    shown(agent, message)  # what a process learns once

    with CaptureQueriesContext(connection) as asked:
        shown(agent, message)

    assert len(asked) <= 10, "\n".join(query["sql"][:200] for query in asked)


@pytest.mark.parametrize("body", [json.dumps({"items": [{"a": '"<&>'}] * 250_000}).encode(), b'"' * 5_000_000])
def test_five_megabytes_are_at_most_half_a_megabyte_of_html(agent: Client, body: bytes) -> None:
    message = factories.MessageFactory(status=Status.SUCCEEDED, attempts=1, completed_at=timezone.now(), body=body)
    Result.objects.create(message=message, status_code=200, body=body, created_at=timezone.now())
    factories.AttemptFactory(message=message, request_body=body + b" ", response_body=body)

    page = shown(agent, message)

    assert len(body) >= 4_000_000
    assert len(page.encode()) <= 512 * 1024
