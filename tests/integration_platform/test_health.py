from datetime import timedelta
from typing import Any

import pytest
from django.contrib.sessions.backends.db import SessionStore
from django.db import OperationalError
from django.db.migrations.recorder import MigrationRecorder
from django.test import Client
from django.utils import timezone

from connectors.catalogue import RoutePlan
from integration_platform import health
from messages import problems
from messages.database import Seldom, clock_reading
from messages.models import Lane, Worker
from tests.messages.conftest import configure_route, push

pytestmark = pytest.mark.django_db


def seen(seconds_ago: int) -> None:
    moment = timezone.now() - timedelta(seconds=seconds_ago)
    Worker.objects.create(name="host:1", started_at=moment, seen_at=moment)


@pytest.fixture
def plan() -> RoutePlan:
    return configure_route(ordering_key="lane")


def test_live_answers() -> None:
    assert Client().get("/health/live").json() == {"status": "ok"}


def test_ready_with_a_worker_seen() -> None:
    seen(seconds_ago=5)

    assert Client().get("/health/ready").status_code == 200


def test_not_ready_names_what_is_missing() -> None:
    seen(seconds_ago=120)

    answer = Client().get("/health/ready")

    assert answer.status_code == 503
    assert answer["Content-Type"] == "application/problem+json"
    assert answer.json()["missing"] == ["no worker has been seen in the last minute"]


def test_not_ready_before_the_last_migration(monkeypatch: pytest.MonkeyPatch) -> None:
    seen(seconds_ago=5)
    monkeypatch.setattr(health, "_migrated", False)
    MigrationRecorder.Migration.objects.filter(app="messaging").latest("pk").delete()

    assert Client().get("/health/ready").json()["missing"] == ["migrations have not been applied"]


def test_metrics_are_prometheus_text() -> None:
    seen(seconds_ago=5)

    lines = Client().get("/metrics").content.decode().splitlines()

    assert "platform_workers 1" in lines
    assert "# TYPE platform_lanes_held gauge" in lines


def test_metrics_count_lanes_that_nobody_takes_and_those_that_end_their_workers(plan: RoutePlan) -> None:
    for key, due_seconds_ago, strikes in (("A", 90, 0), ("B", 300, 3), ("C", 10, 2), ("D", 10, 1)):
        due_at = clock_reading() - timedelta(seconds=due_seconds_ago)
        Lane.objects.filter(pk=push(plan, key).message.lane_id).update(due_at=due_at, strikes=strikes)

    lines = Client().get("/metrics").content.decode().splitlines()

    assert "platform_lanes_overdue 2" in lines
    assert "platform_lanes_suspect 2" in lines
    waiting = next(float(line.split()[1]) for line in lines if line.startswith("platform_oldest_due_seconds "))
    assert 300 <= waiting < 400


@pytest.mark.parametrize(
    ("address", "authorization", "status"),
    [
        ("127.0.0.1", "", 200),  # an allowed network
        ("203.0.113.9", "", 401),
        ("203.0.113.9", "Bearer the-token", 200),
        ("203.0.113.9", "Bearer another", 401),
        ("203.0.113.9", "Basic the-token", 401),
    ],
)
def test_metrics_are_guarded(settings: Any, address: str, authorization: str, status: int) -> None:
    settings.METRICS_TOKEN = "the-token"

    answer = Client().get("/metrics", REMOTE_ADDR=address, headers={"Authorization": authorization})

    assert answer.status_code == status


def test_empty_token_opens_nothing() -> None:
    answer = Client().get("/metrics", REMOTE_ADDR="203.0.113.9", headers={"Authorization": "Bearer "})

    assert answer.status_code == 401


@pytest.mark.parametrize("path", ["/health/live/", "/health/ready/", "/openapi.json/"])
def test_slash_at_the_end_is_not_redirected(path: str) -> None:
    assert Client().head(path).status_code in (200, 503)


@pytest.mark.parametrize("path", ["/health/live", "/health/ready", "/metrics"])
def test_only_safe_methods(path: str) -> None:
    assert Client().post(path).status_code == 405


@pytest.mark.parametrize("path", ["/health/live", "/health/ready", "/metrics"])
def test_names_that_are_not_listed_are_refused(path: str) -> None:
    assert Client().get(path, headers={"Host": "192.0.2.1:8000"}).status_code == 400


def away(*_: object) -> None:
    raise OperationalError("the connection broke\nIs the server running?")


def test_metrics_without_the_database(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(health, "_samples", away)

    answer = Client(raise_request_exception=False).get("/metrics")

    assert (answer.status_code, answer["Content-Type"], answer["Retry-After"]) == (503, "application/problem+json", "5")
    assert "broke" not in answer.content.decode()


def test_admin_without_the_database_is_a_plain_page(
    monkeypatch: pytest.MonkeyPatch, admin_client: Client, caplog: pytest.LogCaptureFixture
) -> None:
    """Whoever asks first, here for the session; and a line now and then, not a traceback for each."""
    monkeypatch.setattr(SessionStore, "load", away)
    monkeypatch.setattr(problems, "_complaint", Seldom())
    admin_client.raise_request_exception = False

    answers = [admin_client.get("/admin/") for _ in range(3)]

    assert [answer.status_code for answer in answers] == [503, 503, 503]
    assert answers[0]["Content-Type"].startswith("text/html")
    assert "Temporarily unavailable" in answers[0].content.decode()
    said = [record.getMessage() for record in caplog.records if record.name == "messages.problems"]
    assert said == ["The database cannot be reached; answering 503 (OperationalError: the connection broke)."]
