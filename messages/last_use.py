"""When each credential was last used: written now and then by a thread of its own, never while a caller waits."""

import logging
import threading
from datetime import UTC, datetime

from django.db import DatabaseError, InterfaceError, connection

from connectors.models import Credential
from connectors.models.application import LAST_USE_SECONDS
from messages.database import write

log = logging.getLogger(__name__)

DELAY_SECONDS = 2.0  # others that are used meanwhile are written along


class LastUses:
    """Remembers uses, and writes those of a credential once a minute at most. A killed process loses the newest."""

    def __init__(self, delay_seconds: float = DELAY_SECONDS) -> None:
        self._delay = delay_seconds
        self._lock = threading.Lock()
        self._noted: dict[int, float] = {}
        self._unwritten: dict[int, datetime] = {}
        self._timer: threading.Timer | None = None

    def note(self, credential_id: int, now: float) -> None:
        """`now` in Unix seconds. Costs a look into a dictionary, but once a minute."""
        if now - self._noted.get(credential_id, 0) < LAST_USE_SECONDS:
            return
        with self._lock:
            self._noted[credential_id] = now
            self._unwritten[credential_id] = datetime.fromtimestamp(now, tz=UTC)
            if self._timer is None or not self._timer.is_alive():  # a fork takes no threads along
                self._timer = threading.Timer(self._delay, self._write)
                self._timer.daemon = True
                self._timer.start()

    def clear(self) -> None:
        """Forgets everything, and waits for a write that has begun."""
        with self._lock:
            timer, self._timer = self._timer, None
            self._noted, self._unwritten = {}, {}
        if timer is not None:
            timer.cancel()
            timer.join()

    def _write(self) -> None:
        with self._lock:
            uses, self._unwritten, self._timer = self._unwritten, {}, None
        try:
            with write():
                Credential.note_uses(uses)
        except (DatabaseError, InterfaceError):
            log.exception("The last use of credentials could not be written.")
        finally:
            connection.close()


last_uses = LastUses()
