"""`make torture`: fifteen minutes of faults, or as long as you like.

    make torture ARGS="--seconds 300 --seed 7 --database postgresql"

Senders push, faults happen, then everything drains, and the checker compares. Exits with 1 if anything is not as it
should be. Prints its seed: the same seed chooses the same faults in the same order. Between two of them something is
accepted, so that a machine that is busy with other things too proves as much in more time.
"""

import argparse
import contextlib
import random
import signal
import sys
import tempfile
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil

from tests.faults.apps import ALL_POINTS, arm, victim_of
from tests.faults.blocking import end_a_session, keeps_others_waiting
from tests.faults.checker import Acknowledged, Arrival, Fault, Report, check
from tests.faults.postgresql import Cluster
from tests.faults.traffic import (
    KEY,
    PATH,
    SHAKY,
    SYNC_SHARE,
    SYNC_SHARE_OF_SHAKY,
    FailingDestination,
    Sender,
    results,
    route_of,
)
from tests.faults.tree import Tree, kind_of

STOP_SECONDS = 4.0  # a stopped process sleeps through its lease (2.5 s)
EVERY_SECONDS = (0.2, 1.0)
PATIENCE_SECONDS = 5.0  # but not for longer than this
DRAIN_SECONDS = 60.0
CONSEQUENCES_SECONDS = 20.0  # a cluster whose idle worker was killed hangs, is noticed 8 s later, and killed as a whole
STOOD_STILL_SECONDS = 1.0  # so late this process is woken where the whole machine is too busy to keep leases
WHOLE_PLATFORM = "kill everything at once"
SHAKY_LANES = 4  # of a sender
MISSING_SECONDS = 150.0  # so much longer it goes on for points that nobody has passed, however busy the machine is
BACKLOG = 60  # messages that wait before a worker is stopped to see what it does when it goes on
UNDISTURBED_SECONDS = 5.0  # from then on; what is sent twice during a stop is explained by it
RARE = frozenset({"platform", "guardian", "worker command", "web server"})  # all that is below them goes as well
WEIGHTS = dict.fromkeys(RARE, 0.15) | {"operator": 0.3}
DATABASE = "database"
SESSION = "database session"
OPERATED = "messages in an operator's hand"
OPENED, TRIED, CLOSED = "circuit opened", "circuit tried in vain", "circuit closed again"
SAID = {
    OPENED: "The circuit of endpoint shaky opened",
    TRIED: "The circuit of endpoint shaky stays open",
    CLOSED: "The circuit of endpoint shaky closed: the destination answers again",
}
TOLD = "synchronous calls told of an open circuit"


@dataclass(slots=True)
class Outcome:
    """What one run showed."""

    database: str
    seconds: float
    report: Report
    faults: list[Fault]
    counted: Counter[str]
    inspection: dict[str, int]
    surprises: list[str]
    log: str

    @property
    def violations(self) -> list[str]:
        found = [*self.report.violations, *self.surprises]
        for name in ("open", "lanes with work", "lanes with gaps"):
            if self.inspection.get(name):
                found.append(f"{self.inspection[name]} {name} in the end.")
        return found


@dataclass(slots=True)
class Plan:
    """How a run goes. `delay_seconds`: what the destination takes for each answer at least. `pause_seconds`: what a
    sender waits between two messages. `shaky`: so many senders have a destination that is away again and again.

    `until_seen`: workers are stopped with calls out, one at a time, and go on, and nothing is killed, until one of them
    has been seen to send what it must not; nothing is drained then.
    """

    seconds: float
    seed: int
    senders: int = 6
    lanes: int = 6
    shaky: int = 2
    sync_share: float = SYNC_SHARE
    delay_seconds: float = 0.0
    pause_seconds: float = 0.0
    fence: bool = True
    until_seen: bool = False
    points: tuple[str, ...] = ALL_POINTS
    operator: bool = True
    at_least: int = 0
    """Messages that are to be acknowledged, even if it takes longer."""
    every: tuple[float, float] = EVERY_SECONDS


@dataclass(slots=True)
class Chaos:
    """Chooses and does faults, one after the other."""

    plan: Plan
    tree: Tree
    cluster: Cluster | None
    chance: random.Random
    senders: list[Sender]
    arrivals: list[Arrival]
    """It grows."""
    faults: list[Fault] = field(default_factory=list)
    counted: Counter[str] = field(default_factory=Counter)
    _causes: list[tuple[float, int | None]] = field(default_factory=list)
    """When something was done to a session of processes, None: to all of them."""
    _over: threading.Event = field(default_factory=threading.Event)
    _timers: list[threading.Timer] = field(default_factory=list)
    _armed: list[tuple[str, Path, float]] = field(default_factory=list)
    _next_stop: float = 0.0

    def run(self) -> None:
        begin = time.monotonic()
        pulse = threading.Thread(target=self._feel_the_pulse, name="pulse", daemon=True)
        pulse.start()
        points = list(self.plan.points)
        while self._is_wanted(now := time.monotonic(), begin) or self._armed or points or self._misses_circuits():
            passed = len(self.plan.points) - len(points)
            if points and (now - begin) / self.plan.seconds * len(self.plan.points) >= passed:
                point = points.pop(0)
                self._armed.append((point, arm(self.tree.folder, point), now))
            self._look_at_points()
            if self._is_wanted(now, begin):
                half_time = now - begin > self.plan.seconds / 2
                before = len(self.acknowledged)
                self._one(database=half_time and not self.counted[DATABASE])
                time.sleep(self.chance.uniform(*self.plan.every))
                patience = time.monotonic() + PATIENCE_SECONDS
                while len(self.acknowledged) == before and time.monotonic() < patience:
                    time.sleep(0.05)
            else:
                time.sleep(0.1)
            if now - begin > self.plan.seconds + MISSING_SECONDS:
                break
        for timer in self._timers:
            timer.join()

    def _is_wanted(self, now: float, begin: float) -> bool:
        if self.plan.until_seen and self._is_seen():
            return False
        return now - begin < self.plan.seconds or len(self.acknowledged) < self.plan.at_least

    @property
    def acknowledged(self) -> list[Acknowledged]:
        return [one for sender in self.senders for one in list(sender.acknowledged)]

    def circuits(self) -> dict[str, int]:
        """How often they did what, so far."""
        said = {name: self.tree.said(text) for name, text in SAID.items()}
        return {**said, TOLD: sum(sender.told_of_circuit for sender in self.senders)}

    def _misses_circuits(self) -> bool:
        return self.plan.shaky > 0 and not all(self.circuits().values())

    def _is_seen(self) -> bool:
        found = check(self.acknowledged, list(self.arrivals), {}, self.faults)
        return found.out_of_order + found.unexplained > 0

    def end(self) -> None:
        """Everything has come to its end."""
        self._over.set()

    def not_passed(self) -> list[str]:
        return [point for point, _, _ in self._armed]

    def _look_at_points(self) -> None:
        """A point has killed its process as soon as its file is gone."""
        for entry in list(self._armed):
            point, path, armed_at = entry
            if path.with_suffix(".victim").exists():
                self._armed.remove(entry)
                victim = victim_of(path)
                self._note(f"point: {point}", armed_at, time.monotonic(), hit=frozenset({victim}))
                self._causes.append((armed_at, self.tree.session_of(victim)))

    def _note(
        self, kind: str, at: float, until: float | None = None, *, hit: frozenset[int] | None, count: bool = True
    ) -> None:
        self.faults.append(Fault(kind, at, at if until is None else until, hit))
        self.counted[kind] += count

    def deaths(self) -> list[Fault]:
        """Processes that are gone, as far as something had been done to them, or to others of their session.

        Whoever died of anything else explains nothing: a supervisor, too, may only end what is not well.
        """
        found = []
        for pid, life in list(self.tree.lives.items()):  # the keeper goes on to look
            if life.gone is not None and any(
                life.seen - CONSEQUENCES_SECONDS <= at <= life.gone and session in (None, life.session)
                for at, session in self._causes
            ):
                found.append(Fault("death", life.seen, life.gone, frozenset({pid})))
        return found

    def _feel_the_pulse(self) -> None:
        """A machine that is too busy for a while lets leases run out as if each process had been stopped."""
        while not self._over.is_set():
            begin = time.monotonic()
            self._over.wait(0.1)
            if time.monotonic() - begin > STOOD_STILL_SECONDS:
                self._note("the machine stood still", begin, time.monotonic(), hit=None)

    def _one(self, *, database: bool) -> None:
        processes: dict[str, list[psutil.Process]] = {}
        for process in self.tree.descendants():
            with contextlib.suppress(psutil.Error, IndexError):
                if kind := kind_of(process):
                    processes.setdefault(kind, []).append(process)
        draw = self.chance.random()
        if self.plan.until_seen:
            self._stop_the_latest_caller(processes.get("qcluster worker", []))
        elif self.cluster is not None and (database or draw < 0.05):
            begin = time.monotonic()
            self.cluster.kill()
            time.sleep(self.chance.uniform(0, 1))
            self.cluster.start()
            self._note(DATABASE, begin, time.monotonic(), hit=None)
            self._causes.append((begin, None))
        elif not {"web worker", "qcluster worker"} <= processes.keys():
            return  # it is being started again
        elif draw < 0.08:
            everybody = [one for found in processes.values() for one in found]
            self._note(WHOLE_PLATFORM, time.monotonic(), hit=frozenset(one.pid for one in everybody))
            self._causes.append((time.monotonic(), None))
            for process in everybody:
                _send(process, signal.SIGKILL)
        elif self.cluster is not None and draw < 0.15:
            everybody = [one for found in processes.values() for one in found]
            begin = time.monotonic()
            owner = end_a_session(everybody, self.cluster.url, self.chance.random())
            if owner is not None:
                self._note(SESSION, begin, time.monotonic(), hit=frozenset({owner}))
                self._causes.append((begin, self.tree.session_of(owner)))
        else:
            kinds = sorted(processes)
            (kind,) = self.chance.choices(kinds, [WEIGHTS.get(kind, 1.0) for kind in kinds])
            target = self.chance.choice(sorted(processes[kind], key=lambda process: process.pid))
            if draw < 0.35:
                self._stop(target, kind)
            else:
                self._note(f"kill {kind}", time.monotonic(), hit=frozenset({target.pid}))
                self._causes.append((time.monotonic(), None if kind in RARE else self.tree.session_of(target.pid)))
                _send(target, signal.SIGKILL)

    def _stop_the_latest_caller(self, workers: list[psutil.Process]) -> None:
        """With calls out, and enough behind them. Another takes its lanes; then both have time for what comes of it."""
        waiting = len(self.acknowledged) - len(self.arrivals)
        calling = [one for one in workers if self.arrivals and one.pid == self.arrivals[-1].sender]
        if calling and waiting >= BACKLOG and time.monotonic() >= self._next_stop:
            self._stop(calling[0], "qcluster worker")
            self._next_stop = time.monotonic() + STOP_SECONDS + UNDISTURBED_SECONDS

    def _stop(self, target: psutil.Process, kind: str) -> None:
        begin = time.monotonic()
        _send(target, signal.SIGSTOP)
        self._note(f"stop {kind}", begin, begin + STOP_SECONDS + 1, hit=frozenset({target.pid}))
        self._causes.append((begin, self.tree.session_of(target.pid)))

        def go_on() -> None:
            if self._keeps_others_waiting(target):
                self._note(f"stop {kind}", begin, time.monotonic() + 1, hit=None, count=False)
                self.counted["of which others had to wait for it"] += 1
            _send(target, signal.SIGCONT)

        timer = threading.Timer(STOP_SECONDS, go_on)
        timer.daemon = True
        timer.start()
        self._timers.append(timer)

    def _keeps_others_waiting(self, target: psutil.Process) -> bool:
        return keeps_others_waiting(target, self.tree.folder, self.cluster.url if self.cluster else None)


def _send(process: psutil.Process, number: signal.Signals) -> None:
    with contextlib.suppress(psutil.Error):
        process.send_signal(number)


def run(database: str, plan: Plan) -> Outcome:
    """One run on `sqlite` or `postgresql`."""
    begin = time.monotonic()
    with contextlib.ExitStack() as stack:
        temporary = tempfile.TemporaryDirectory(prefix="platform-faults-", ignore_cleanup_errors=True)
        folder = Path(stack.enter_context(temporary))
        cluster = None
        if database == "postgresql":
            cluster = Cluster()
            stack.callback(cluster.close)
        destination = stack.enter_context(FailingDestination(plan.seed, plan.delay_seconds))
        url = destination.url(PATH)
        operator = str(plan.seed) if plan.operator else None
        tree = Tree(folder, cluster.url if cluster else "", key=KEY, url=url, fence=plan.fence, operator=operator)
        stack.callback(tree.stop)
        tree.start()
        senders = _senders(tree.base, plan)
        for sender in senders:
            sender.start()

        chaos = Chaos(plan, tree, cluster, random.Random(plan.seed), senders, destination.arrivals)
        stack.callback(chaos.end)
        chaos.run()
        if plan.until_seen:
            _send_home(senders)
        inspection = {} if plan.until_seen else _drain(tree, senders)
        acknowledged = chaos.acknowledged
        found = {} if plan.until_seen else results(tree.base, acknowledged, seconds=10.0)
        arrivals, operated = list(destination.arrivals), tree.operated()
        skipping = {one.lane for one in acknowledged if route_of(one.lane) in ("skipping", "loose")}
        faults = [*chaos.faults, *chaos.deaths(), *_unseen(arrivals, tree)]
        report = check(acknowledged, arrivals, found, faults, skipping=skipping, operated=operated)
        chaos.counted[OPERATED] = len(operated)
        circuits = chaos.circuits()
        chaos.counted.update(circuits)
        surprises = [text for sender in senders for text in sender.surprises]
        surprises += [f"Nobody passed the point “{point}”." for point in chaos.not_passed()]
        surprises += [f"No {name}." for name, count in circuits.items() if plan.shaky and not count]
        seconds = time.monotonic() - begin
        return Outcome(database, seconds, report, chaos.faults, chaos.counted, inspection, surprises, tree.log())


def _senders(base: str, plan: Plan) -> list[Sender]:
    kinds = [(f"s{number}", plan.lanes, plan.sync_share) for number in range(plan.senders)]
    kinds += [(f"{SHAKY}{number}", SHAKY_LANES, SYNC_SHARE_OF_SHAKY) for number in range(plan.shaky)]
    options: dict[str, Any] = {"seed": plan.seed, "pause_seconds": plan.pause_seconds}
    return [Sender(name, base, lanes=lanes, sync_share=share, **options) for name, lanes, share in kinds]


def _unseen(arrivals: list[Arrival], tree: Tree) -> list[Fault]:
    """Processes that were gone before anybody saw them: they were killed while they started."""
    begin, end = (min(one.at for one in arrivals), max(one.at for one in arrivals)) if arrivals else (0.0, 0.0)
    unseen = {one.sender for one in arrivals} - set(tree.lives) - {0}
    return [Fault("death", begin, end, frozenset({pid})) for pid in unseen]


def _drain(tree: Tree, senders: list[Sender]) -> dict[str, int]:
    """Everything that was begun is acknowledged and comes to its end; what crashed too often is retried by a person."""
    tree.send_operator_home()
    end = time.monotonic() + DRAIN_SECONDS
    for sender in senders:
        sender.stop()
    while any(sender.is_alive() for sender in senders) and time.monotonic() < end:
        tree.inspection("revive")
        time.sleep(0.3)
    _send_home(senders)
    while True:
        inspection = tree.inspection("revive")
        if (not inspection["open"] and not inspection["lanes with work"]) or time.monotonic() > end:
            return inspection
        time.sleep(0.3)


def _send_home(senders: list[Sender]) -> None:
    for sender in senders:
        sender.stop()
        sender.give_up.set()
    for sender in senders:
        sender.join()


def table(outcome: Outcome, seed: int) -> str:
    """The run as rows of Markdown."""
    report, faults = outcome.report, outcome.counted
    kills = sum(count for kind, count in faults.items() if kind.startswith(("kill", "point")))
    stops = sum(count for kind, count in faults.items() if kind.startswith("stop"))
    rows = [
        ("database", outcome.database),
        ("seed", seed),
        ("seconds", round(outcome.seconds)),
        ("kills", kills),
        ("stopped beyond a lease, then continued", stops),
        ("database restarts", faults[DATABASE]),
        ("single sessions of the database ended", faults[SESSION]),
        ("acknowledged", f"{report.acknowledged:,}"),
        ("arrivals", f"{report.arrivals:,}"),
        ("messages in an operator's hand", f"{faults[OPERATED]:,}"),
        ("circuits opened, tried in vain, closed again", f"{faults[OPENED]}, {faults[TRIED]}, {faults[CLOSED]}"),
        ("synchronous calls answered that a circuit is open", f"{faults[TOLD]:,}"),
        ("repeats, each with the same key and around a fault of its sender", report.repeats),
        ("repeats without a fault of their sender", report.unexplained),
        ("lost", report.lost),
        ("unexpected", report.unexpected),
        ("out of order", report.out_of_order),
        ("results not final", report.not_final),
    ]
    return "\n".join(f"| {name} | {value} |" for name, value in rows)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--seconds", type=float, default=450.0, help="of faults, for each database (default 450)")
    parser.add_argument("--seed", type=int, default=None, help="default: a new one")
    parser.add_argument("--database", choices=["sqlite", "postgresql", "both"], default="both")
    chosen = parser.parse_args()
    seed = chosen.seed if chosen.seed is not None else random.randrange(1_000_000)
    databases = ["sqlite", "postgresql"] if chosen.database == "both" else [chosen.database]
    failed = False
    for database in databases:
        print(f"Torture on {database}: seed {seed}, {chosen.seconds:.0f} s of faults …", flush=True)
        outcome = run(database, Plan(chosen.seconds, seed))
        print(table(outcome, seed))
        print(", ".join(f"{kind}: {count}" for kind, count in sorted(outcome.counted.items())))
        for violation in outcome.violations[:50]:
            print(f"VIOLATION: {violation}")
        if outcome.violations:
            failed = True
            print(outcome.log)
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
