"""Rate limits of applications: what passes, what is told, what a refusal costs."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from connectors.catalogue import catalogue
from connectors.models import Application
from messages import rates
from messages.models import Message, Rejection
from messages.problems import Problem
from tests.messages.conftest import KEY, configure_route

pytestmark = pytest.mark.django_db(transaction=True)


def limit_to(requests_per_minute: int | None) -> int:
    configure_route()
    shop = Application.objects.get(slug="shop")
    shop.requests_per_minute = requests_per_minute
    shop.save()
    return int(shop.pk)


def wait_until(application: int, seconds: float) -> None:
    """As if so many seconds had passed since the allowance was last touched."""
    row = Application.objects.get(pk=application)
    with connection.cursor() as cursor:
        cursor.execute(
            "UPDATE connectors_application SET spent_until = %s WHERE id = %s", [row.spent_until - seconds, row.pk]
        )
    rates.clear()


def push(key: str = KEY) -> Any:
    return Client().post("/webhooks/orders", "{}", "application/json", headers={"X-API-Key": key})


def test_what_is_left_is_told_and_then_refused() -> None:
    limit_to(3)

    answers = [push() for _ in range(5)]

    assert [answer.status_code for answer in answers] == [202, 202, 202, 429, 429]
    assert [answer["RateLimit"].partition(";t=")[0] for answer in answers] == [
        '"requests";r=2', '"requests";r=1', '"requests";r=0', '"requests";r=0', '"requests";r=0',
    ]  # fmt: skip
    assert {answer["RateLimit-Policy"] for answer in answers} == {'"requests";q=3;w=60'}
    next_one = [int(answer["RateLimit"].partition(";t=")[2]) for answer in answers[2:]]
    assert all(1 <= seconds <= 20 for seconds in next_one)  # where nothing is left: until there is one, not all
    refused = answers[-1]
    assert refused["Content-Type"] == "application/problem+json"
    assert refused.json()["type"] == "/problems/rate-limited"
    assert 1 <= int(refused["Retry-After"]) <= 20
    assert Message.objects.count() == 3


def test_whoever_is_refused_for_something_else_is_told_what_is_left() -> None:
    limit_to(3)

    answer = Client().post("/webhooks/orders", "{", "application/json", headers={"X-API-Key": KEY})

    assert (answer.status_code, answer["RateLimit"].partition(";t=")[0]) == (400, '"requests";r=2')
    assert answer["RateLimit-Policy"] == '"requests";q=3;w=60'


def test_allowance_comes_back_one_by_one() -> None:
    application = limit_to(3)
    for _ in range(3):
        push()

    wait_until(application, 21)
    one = [push().status_code for _ in range(2)]
    wait_until(application, 600)
    all_again = [push().status_code for _ in range(4)]

    assert one == [202, 429]
    assert all_again == [202, 202, 202, 429]


def test_clock_that_was_put_back_closes_nobody_out() -> None:
    application = limit_to(2)
    wait_until(application, -1e10)

    assert [push().status_code for _ in range(3)] == [202, 202, 429]


def test_without_a_limit_nothing_is_asked_or_told() -> None:
    application = limit_to(None)

    with CaptureQueriesContext(connection) as queries:
        assert rates.spend(application, None) == {}
    assert not queries.captured_queries
    assert "RateLimit" not in push()


def test_accepting_costs_one_statement_and_refusing_again_none() -> None:
    application = limit_to(1)

    with CaptureQueriesContext(connection) as taking:
        rates.spend(application, 1)
    with pytest.raises(Problem):
        rates.spend(application, 1)
    with CaptureQueriesContext(connection) as refusing, pytest.raises(Problem):
        rates.spend(application, 1)

    assert len([query for query in taking.captured_queries if "spent_until" in query["sql"]]) == 1
    assert not refusing.captured_queries


def test_who_cannot_prove_who_he_is_spends_nothing() -> None:
    limit_to(1)

    strangers = [push("wrong").status_code for _ in range(3)]

    assert (strangers, push().status_code) == ([401, 401, 401], 202)


def test_flood_leaves_one_rejection() -> None:
    limit_to(1)

    for _ in range(10):
        push()

    assert [row.reason for row in Rejection.objects.all()] == ["rate-limited"]


def test_many_at_once_get_no_more_than_the_limit() -> None:
    application = limit_to(2)

    def take(_: int) -> bool:
        try:
            rates.spend(application, 2)
        except Problem:
            return False
        finally:
            connection.close()
        return True

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(take, range(40))) == 2


def test_spending_is_no_change_of_the_configuration() -> None:
    limit_to(5)
    plan = catalogue.by_slug("orders")

    push()

    assert catalogue.by_slug("orders") is plan
