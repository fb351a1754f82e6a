"""What every way to prove who we are has in common."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from connectors.transport import Kind, OutboundRequest, OutboundResponse, TransportError

Send = Callable[[OutboundRequest], OutboundResponse]


class InvalidAuth(Exception):
    """Parameters that cannot work. `field` is the parameter at fault; the text never holds its value."""

    def __init__(self, field: str, message: str) -> None:
        super().__init__(message)
        self.field = field


@dataclass(frozen=True, slots=True)
class Parameter:
    """One setting of a scheme, as the configuration file names it and the admin's form asks for it."""

    name: str
    label: str
    help: str = ""
    secret: bool = False
    required: bool = True
    default: str = ""
    choices: tuple[tuple[str, str], ...] = ()
    pairs: bool = False
    """Names and texts instead of one text."""


class Auth:
    """One way to prove who we are, with its secrets. Built once, used by many threads; its repr shows nothing.

    Building one raises InvalidAuth.
    """

    parameters: ClassVar[tuple[Parameter, ...]] = ()
    secret_headers: frozenset[str] = frozenset()
    """Headers, in lower case, whose values must not be kept."""

    def __init__(self, given: Mapping[str, Any]) -> None:
        """`given` has every parameter that is required, and perhaps the others."""

    def applied(self, request: OutboundRequest, send: Send) -> OutboundRequest:
        """The request with the proof, and less time where making it took some. Raises TransportError."""
        return request

    def renewed(self, request: OutboundRequest, refused: OutboundRequest, send: Send) -> OutboundRequest | None:
        """After a 401 to `refused`: `request` with a fresh proof, None where there is no other."""
        return None

    def proofs(self, sent: OutboundRequest) -> tuple[str, ...]:
        """The secrets in `sent` with which somebody else could pass for us; signatures of this request are none."""
        return ()


class Unusable(Auth):
    """Stands in for a proof that cannot be made, so that only the calls that need it fail."""

    def __init__(self, reason: str) -> None:
        self.reason = reason

    def applied(self, request: OutboundRequest, send: Send) -> OutboundRequest:
        raise TransportError(Kind.AUTH_REFUSED, self.reason, sent=False)
