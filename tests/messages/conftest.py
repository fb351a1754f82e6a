"""A route to work on: a shop, an ERP on loopback, and helpers that read like the story they tell."""

import itertools
import threading
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
import yaml
from django.db import connection
from django.utils import timezone

from connectors.catalogue import RoutePlan, catalogue
from connectors.configuration import apply_configuration
from messages import intake, lanes
from messages.choices import OutcomeKind
from messages.claims import Claim, Finished, Work
from messages.intake import Accepted, Incoming
from messages.models import Lane
from messages.outcomes import Outcome, Reply
from messages.pump import Pump, policy_of
from tests.destination import Destination

KEY = "shop-key"
LEASE = 30.0
numbers = itertools.count(1)


def configure_route(url: str = "http://127.0.0.1:9/orders", **route: Any) -> RoutePlan:
    """The route `orders` with these settings, over the defaults of the platform."""
    settings = {"slug": "orders", "source": "shop", "endpoint": "erp-orders", "patterns": ["async", "sync"], **route}
    mappings = [settings.pop(name) for name in ("mapping_definition", "reply_mapping_definition") if name in settings]
    document = {
        "version": 1,
        "applications": [
            {
                "slug": "shop",
                "credentials": [
                    {"name": "main", "scheme": "api_key", "secret": KEY},
                    {"name": "basic", "scheme": "basic", "username": "shop", "secret": "pass:word"},
                ],
            },
            {"slug": "stranger", "credentials": [{"name": "main", "scheme": "api_key", "secret": "strangers-key"}]},
            {"slug": "erp", "endpoints": [{"slug": "erp-orders", "url": url, "timeout_seconds": 2}]},
        ],
        "mappings": mappings,
        "routes": [settings],
    }
    apply_configuration(yaml.safe_dump(document), environ={})
    plan = catalogue.by_slug("orders")
    assert plan is not None
    return plan


@pytest.fixture
def plan(db: None) -> RoutePlan:
    """Ordered by `lane`, blocking, three attempts without a pause to speak of."""
    return configure_route(ordering_key="lane", retry={"max_attempts": 3, "first_delay_seconds": 60, "factor": 1})


@pytest.fixture
def destination() -> Iterator[Destination]:
    with Destination() as server:
        yield server


def push(
    plan: RoutePlan, lane: str = "A", *, pattern: str = "async", key: str | None = None, **options: Any
) -> Accepted:
    body = b'{"lane":"%s","number":%d}' % (lane.encode(), next(numbers))
    return intake.accept(plan, Incoming(pattern, body, "application/json", {}, key), **options)


def claim(plan: RoutePlan, count: int = 10, *, alone: bool = True) -> list[Claim]:
    policies = {plan.id: policy_of(plan)}
    return lanes.claim(count, lease_seconds=LEASE, owner="test", policies=policies, alone=alone)


def head(taken: Claim) -> Work:
    return lanes.read_ahead([taken], 1)[taken.lane_id][0]


def outcome(kind: OutcomeKind = OutcomeKind.SUCCEEDED, **details: Any) -> Outcome:
    reply = Reply(201, "application/json", b'{"ok":true}') if kind == OutcomeKind.SUCCEEDED else None
    return Outcome(kind, timezone.now(), reply=reply, **details)


def finish(
    plan: RoutePlan, taken: Claim, kind: OutcomeKind = OutcomeKind.SUCCEEDED, *, let_go: bool = False
) -> Finished:
    entry = Finished(taken, head(taken), outcome(kind), policy_of(plan), let_go=let_go)
    lanes.finish([entry], now=timezone.now())
    return entry


def lane(key: str = "A") -> Lane:
    return Lane.objects.get(key=key)


def expire(key: str = "A") -> None:
    """The lease runs out, as it does when its worker is dead."""
    Lane.objects.filter(key=key).update(lease_until=timezone.now() - timedelta(seconds=1))


class Running:
    """A pump at work in a thread of its own: until `wait`, or as long as the block lasts."""

    def __init__(self, *, threads: int = 8, linger_seconds: float = 60.0) -> None:
        self.pump = Pump(threads=threads)
        self._linger_seconds = linger_seconds
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> "Running":
        self._thread.start()
        return self

    def _run(self) -> None:
        self.pump.run(budget_seconds=60, linger_seconds=self._linger_seconds)
        connection.close()

    def wait(self, *, seconds: float) -> None:
        """Until it has nothing more to do; fails after `seconds`."""
        self._thread.join(seconds)
        assert not self._thread.is_alive()

    def __exit__(self, *_: object) -> None:
        self.pump.stop()
        self._thread.join()
