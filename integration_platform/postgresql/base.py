"""Named by DATABASES["default"]["ENGINE"]."""

import select

from django.db.backends.postgresql import base


class DatabaseWrapper(base.DatabaseWrapper):
    """CONN_HEALTH_CHECKS without a round trip for each request."""

    def is_usable(self) -> bool:
        """A server that has ended a session has said so, or closed it: there is something to be read from the socket.

        Only then it is asked. A host that vanished without a word fails the first statement either way.
        """
        if self.connection is None or self.connection.closed:
            return False
        poll = select.poll()
        poll.register(self.connection.fileno(), select.POLLIN)
        return not poll.poll(0) or bool(super().is_usable())
