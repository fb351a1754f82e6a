"""A pump's threads and lanes, shared among endpoints so that none that hangs can hold them all.

Each endpoint may have as many calls out at once as the pump has threads, as if it were alone. There are SHARES times as
many threads, made when they are needed, of which no endpoint may have more than are still free. One endpoint that hangs
takes nothing from the others; however many hang, some threads are left (dynamic thresholds, Choudhury and Hahne,
IEEE/ACM Transactions on Networking 6(2), 1998). A thread that waits for an answer costs next to nothing.
"""

import threading
from collections import Counter, deque
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

SHARES = 4


def is_full(mine: int, taken: int, *, most: int) -> bool:
    """Whether an endpoint with `mine` of the `taken` places gets no further one; `most` is what one may have alone."""
    return mine >= min(most, SHARES * most - taken)


def full_endpoints(held: Iterable[int], *, most: int) -> tuple[set[int], int]:
    """The endpoints that get no further place, and how many places may be given out to the others at once.

    `held` names an endpoint for each place that is taken.
    """
    places = Counter(held)
    taken = places.total()
    full = {endpoint for endpoint, mine in places.items() if is_full(mine, taken, most=most)}
    largest = max((mine for endpoint, mine in places.items() if endpoint not in full), default=0)
    return full, max(0, min(most - largest, SHARES * most - taken))


class Bulkhead:
    """Runs calls in threads: at once where the endpoint may have one, otherwise each endpoint's in their order."""

    def __init__(self, threads: int, *, name: str) -> None:
        self._most = threads
        self._pool = ThreadPoolExecutor(SHARES * threads, thread_name_prefix=name)
        self._lock = threading.Lock()
        self._running: Counter[int] = Counter()
        self._taken = 0
        self._waiting: dict[int, deque[tuple[Callable[..., Any], tuple[Any, ...]]]] = {}
        self._closed = False

    def submit(self, endpoint: int, call: Callable[..., Any], *arguments: Any) -> None:
        with self._lock:
            if not self._closed:
                self._waiting.setdefault(endpoint, deque()).append((call, arguments))
                self._start_what_may()

    def shutdown(self) -> None:
        """Nothing that waits, or comes, is started any more; what runs is not waited for."""
        with self._lock:
            self._closed = True
            self._waiting.clear()
        self._pool.shutdown(wait=False, cancel_futures=True)

    def _start_what_may(self) -> None:
        """One of each endpoint in turn, until none may start. The lock is held."""
        started = True
        while started:
            started = False
            for endpoint in list(self._waiting):
                if is_full(self._running[endpoint], self._taken, most=self._most):
                    continue
                calls = self._waiting[endpoint]
                call, arguments = calls.popleft()
                if not calls:
                    del self._waiting[endpoint]
                self._running[endpoint] += 1
                self._taken += 1
                self._pool.submit(self._run, endpoint, call, arguments)
                started = True

    def _run(self, endpoint: int, call: Callable[..., Any], arguments: tuple[Any, ...]) -> None:
        try:
            call(*arguments)
        finally:
            with self._lock:
                self._running[endpoint] -= 1
                self._taken -= 1
                self._start_what_may()
