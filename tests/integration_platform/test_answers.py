"""Every answer, also those that Django gives by itself."""

import logging

import pytest
from django.http import HttpResponse
from django.test import Client, RequestFactory, override_settings

from integration_platform.answers import AnswersMiddleware

pytestmark = pytest.mark.django_db


@pytest.mark.parametrize(
    ("path", "host", "status", "slug"),
    [
        ("/nonexistent", "localhost", 404, "not-found"),
        ("/health/live", "evil.example.com", 400, "malformed-request"),
    ],
)
@pytest.mark.parametrize("accept", ["text/html", "application/json"])
def test_developers_settings_show_sources_no_page_of_django(
    path: str, host: str, status: int, slug: str, accept: str
) -> None:
    with override_settings(DEBUG=True):
        answer = Client().get(path, headers={"host": host, "accept": accept})

    assert answer.status_code == status
    assert answer["Content-Type"] == "application/problem+json"
    assert answer.json()["type"] == f"/problems/{slug}"
    assert b"Traceback" not in answer.content


def test_failure_with_developers_settings_is_a_problem_document(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("integration_platform.health._missing", lambda: 1 / 0)
    caplog.set_level(logging.CRITICAL)

    with override_settings(DEBUG=True):
        answer = Client(raise_request_exception=False).get("/health/ready")

    assert (answer.status_code, answer.json()["type"]) == (500, "/problems/internal-error")


def test_what_a_destination_said_is_left_alone() -> None:
    said = HttpResponse("no", status=409, content_type="text/plain", headers={"X-Correlation-ID": "1"})

    with override_settings(DEBUG=True):
        assert AnswersMiddleware(lambda request: said)(RequestFactory().get("/")) is said


def test_answer_without_a_body_has_no_type() -> None:
    answer = Client().options("/health/ready")

    assert answer.status_code == 204
    assert "Content-Type" not in answer.headers
    assert answer["Allow"]
