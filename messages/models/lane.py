"""The FIFO line of a route and an ordering key."""

from collections.abc import Collection, Iterable
from typing import Any

from django.db import connection, models
from django.db.models import Case, Exists, F, OuterRef, Q, When
from django.db.models.lookups import In

from connectors.models import Route
from messages.choices import Hold


class LaneQuerySet(models.QuerySet["Lane"]):
    def due(self, now: Any) -> "LaneQuerySet":
        """Lanes with work that nobody holds; the one definition for broker, claim, admin and tests.

        `now` is a datetime or a database expression. A paused route or endpoint keeps its lanes' `due_at` untouched:
        resuming it is one update of one row, whatever has piled up. So does an endpoint whose circuit is open, until
        the time has come to try one call, and one that has used up its limits.
        """
        return self._due_of(now, _unpaused_routes().exclude(_standing(now)))

    def flowing(self, now: Any) -> "LaneQuerySet":
        """Those due lanes that may be taken by the dozen: the rest is for `sparing`."""
        unlimited = {"endpoint__max_concurrent": None, "endpoint__rate_calls": None}
        return self._due_of(now, _unpaused_routes().filter(endpoint__circuit__retry_at=None, **unlimited))

    def _due_of(self, now: Any, routes: models.QuerySet[Route]) -> "LaneQuerySet":
        """SQLite would go through all lanes of these routes, idle ones too, if it could look them up by their route."""
        due, route = self.unpaused_due(now), F("route_id")
        return due.filter(In(route + 0 if connection.vendor == "sqlite" else route, routes.values("pk")))

    def without_endpoints(self, endpoints: Collection[int]) -> "LaneQuerySet":
        return self.exclude(route__endpoint__in=list(endpoints)) if endpoints else self

    def locked(self, pks: Iterable[int]) -> "LaneQuerySet":
        """In the order of their keys: two transactions that lock several lanes cannot wait for each other."""
        return self.select_for_update().filter(pk__in=sorted(pks)).order_by("pk")

    def unpaused_due(self, now: Any) -> "LaneQuerySet":
        return self.filter(Q(lease_until=None) | Q(lease_until__lte=now), due_at__lte=now, hold=Hold.NONE)

    def backing_off(self, now: Any) -> "LaneQuerySet":
        """Lanes whose head waits out the pause between two attempts."""
        return self.filter(Q(lease_until=None) | Q(lease_until__lte=now), due_at__gt=now, hold=Hold.NONE)

    def unheld(self) -> "LaneQuerySet":
        """Lanes with work that nobody has stopped, whether their time has come or not."""
        return self.filter(due_at__isnull=False, hold=Hold.NONE)

    def leased(self, now: Any) -> "LaneQuerySet":
        return self.filter(lease_until__gt=now)

    def with_work(self) -> "LaneQuerySet":
        return self.filter(last_position__gt=F("done_position"))

    def busy(self) -> "LaneQuerySet":
        """What is due now or later, and what stands still: by the indexes of both, however many lanes are idle.

        With `is_blocked` and `is_held`, to have the worst first.
        """
        blocked, held = Q(hold=Hold.BLOCKED), ~Q(hold=Hold.NONE)
        due = Lane.objects.filter(due_at__isnull=False, hold=Hold.NONE)
        # a union and no OR, for which SQLite would read all lanes
        rows = self.filter(pk__in=due.order_by().values("pk").union(Lane.objects.held().order_by().values("pk")))
        return rows.annotate(is_blocked=Case(When(blocked, 1), default=0), is_held=Case(When(held, 1), default=0))

    def held(self) -> "LaneQuerySet":
        return self.exclude(hold=Hold.NONE)


def _unpaused_routes() -> models.QuerySet[Route]:
    return Route.objects.filter(paused=False, endpoint__paused=False)


def _standing(now: Any) -> Q:
    open_circuit = Q(endpoint__circuit_enabled=True, endpoint__circuit__retry_at__gt=now)
    return open_circuit | Q(endpoint__allowance__full_until__gt=now)


def routes_with_due_lanes(now: Any, *, without: Collection[int] = ()) -> models.QuerySet[Route]:
    """Routes of `Lane.objects.due`, none of the endpoints `without`: however many lanes a paused route has, a look
    costs one probe of the index for each route that may go."""
    due = Lane.objects.unpaused_due(now).filter(route=OuterRef("pk"))
    routes = _unpaused_routes().exclude(_standing(now))
    return (routes.exclude(endpoint__in=without) if without else routes).filter(Exists(due))


class Lane(models.Model):
    """The row is lock, cursor, schedule and queue entry at once.

    Messages join it in `accepting`; workers take it in `lanes` and `sparing` and move it on in `recording`; people move
    it in `steering`; `watch` wakes it. Nobody else writes it.
    """

    route = models.ForeignKey(Route, models.PROTECT, related_name="lanes")
    key = models.CharField(max_length=255, blank=True)
    last_position = models.BigIntegerField(default=0)
    """The newest accepted message's position."""
    done_position = models.BigIntegerField(default=0)
    """The newest finished message's position; the head stands right behind it."""
    due_at = models.DateTimeField(null=True, blank=True)
    """None: nothing to do, or held. In the future: backing off."""
    lease_until = models.DateTimeField(null=True, blank=True)
    """Until when its worker may send. Apart from `due_at`, so that no operator's verb can shorten a running lease."""
    token = models.BigIntegerField(default=0)
    """Grows with every claim and fences off whoever held the lane before."""
    strikes = models.SmallIntegerField(default=0)
    """Claims of its head: 1 while the first worker has it in hand; one more for each that died with it in hand."""
    owner = models.CharField(max_length=100, blank=True, default="")
    hold = models.CharField(max_length=10, choices=Hold.choices, default=Hold.NONE, blank=True)

    changes = models.BigIntegerField(default=0)
    """Grows when a person changes a message behind the head: a worker that has read ahead reads again."""

    objects = LaneQuerySet.as_manager()

    class Meta:
        ordering = ["route", "key"]
        permissions = [("operate_lane", "Can retry, skip, pause and resume")]
        constraints = [
            # the upsert of accept() finds its lane by this
            models.UniqueConstraint(fields=["route", "key"], name="lane_route_key"),
        ]
        indexes = [
            # LaneQuerySet.due(): what is due, oldest first; idle and held lanes are not in it
            models.Index(fields=["due_at"], name="lane_due", condition=Q(due_at__isnull=False, hold="")),
            # routes_with_due_lanes(): whether a route has any
            models.Index(fields=["route", "due_at"], name="lane_route_due", condition=Q(due_at__isnull=False, hold="")),
            # the lanes page and the first page: what stands still
            models.Index(fields=["hold"], name="lane_held", condition=~Q(hold="")),
        ]

    def __str__(self) -> str:
        return f"{self.route}: {self.key}" if self.key else str(self.route)

    @property
    def depth(self) -> int:
        return self.last_position - self.done_position

    @property
    def head_position(self) -> int:
        return self.done_position + 1
