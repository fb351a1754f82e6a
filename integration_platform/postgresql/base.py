"""Named by DATABASES["default"]["ENGINE"]."""

import select
from types import TracebackType

from django.db import OperationalError
from django.db.backends.postgresql import base
from django.db.utils import DatabaseErrorWrapper
from django.utils.functional import cached_property

AWAY = frozenset(
    {
        "25006",  # read_only_sql_transaction: after a failover the server is a standby now; or its disk is nearly full
        "25P03",  # idle_in_transaction_session_timeout: this process was stopped inside a transaction
    }
)


class ErrorWrapper(DatabaseErrorWrapper):
    """Errors for which a statement is to be tried again over another connection are OperationalErrors.

    Their driver files these two under internal errors, as if the statement had been wrong.
    """

    wrapper: base.DatabaseWrapper

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is not None and getattr(error, "sqlstate", None) in AWAY:
            self.wrapper.errors_occurred = True
            self.wrapper.close_at = 0.0  # as soon as nobody uses it: the name may stand for another server by now
            raise OperationalError(*error.args).with_traceback(trace) from error
        super().__exit__(kind, error, trace)


class DatabaseWrapper(base.DatabaseWrapper):
    """CONN_HEALTH_CHECKS without a round trip for each request; a server that only reads counts as one that is away."""

    @cached_property
    def wrap_database_errors(self) -> ErrorWrapper:
        return ErrorWrapper(self)

    def is_usable(self) -> bool:
        """A server that has ended a session has said so, or closed it: there is something to be read from the socket.

        Only then it is asked. A host that vanished without a word fails the first statement either way.
        """
        if self.connection is None or self.connection.closed:
            return False
        poll = select.poll()
        poll.register(self.connection.fileno(), select.POLLIN)
        return not poll.poll(0) or bool(super().is_usable())
