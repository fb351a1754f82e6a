"""Accounts, errors and what the queue runs, as people see them."""

import pytest
from django.contrib.auth.models import Group, User
from django.test import Client
from django.urls import reverse
from django_q.models import Failure, Schedule

from messages.tasks import ensure_schedules
from tests.messages.test_message_list import NOON

pytestmark = pytest.mark.django_db


def test_person_is_added_with_a_group_and_can_log_in(admin_client: Client) -> None:
    support = Group.objects.get(name="support")
    page = admin_client.get(reverse("admin:auth_user_add"))
    form = page.context["adminform"].form
    given = {"username": "ada", "password1": "Pk7-uu9-zz", "password2": "Pk7-uu9-zz", "groups": [support.pk]}

    admin_client.post(reverse("admin:auth_user_add"), {**given, "is_staff": form["is_staff"].value() and "on"})

    ada = User.objects.get(username="ada")
    assert (ada.is_staff, list(ada.groups.all())) == (True, [support])


@pytest.mark.parametrize("address", ["/admin/nothing/", "/admin/messaging/message/?body=x"])
def test_errors_stand_inside_the_shell_for_who_works_there(admin_client: Client, address: str) -> None:
    inside, outside = admin_client.get(address), Client().get(address, follow=True)

    assert inside.status_code in (400, 404)
    assert "All times are UTC" in inside.content.decode()
    assert "Messages" not in outside.content.decode()


def test_refused_page_says_so_in_the_shell() -> None:
    client = Client()
    client.force_login(User.objects.create_user("nobody", is_staff=True))

    answer = client.get(reverse("admin:messaging_message_changelist"))

    assert answer.status_code == 403
    assert "This is not allowed." in answer.content.decode()
    assert "All times are UTC" in answer.content.decode()


def test_expired_form_says_so_in_the_shell() -> None:
    client = Client(enforce_csrf_checks=True)
    client.force_login(User.objects.create_user("somebody", is_staff=True))

    answer = client.post(reverse("admin:password_change"), {})

    assert answer.status_code == 403
    assert "The form has expired." in answer.content.decode()
    assert "All times are UTC" in answer.content.decode()


def test_schedules_and_failed_tasks_are_told_and_cannot_be_changed(admin_client: Client) -> None:
    ensure_schedules()
    schedule = Schedule.objects.get(name="messages.tasks.remove_expired")
    failure = Failure.objects.create(
        id="a" * 32, name="n", func="f", started=NOON, stopped=NOON, success=False, result="Traceback\nValueError: no"
    )
    Schedule.objects.filter(pk=schedule.pk).update(task=failure.pk)

    schedules = admin_client.get(reverse("admin:django_q_schedule_changelist")).content.decode()
    failures = admin_client.get(reverse("admin:django_q_failure_changelist")).content.decode()
    tried = admin_client.post(reverse("admin:django_q_schedule_change", args=[schedule.pk]), {"func": "os.system"})
    added = admin_client.post(reverse("admin:django_q_schedule_add"), {"func": "os.system"})

    assert "every 15 minutes" in schedules
    assert "Removes the payloads of messages" in schedules
    assert reverse("admin:django_q_failure_change", args=[failure.pk]) in schedules
    assert "ValueError: no" in failures
    assert "resubmit" not in failures.lower()
    assert (tried.status_code, added.status_code) == (403, 403)


def test_empty_list_says_why_it_is_empty(admin_client: Client) -> None:
    page = reverse("admin:connectors_route_changelist")

    assert "There are no routes yet." in admin_client.get(page).content.decode()
    assert "Nothing here fits." in admin_client.get(page, {"q": "x"}).content.decode()
