"""Source applications that do not give up, and a destination that fails at random, seeded, and is away at times."""

import random
import threading
import time
from typing import Any

import requests

from tests.destination import Answer, Destination, Received
from tests.faults.checker import Acknowledged, Arrival
from tests.senders import SENDER

KEY = "shop-key-of-the-faults"
PATH = "/orders"
TIMEOUT_SECONDS = 20.0
SYNC_SHARE = 0.15
SYNC_SHARE_OF_SHAKY = 0.5
# the routes of a sender's lanes, in turn; a lane's name ends with its number
ROUTES = ("orders", "orders", "orders", "narrow", "skipping", "loose")
REFUSED_SHARE = 0.1  # of what comes on `skipping`
SHAKY = "shaky"
"""The route whose destination is away again and again, and the name of its senders."""
THERE_CALLS, AWAY_CALLS = 12, 18  # in turn: enough failures to open its circuit (tree.py), and some tries in vain


def route_of(lane: str) -> str:
    sender, _, number = lane.partition("-")
    return SHAKY if sender.startswith(SHAKY) else ROUTES[int(number.partition("#")[0]) % len(ROUTES)]


class FailingDestination(Destination):
    """Answers 200, or 503, or nothing, or late; seed, message and number of the try decide, nothing else.

    While it is away two of three calls on `shaky` are answered 503: some lanes are in somebody's hand, with more to
    send, when the circuit opens. `delay_seconds` comes before each answer.
    """

    def __init__(self, seed: int, delay_seconds: float = 0.0) -> None:
        super().__init__()
        self._seed = seed
        self._delay_seconds = delay_seconds
        self._lock = threading.Lock()
        self._tries: dict[tuple[str, int], int] = {}
        self._shaky_calls = 0
        self.arrivals: list[Arrival] = []
        self.answers(PATH, self._decide)

    def _decide(self, request: Received) -> Answer:
        body = request.json()
        name = body["lane"], body["number"]
        with self._lock:
            tried = self._tries[name] = self._tries.get(name, 0) + 1
            chance = self._chance(name, tried)
            route = route_of(body["lane"])
            refused = route == "skipping" and self._chance(name) < REFUSED_SHARE
            away = route == SHAKY and self._is_away()
            answer = Answer(503) if away else Answer(422) if refused else self._answer(chance)
            confirmed = answer.status == 200 and answer.raw is None
            key, sender = request.header("Idempotency-Key"), int(request.header(SENDER) or 0)
            self.arrivals.append(Arrival(*name, key=key, at=request.received_at, confirmed=confirmed, sender=sender))
        return answer

    def _is_away(self) -> bool:
        """Calls are counted, no time: a busy machine sees the same."""
        self._shaky_calls += 1
        return self._shaky_calls % (AWAY_CALLS + THERE_CALLS) < AWAY_CALLS and self._shaky_calls % 3 != 0

    def _chance(self, *of: Any) -> float:
        return random.Random(f"{self._seed}:{of}").random()

    def _answer(self, chance: float) -> Answer:
        if chance < 0.04:
            return Answer(503)
        if chance < 0.06:
            return Answer.nothing(reset=chance < 0.05)
        late = 0.3 if chance < 0.09 else 0.01 if chance < 0.5 else 0.0
        return Answer(200, {"ok": True}, delay_seconds=late + self._delay_seconds)


class Sender(threading.Thread):
    """Pushes numbered messages of its lanes; the next one of a lane only when the one before was acknowledged."""

    def __init__(
        self, name: str, base: str, *, lanes: int, seed: int, sync_share: float, pause_seconds: float = 0.0
    ) -> None:
        super().__init__(name=f"sender-{name}", daemon=True)
        self._base = base
        self._chance = random.Random(f"{seed}:{name}")
        self._next = {f"{name}-{lane}": 1 for lane in range(lanes)}
        self._sync_share = sync_share
        self._pause_seconds = pause_seconds
        self._stop_wanted = threading.Event()
        self.give_up = threading.Event()
        self.acknowledged: list[Acknowledged] = []
        self.surprises: list[str] = []
        self.told_of_circuit = 0
        """How often a call was answered that a circuit is open."""

    def stop(self) -> None:
        """It still sees to it that what it has begun is acknowledged."""
        self._stop_wanted.set()

    def run(self) -> None:
        with requests.Session() as http:
            http.headers["X-API-Key"] = KEY
            while not self._stop_wanted.is_set():
                lane = self._chance.choice(list(self._next))
                pattern = "sync" if self._chance.random() < self._sync_share else "async"
                number = self._next[lane]
                # where nothing orders them each message has a lane of its own
                place = (f"{lane}#{number}", 1) if route_of(lane) == "loose" else (lane, number)
                if self._push(http, *place, pattern):
                    self._next[lane] += 1
                self._stop_wanted.wait(self._pause_seconds)

    def _push(self, http: requests.Session, lane: str, number: int, pattern: str) -> bool:
        """Tries until it is acknowledged. False if it was told to give up."""
        last = ""
        url = f"{self._base}/webhooks/{route_of(lane)}{'/sync' if pattern == 'sync' else ''}"
        while not self.give_up.is_set():
            try:
                response = http.post(
                    url,
                    json={"lane": lane, "number": number},
                    headers={"Idempotency-Key": f"{lane}-{number}"},
                    timeout=TIMEOUT_SECONDS,
                )
            except requests.RequestException as error:
                last = str(error)
                time.sleep(0.1)
                continue
            last = f"{response.status_code} {response.text[:300]}"
            correlation_id = response.headers.get("X-Correlation-ID", "")
            self.told_of_circuit += response.status_code == 503 and "/problems/circuit-open" in response.text
            cancelled = response.status_code == 409 and "/problems/cancelled" in response.text
            # the first is still running; the lane, or the platform, is not well
            if response.status_code in (409, 503) and not cancelled:
                time.sleep(0.1)
                continue
            if response.status_code in (200, 202, 409, 502, 504) and correlation_id:
                told = "async" if response.status_code == 202 else pattern
                self.acknowledged.append(Acknowledged(lane, number, told, correlation_id))
                return True
            self.surprises.append(f"{lane} {number} ({pattern}) was answered {last}")
            time.sleep(0.2)
        self.surprises.append(f"{lane} {number} ({pattern}) was never acknowledged; the last answer: {last}")
        return False


def results(base: str, acknowledged: list[Acknowledged], *, seconds: float) -> dict[str, str]:
    """The status that the result address gives for each correlation id, waited for until it is final."""
    found: dict[str, str] = {}
    end = time.monotonic() + seconds
    with requests.Session() as http:
        http.headers["X-API-Key"] = KEY
        for one in acknowledged:
            while True:
                document = _result(http, base, one.correlation_id)
                found[one.correlation_id] = document.get("status", "unknown")
                if found[one.correlation_id] in ("succeeded", "failed", "dead", "cancelled"):
                    break
                if time.monotonic() > end:
                    break
                time.sleep(0.1)
    return found


def _result(http: requests.Session, base: str, correlation_id: str) -> dict[str, Any]:
    try:
        response = http.get(f"{base}/results/{correlation_id}", timeout=TIMEOUT_SECONDS)
        found: dict[str, Any] = response.json() if response.status_code == 200 else {}
    except requests.RequestException:
        return {}
    return found
