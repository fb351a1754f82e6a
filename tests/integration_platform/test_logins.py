"""Guessing passwords takes long, for everybody else nothing changes."""

import ipaddress
import threading
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import connection, transaction
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from integration_platform import logins
from integration_platform.login import in_words
from integration_platform.models import LoginTally
from tests.messages.test_lock_order import meet, wait_until_somebody_waits

pytestmark = pytest.mark.django_db

WRONG = "wrong"
ADDRESS, ELSEWHERE = "192.0.2.7", "192.0.2.8"
Kind = LoginTally.Kind


@pytest.fixture
def ada() -> User:
    return User.objects.create_user("ada", password="right", is_staff=True)


def log_in(username: str = "ada", password: str = WRONG, *, address: str = ADDRESS, **headers: str) -> Any:
    form = {"username": username, "password": password}
    return Client().post(reverse("admin:login"), form, REMOTE_ADDR=address, headers=headers)


def later(seconds: float) -> None:
    """The clock goes on, as far as the tallies can tell."""
    for tally in LoginTally.objects.all():
        tally.seen_at -= timedelta(seconds=seconds)
        tally.blocked_until = tally.blocked_until and tally.blocked_until - timedelta(seconds=seconds)
        tally.save()


def test_right_password_logs_in_at_once(ada: User) -> None:
    """What a password manager or a script does: fill in the form, send it."""
    client = Client(enforce_csrf_checks=True)
    page = client.get(reverse("admin:login"))
    form = {"username": "ada", "password": "right", "csrfmiddlewaretoken": page.cookies["csrftoken"].value}

    answer = client.post(reverse("admin:login"), form)

    assert (answer.status_code, answer["Location"]) == (302, reverse("admin:index"))
    assert 'autocomplete="current-password"' in page.content.decode()


def test_wrong_passwords_have_to_wait_and_are_told_how_long(ada: User) -> None:
    answers = [log_in() for _ in range(logins.FREE[Kind.ACCOUNT] + 1)]

    refused = log_in(password="right")

    assert {answer.status_code for answer in answers} == {200}
    assert refused.status_code == 429
    assert 1 <= int(refused["Retry-After"]) <= 5
    assert f"Try again in {refused['Retry-After']} second" in refused.content.decode()


def test_wait_ends_and_the_right_password_then_counts(ada: User) -> None:
    for _ in range(logins.FREE[Kind.ACCOUNT] + 1):
        log_in()
    later(11)

    assert log_in(password="right").status_code == 302
    assert not LoginTally.objects.filter(kind=Kind.ACCOUNT).exists()
    assert log_in().status_code == 200  # counted from the beginning


def test_waits_of_an_account_stay_short(ada: User) -> None:
    for number in range(40):
        log_in(address=f"198.51.100.{number}")
        later(61)

    assert log_in(password="right", address=ELSEWHERE).status_code == 302


def test_address_that_tries_many_accounts_waits_up_to_a_quarter_of_an_hour(ada: User) -> None:
    for number in range(logins.FREE[Kind.ADDRESS] + 30):
        log_in(f"person{number}")
        LoginTally.objects.filter(kind=Kind.ADDRESS).update(blocked_until=None)
    log_in("somebody")

    refused = log_in(password="right")

    assert refused.status_code == 429
    assert "Try again in 15 minutes." in refused.content.decode()
    assert log_in(password="right", address=ELSEWHERE).status_code == 302


def test_guesses_from_elsewhere_do_not_keep_a_person_out(ada: User) -> None:
    assert log_in(password="right").status_code == 302
    for number in range(logins.FREE[Kind.ACCOUNT] + 5):
        log_in(address=f"198.51.100.{number}")

    assert log_in(password="right", address=ELSEWHERE).status_code == 429
    assert log_in(password="right").status_code == 302


def test_one_right_password_is_no_way_to_go_on_guessing_at_others(ada: User) -> None:
    User.objects.create_user("mallory", password="own", is_staff=True)
    for number in range(logins.FREE[Kind.ADDRESS]):
        log_in(f"person{number}")
    log_in("mallory", "own")

    log_in("somebody")

    assert log_in("another").status_code == 429


def test_callers_behind_a_trusted_proxy_are_told_apart(ada: User, settings: Any) -> None:
    settings.TRUSTED_PROXIES = [ipaddress.ip_network("192.0.2.7/32")]

    log_in("nobody", **{"X-Forwarded-For": "203.0.113.5"})

    assert LoginTally.objects.get(kind=Kind.ADDRESS).key == "203.0.113.5"


def test_nobody_can_claim_another_address(ada: User) -> None:
    log_in("nobody", **{"X-Forwarded-For": "203.0.113.5"})

    assert LoginTally.objects.get(kind=Kind.ADDRESS).key == ADDRESS


def test_addresses_of_one_customer_are_counted_together(ada: User) -> None:
    log_in(address="2001:db8:1:2::3")
    log_in(address="2001:db8:1:2:ffff::4")

    assert LoginTally.objects.get(kind=Kind.ADDRESS).failures == 2


def test_what_was_typed_instead_of_a_name_is_not_kept(ada: User) -> None:
    log_in("my secret password")

    assert not LoginTally.objects.filter(key__contains="secret").exists()
    assert LoginTally.objects.filter(kind=Kind.ACCOUNT).count() == 1


def test_old_tallies_are_forgotten(ada: User) -> None:
    log_in()
    later(logins.FORGOTTEN_AFTER.total_seconds() + 1)

    log_in("another", address=ELSEWHERE)

    assert not LoginTally.objects.filter(key__in=["ada", ADDRESS]).exists()


@pytest.mark.parametrize(
    ("seconds", "words"), [(1, "1 second"), (59, "59 seconds"), (60, "1 minute"), (61, "2 minutes")]
)
def test_waits_are_told_in_words(seconds: int, words: str) -> None:
    assert in_words(seconds) == words


@pytest.mark.django_db(transaction=True)
def test_tries_side_by_side_are_no_way_around() -> None:
    let_through = []

    def guess() -> None:
        let_through.append(logins.charge("ada", ADDRESS, now=timezone.now()) is None)
        connection.close()

    threads = [threading.Thread(target=guess) for _ in range(24)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert sum(let_through) == logins.FREE[Kind.ACCOUNT] + 1  # the first that had to wait was looked at still


on_postgresql = pytest.mark.skipif("connection.vendor != 'postgresql'", reason="SQLite has one lock")


@on_postgresql
@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize(("age", "log_in"), [(0, logins.succeeded), (2 * 60 * 60, logins.charge)])
def test_right_and_wrong_passwords_lock_in_one_order(age: int, log_in: Any) -> None:
    """The address comes first, also where the account's tally is old enough to be forgotten."""
    now = timezone.now()
    account = LoginTally.objects.create(
        kind=Kind.ACCOUNT, key=logins.account_key("ada"), seen_at=now - timedelta(seconds=age)
    )
    network = LoginTally.objects.create(kind=Kind.ADDRESS, key=ADDRESS, seen_at=now)

    assert meet(network.pk, account.pk, LoginTally, lambda: log_in("ada", ADDRESS, now=now)) == []


@on_postgresql
@pytest.mark.django_db(transaction=True)
def test_wrong_password_beside_a_right_one_from_elsewhere_is_counted_anew() -> None:
    now = timezone.now()
    LoginTally.objects.create(kind=Kind.ACCOUNT, key=logins.account_key("ada"), seen_at=now, failures=5)
    waits: list[timedelta | None] = []

    def guess() -> None:
        waits.append(logins.charge("ada", ADDRESS, now=now))
        connection.close()

    thread = threading.Thread(target=guess)
    with transaction.atomic():
        LoginTally.objects.filter(kind=Kind.ACCOUNT).delete()
        thread.start()
        wait_until_somebody_waits()
    thread.join(20)

    assert waits == [None]
    assert LoginTally.objects.get(kind=Kind.ACCOUNT).failures == 1
