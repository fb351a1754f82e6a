"""The pump of a web process: it works the lanes that synchronous requests claim while they are accepted."""

import os
import threading
from collections.abc import Callable

from django.conf import settings

from messages.pump import Pump


class WebPump:
    """The pump of a web process, started with the first synchronous request, and again after a fork or a failure."""

    def __init__(self, make: Callable[[], Pump]) -> None:
        self._make = make
        self._lock = threading.Lock()
        self._pid = 0
        self._pump: Pump | None = None
        self._thread: threading.Thread | None = None

    def get(self) -> Pump:
        with self._lock:
            if self._pump is None or self._pid != os.getpid() or self._pump.is_over:
                self._pump, self._pid = self._make(), os.getpid()
                self._thread = threading.Thread(target=self._pump.serve, name="web-pump", daemon=True)
                self._thread.start()
            return self._pump

    def close(self, *, seconds: float) -> None:
        """Lets it finish what is in hand and ends its thread; the next request starts a new one."""
        with self._lock:
            if self._pump is not None and self._thread is not None and self._pid == os.getpid():
                self._pump.stop()
                self._thread.join(seconds)
            self._pump = None


web_pump = WebPump(lambda: Pump(threads=settings.WEB_CALLS, claims=False))
