from datetime import timedelta
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from messages.models import Worker

pytestmark = pytest.mark.django_db


def seen(seconds_ago: int) -> None:
    moment = timezone.now() - timedelta(seconds=seconds_ago)
    Worker.objects.create(name="host:1", started_at=moment, seen_at=moment)


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


def test_metrics_are_prometheus_text() -> None:
    seen(seconds_ago=5)

    lines = Client().get("/metrics").content.decode().splitlines()

    assert "platform_workers 1" in lines
    assert "# TYPE platform_lanes_held gauge" in lines


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


@pytest.mark.parametrize("path", ["/health/live", "/health/ready", "/metrics"])
def test_only_safe_methods(path: str) -> None:
    assert Client().post(path).status_code == 405
