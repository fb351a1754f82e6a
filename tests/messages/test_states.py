"""The states that `tests.factories` makes are those that the platform makes: nothing that watches over rows objects."""

import inspect
from typing import Any

import pytest
from django.apps import apps
from factory.django import DjangoModelFactory

from messages import lanes
from messages.choices import PROCESSING
from messages.database import clock_reading
from messages.models import Message
from messages.tasks import watch_lanes
from tests import factories
from tests.factories import MessageFactory

pytestmark = pytest.mark.django_db
FACTORIES = [one for _, one in inspect.getmembers(factories, inspect.isclass) if one.__module__ == factories.__name__]
WITHOUT = {"Revision"}  # one row of the platform's own, which nobody makes


def test_every_table_has_a_factory() -> None:
    tables = [model for label in ("connectors", "messaging") for model in apps.get_app_config(label).get_models()]

    assert {one._meta.model.__name__ for one in FACTORIES} == {model.__name__ for model in tables} - WITHOUT | {"User"}


@pytest.mark.parametrize(
    ("one", "traits"),
    [(one, traits) for one in FACTORIES for traits in [{}, *({name: True} for name in one._meta.parameters)]],
)
def test_every_state_can_be_stored(one: type[DjangoModelFactory], traits: dict[str, Any]) -> None:
    row = one(**traits)

    row.refresh_from_db()
    assert row.pk


@pytest.mark.parametrize(
    ("trait", "standing", "depth"),
    [
        ({}, "queued", 1),
        ({"processing": True}, PROCESSING, 1),
        ({"retrying": True}, "retrying", 1),
        ({"succeeded": True}, "succeeded", 0),
        ({"failed": True}, "failed", 0),
        ({"dead": True}, "dead", 1),  # it blocks its lane
        ({"cancelled": True}, "cancelled", 0),
        ({"purged": True}, "succeeded", 0),
    ],
)
def test_message_and_lane_fit_together(trait: dict[str, bool], standing: str, depth: int) -> None:
    message = MessageFactory(**trait)

    assert message.standing(clock_reading()) == standing
    assert message.lane.depth == depth
    assert message.is_final == Message.objects.final().filter(pk=message.pk).exists()
    assert watch_lanes() == 0


@pytest.mark.parametrize(
    ("trait", "due"),
    [({}, True), ({"processing": True}, False), ({"retrying": True}, False), ({"dead": True}, False)],
)
def test_only_what_may_be_worked_is_due(trait: dict[str, bool], due: bool) -> None:
    MessageFactory(lane=MessageFactory(**trait).lane)

    assert lanes.any_due() == due
