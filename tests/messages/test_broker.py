import pytest
from django.db import OperationalError
from django_q.brokers.orm import ORM
from django_q.conf import Conf
from django_q.models import OrmQ
from django_q.signing import SignedPackage

from connectors.catalogue import RoutePlan
from connectors.models import Endpoint
from messages import broker as broker_module
from messages.broker import DatabaseTaskBroker, LaneBroker
from tests.messages.conftest import claim, push


@pytest.fixture(autouse=True)
def without_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Conf, "POLL", 0)
    monkeypatch.setattr(broker_module, "AWAY_SECONDS", 0)


def functions(broker: LaneBroker | DatabaseTaskBroker) -> list[str]:
    return [SignedPackage.loads(task)["func"] for _, task in broker.dequeue()]


def test_due_lane_is_a_task(plan: RoutePlan) -> None:
    broker = LaneBroker("lanes")
    functions(broker)  # the first look brings a sign of life
    push(plan)

    assert functions(broker) == ["messages.pump.pump"]


def test_lane_in_hand_is_none(plan: RoutePlan) -> None:
    broker = LaneBroker("lanes")
    functions(broker)
    push(plan)
    claim(plan)

    assert functions(broker) == []


def test_lane_that_cannot_be_worked_wakes_nobody_until_its_endpoint_is_mended(plan: RoutePlan) -> None:
    """A pump would find nothing to do, and end, and be wanted again at once."""
    broker = LaneBroker("lanes")
    functions(broker)
    push(plan)
    Endpoint.objects.update(auth_scheme="bearer")  # and no token
    while_broken = [functions(broker) for _ in range(2)]
    Endpoint.objects.update(auth_scheme="none")

    assert (while_broken, functions(broker)) == ([[], []], ["messages.pump.pump"])


def test_idle_look_is_one_query(plan: RoutePlan, django_assert_num_queries: pytest.Function) -> None:
    broker = LaneBroker("lanes")
    functions(broker)

    with django_assert_num_queries(1):  # type: ignore[operator]
        functions(broker)


@pytest.mark.parametrize("broker", [LaneBroker, DatabaseTaskBroker])
def test_idle_cluster_shows_that_it_is_alive(db: None, broker: type[LaneBroker]) -> None:
    assert functions(broker("any")) == ["messages.tasks.show_life"]


def test_connection_that_broke_is_dropped_and_the_next_look_opens_another(
    plan: RoutePlan, monkeypatch: pytest.MonkeyPatch
) -> None:
    broker = LaneBroker("lanes")
    functions(broker)
    push(plan)
    closed: list[bool] = []
    with monkeypatch.context() as broken:
        broken.setattr(broker_module, "any_due", away)
        broken.setattr(broker_module.connection, "close", lambda: closed.append(True))
        assert functions(broker) == []

    assert closed == [True]
    assert functions(broker) == ["messages.pump.pump"]


def away(*_: object) -> None:
    raise OperationalError("the connection broke")


def test_outage_is_one_line_and_its_end_another(
    db: None, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    broker = DatabaseTaskBroker("tasks")
    functions(broker)
    with monkeypatch.context() as broken:
        broken.setattr(ORM, "dequeue", away)
        broken.setattr(broker_module.connection, "close", lambda: None)
        assert [functions(broker) for _ in range(3)] == [[], [], []]

    functions(broker)

    assert caplog.messages == [
        "The queue tasks cannot be reached; waiting for it (OperationalError: the connection broke).",
        "The queue tasks is there again.",
    ]


def test_task_that_cannot_be_acknowledged_does_not_end_the_monitor(
    db: None, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    broker = DatabaseTaskBroker("tasks")
    broker.enqueue("a task")
    pk = OrmQ.objects.get().pk
    with monkeypatch.context() as broken:
        broken.setattr(ORM, "delete", away)
        broken.setattr(broker_module.connection, "close", lambda: None)
        broker.acknowledge(pk)

    assert caplog.messages == [
        f"Task {pk} stays in the queue and comes again (OperationalError: the connection broke)."
    ]
    broker.acknowledge(pk)
    assert not OrmQ.objects.exists()
