"""What people did can be read by person and object, and by nobody be changed."""

import pytest
from django.contrib.admin.models import LogEntry
from django.test import Client
from django.urls import reverse

from messages import operate
from tests.factories import MessageFactory, UserFactory

pytestmark = pytest.mark.django_db


def test_verbs_are_found_by_person_and_stay_as_they_are(admin_client: Client) -> None:
    ada, bob = UserFactory(username="ada"), UserFactory(username="bob")
    operate.retry(MessageFactory(failed=True), by=ada, reason="<b>the destination is back</b>")
    operate.cancel(MessageFactory(), by=bob, reason="ordered twice")
    page = reverse("admin:admin_logentry_changelist")

    everything = admin_client.get(page).content.decode()
    adas = admin_client.get(page, {"person": ada.pk}).content.decode()
    entry = LogEntry.objects.get(user=ada)
    own = reverse("admin:admin_logentry_change", args=[entry.pk])
    tried = [
        admin_client.post(address, {"post": "yes"}).status_code for address in (own, own.replace("change", "delete"))
    ]

    assert "ordered twice" in everything
    assert "ordered twice" not in adas
    assert "&lt;b&gt;the destination is back" in adas
    assert tried == [403, 403]
    assert LogEntry.objects.filter(pk=entry.pk).exists()
