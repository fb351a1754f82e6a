"""What lanes must do, in plain Python: a line of messages and at most one holder. `test_lane_machine` compares.

A moment that a step sets is a `Span`, seconds from that step. Once it has been seen in a row it is that very datetime,
and stays it until a step sets it again.
"""

from collections.abc import Collection
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from messages.choices import FINAL_STATUSES, OPEN_STATUSES, Hold, OutcomeKind, Status

LEASE = 3600.0
PATIENCE = timedelta(seconds=5)
PERMANENT = {OutcomeKind.REFUSED, OutcomeKind.MAPPING_FAILED, OutcomeKind.NOT_SENT}
CRASHED = "The message could not be processed"
CANCELLED = "The message was cancelled"


@dataclass(frozen=True)
class Span:
    """A moment between `earliest` and `latest` seconds after the step that sets it."""

    earliest: float = 0.0
    latest: float = 0.0


NOW = Span()
LEASED = Span(LEASE, LEASE)


@dataclass(eq=False)
class EndpointModel:
    """`at_once`: so many calls may be out, each with a permit, which is its lane and token; None: any number."""

    at_once: int | None = None
    permits: set[tuple["LaneModel", int]] = field(default_factory=set)
    full: bool = False
    """Somebody found no room: its lanes are not due until a permit comes back, or is lost together with its process."""
    paused: bool = False

    def room(self, wanted: int) -> int:
        if self.at_once is None:
            return wanted
        free = min(wanted, self.at_once - len(self.permits))
        self.full = self.full or not free
        return free

    def give_back(self, permits: set[tuple["LaneModel", int]]) -> None:
        self.permits -= permits
        self.full = False


@dataclass
class RouteModel:
    """`delays`: seconds after the first, second … failed attempt, give or take 20 %; after the last one it is dead.

    `stops`: what may have arrived or not is left to a person.
    """

    endpoint: EndpointModel
    blocks: bool
    delays: tuple[float, ...]
    stops: bool = False
    paused: bool = False


@dataclass(eq=False)
class MessageModel:
    """`result` is the title of the error that the source is told, "" on success; `attempts` are (outcome, token)."""

    pk: int
    sync: bool
    position: int
    status: str = Status.QUEUED
    attempts: list[tuple[str, int]] = field(default_factory=list)
    before_retry: int = 0
    told_accepted: bool = False
    result: str | None = None
    purged: bool = False

    @property
    def open(self) -> bool:
        return self.status in OPEN_STATUSES

    def end(self, status: str, result: str) -> None:
        self.status, self.result = status, result

    def queue_again(self) -> None:
        self.status, self.result, self.before_retry = Status.QUEUED, None, len(self.attempts)


@dataclass
class Told:
    """What `finish` says to the holder of a lane: nothing recorded; the lane is still yours."""

    fenced: bool = False
    kept: bool = False


@dataclass(eq=False)
class LaneModel:
    """`line` is what the lane has not gone past, its head first. `owner` is who holds it; each claim has its own."""

    route: RouteModel
    line: list[MessageModel] = field(default_factory=list)
    gone: list[MessageModel] = field(default_factory=list)
    last: int = 0
    due: datetime | Span | None = None
    lease: datetime | Span | None = None
    token: int = 0
    strikes: int = 0
    owner: str = ""
    hold: str = Hold.NONE
    changes: int = 0
    unsure: bool = False
    """Somebody had the head in hand and has not said what came of it."""

    @property
    def done(self) -> int:
        return self.last - len(self.line)

    @property
    def messages(self) -> list[MessageModel]:
        return self.gone + self.line

    def at(self, position: int) -> MessageModel | None:
        return next((message for message in self.messages if message.position == position), None)

    def leased(self, now: datetime) -> bool:
        return isinstance(self.lease, datetime) and self.lease > now

    def is_due(self, now: datetime) -> bool:
        ready = self.due == NOW or (isinstance(self.due, datetime) and self.due <= now)
        stands = self.hold or self.route.paused or self.route.endpoint.paused or self.route.endpoint.full
        return ready and not stands and not self.leased(now)

    def due_since(self, now: datetime) -> datetime:
        return self.due if isinstance(self.due, datetime) else now

    def accept(self, pk: int, *, sync: bool, owner: str = "") -> MessageModel:
        """A synchronous one with an `owner` takes an idle lane, if its endpoint may be called."""
        idle = bool(owner) and self.route.endpoint.room(1) > 0 and not self.line and not self.hold
        self.last += 1
        message = MessageModel(pk, sync, self.last)
        self.line.append(message)
        self.wake()
        if idle:
            self.strikes = 0
            self.take(owner)
        return message

    def wake(self) -> None:
        """Work has come: due at once, unless it is due at some time already or held."""
        if self.due is None and not self.hold:
            self.due = NOW

    def take(self, owner: str) -> None:
        self.unsure |= self.lease is not None
        self.owner, self.lease = owner, LEASED
        self.token += 1
        self.strikes += 1
        if self.route.endpoint.at_once is not None:
            self.route.endpoint.permits.add((self, self.token))

    def read(self, first: int, count: int) -> list[MessageModel]:
        """What a worker that believes `first` to be the head may send, one after the other."""
        found: list[MessageModel] = []
        for position in range(first, first + count):
            message = self.at(position)
            if message is None or not message.open:
                break
            found.append(message)
        return found

    def finish(self, owner: str, message: MessageModel, kind: OutcomeKind, *, let_go: bool, again: bool) -> Told:
        """`again`: this very outcome has been recorded before."""
        if self.owner != owner:
            return Told(fenced=True)
        if again:
            return Told(kept=True)
        assert message is self.line[0], "whoever holds a lane has nothing but its head in hand"
        assert message.open, "what is final is not sent"
        return Told(kept=self.record(message, kind, let_go=let_go))

    def record(self, message: MessageModel, kind: OutcomeKind, *, let_go: bool) -> bool:
        """One attempt of the head. True if its holder keeps the lane, which has more work then."""
        message.attempts.append((kind, self.token))
        self.unsure = False
        failures = len(message.attempts) - message.before_retry
        title = CRASHED if kind == OutcomeKind.CRASHED else str(kind)
        caller_waits = message.sync and not message.told_accepted
        is_unknown = kind == OutcomeKind.UNKNOWN
        is_permanent = kind in PERMANENT or (is_unknown and self.route.stops)
        passes = kind == OutcomeKind.FAILED or (is_unknown and not self.route.stops)
        if kind == OutcomeKind.SUCCEEDED:
            message.end(Status.SUCCEEDED, "")
        elif caller_waits or (is_permanent and not self.route.blocks):
            message.end(Status.FAILED, title)
        elif passes and failures <= len(self.route.delays):
            message.status = Status.RETRYING
            delay = self.route.delays[failures - 1]
            self.free(Span(delay * 0.8, delay * 1.2))
            return False
        else:
            message.end(Status.DEAD, title)
            if self.route.blocks:
                self.hold = self.hold or Hold.BLOCKED
                self.free(None)
                return False
        return self.go_on(let_go=let_go)

    def go_on(self, *, let_go: bool) -> bool:
        self.gone.append(self.line.pop(0))
        if self.hold or not self.line:
            self.free(None)
        elif let_go:
            self.free(NOW)
        else:
            self.strikes = 1
            return True
        return False

    def free(self, due: datetime | Span | None) -> None:
        self.due, self.lease, self.owner, self.strikes = due, None, "", 0

    def pass_cancelled(self) -> None:
        """Nobody's any more, in front of the first message that is not cancelled.

        A head that somebody had in hand who ended is as unsure as before.
        """
        while self.line and self.line[0].status == Status.CANCELLED:
            self.gone.append(self.line.pop(0))
            self.unsure = False
        self.free(NOW if self.line and not self.hold else None)
        self.strikes = int(self.unsure)

    def release(self, owner: str) -> None:
        if self.owner == owner:
            self.pass_cancelled()

    def renew(self, owner: str) -> bool:
        mine = self.owner == owner
        if mine:
            self.lease = LEASED
        return mine

    def crash(self) -> None:
        """Its workers died over the head so often that it is declared dead."""
        if self.line[0].status == Status.CANCELLED:
            self.pass_cancelled()
        else:
            self.record(self.line[0], OutcomeKind.CRASHED, let_go=True)

    def retry(self, message: MessageModel) -> bool:
        if message.open or message.status == Status.SUCCEEDED or message.purged:
            return False
        message.queue_again()
        if message in self.gone:
            self.gone.remove(message)
            self.line.append(message)
            self.last += 1
            message.position = self.last
            self.wake()
        elif self.hold == Hold.BLOCKED and message is self.line[0]:
            self.hold = Hold.NONE
            self.free(NOW)
        else:
            self.changes += 1
        return True

    def cancel(self, message: MessageModel, now: datetime) -> bool:
        if message not in self.line or not (message.open or message.status == Status.DEAD):
            return False
        if message is not self.line[0]:
            self.changes += 1
            message.end(Status.CANCELLED, CANCELLED)
            return True
        if self.leased(now):
            return False
        message.end(Status.CANCELLED, CANCELLED)
        self.hold = Hold.PAUSED if self.hold == Hold.PAUSED else Hold.NONE
        self.token += 1
        self.pass_cancelled()
        return True

    def pause(self) -> bool:
        paused, self.hold = self.hold == Hold.PAUSED, Hold.PAUSED
        return not paused

    def resume(self, now: datetime) -> bool:
        if self.hold != Hold.PAUSED:
            return False
        dead = bool(self.line) and self.line[0].status == Status.DEAD
        backs_off = isinstance(self.due, datetime) and self.due > now
        self.hold = Hold.BLOCKED if dead else Hold.NONE
        if dead or not self.line:
            self.due = None
        elif not backs_off:
            self.due = NOW
        return True

    def hurry(self, now: datetime) -> bool:
        backs_off = isinstance(self.due, datetime) and self.due > now
        if self.hold or self.leased(now) or not backs_off:
            return False
        self.due = NOW
        return True

    def settle(self, since: datetime, now: datetime, due: datetime | None, lease: datetime | None) -> None:
        """Compares the moments of the row with those that must be there, and takes them over."""
        self.due = _settled(self.due, due, since, now)
        self.lease = _settled(self.lease, lease, since, now)


def _settled(
    expected: datetime | Span | None, found: datetime | None, since: datetime, now: datetime
) -> datetime | None:
    if isinstance(expected, Span) and found is not None:
        earliest = since + timedelta(seconds=expected.earliest)
        assert earliest <= found <= now + timedelta(seconds=expected.latest)
        return found
    assert found == expected
    return found


def claim(
    lanes: list[LaneModel],
    count: int,
    *,
    alone: bool,
    owner: str,
    now: datetime,
    without: Collection[EndpointModel] = (),
) -> list[LaneModel]:
    """The lanes that a worker gets, the longest due first; none of the endpoints `without`, nor of one with limits.

    One whose workers died twice is for a worker by itself, which takes it first if it has waited for too long.
    """
    heeded = [lane for lane in lanes if lane.route.endpoint not in without]
    flowing = [lane for lane in heeded if lane.route.endpoint.at_once is None]
    if alone and any(is_overdue(lane, now) for lane in heeded) and (found := _suspect(flowing, owner, now)):
        return found
    taken = [lane for lane in _due(flowing, now) if lane.strikes < 2][:count]
    for lane in taken:
        lane.take(owner)
    return taken or (_suspect(flowing, owner, now) if alone else [])


def claim_limited(
    lanes: list[LaneModel], count: int, *, alone: bool, owner: str, now: datetime, overdue: bool = False
) -> list[LaneModel]:
    """Those that a worker gets of the one endpoint that has limits, as many as may be called; suspects come last.

    With `overdue` nothing but a suspect that has waited for too long.
    """
    room = lanes[0].route.endpoint.room(count)
    due = [lane for lane in _due(lanes, now) if is_overdue(lane, now)] if overdue else _due(lanes, now)
    due = sorted((lane for lane in due if alone or lane.strikes < 2), key=lambda lane: lane.strikes)[:room]
    if due and due[0].strikes >= 5:
        due[0].crash()
        return []
    taken = [lane for lane in due if lane.strikes < 2] or due[:1]
    for lane in taken:
        lane.take(owner)
    return taken


def is_overdue(lane: LaneModel, now: datetime) -> bool:
    return lane.strikes >= 2 and lane.is_due(now) and lane.due_since(now) <= now - PATIENCE


def _suspect(lanes: list[LaneModel], owner: str, now: datetime) -> list[LaneModel]:
    suspects = [lane for lane in _due(lanes, now) if lane.strikes >= 2][:1]
    if suspects and suspects[0].strikes >= 5:
        suspects[0].crash()
        return []
    for lane in suspects:
        lane.take(owner)
    return suspects


def _due(lanes: list[LaneModel], now: datetime) -> list[LaneModel]:
    return sorted((lane for lane in lanes if lane.is_due(now)), key=lambda lane: lane.due_since(now))


def promises(lanes: list[LaneModel]) -> None:
    """What holds after every step, whatever the steps were: the model is held to it as well."""
    for lane in lanes:
        assert [message.position for message in lane.line] == list(range(lane.done + 1, lane.last + 1))
        assert all(message.status in FINAL_STATUSES for message in lane.gone)
        head = {Status.QUEUED, Status.RETRYING, Status.CANCELLED} | ({Status.DEAD} if lane.hold else set())
        assert {message.status for message in lane.line[:1]} <= head
        assert {message.status for message in lane.line[1:]} <= {Status.QUEUED, Status.CANCELLED}
        assert lane.hold != Hold.BLOCKED or lane.line[0].status == Status.DEAD
        assert lane.hold == Hold.PAUSED or (lane.due is not None) == bool(lane.line and not lane.hold)
        assert (lane.owner == "") == (lane.lease is None)
        assert all((message.result is not None) == (not message.open) or message.purged for message in lane.messages)
