"""What all schemes share: what they are made of, what they are asked, and what they answer."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any


class NotAuthentic(Exception):
    """What was sent proves nothing; the text says why, to support staff and to nobody else."""


class InvalidCredential(Exception):
    """A credential that cannot work as it is configured. `field` is the setting at fault: secret, header, template …"""

    def __init__(self, field: str, message: str) -> None:
        super().__init__(message)
        self.field = field


@dataclass(frozen=True, slots=True)
class Secret:
    """One secret of a credential, in force until `until` (Unix seconds; None: until it is replaced)."""

    value: str
    """Plain; of an API key what `hash_key` made of it."""
    until: float | None = None

    def in_force(self, now: float) -> bool:
        return self.until is None or self.until > now

    def __repr__(self) -> str:
        return f"Secret(until={self.until})"


@dataclass(frozen=True, slots=True)
class Request:
    """What a caller sent. Header names are in lower case; the body is None where nobody reads it."""

    headers: Mapping[str, bytes]
    body: bytes | None
    now: float
    """Unix seconds."""


@dataclass(frozen=True, slots=True)
class Proof:
    """A request that was proven. `own_id` is the sender's own name for the message, under `id_name`, if it has one."""

    id_name: str = ""
    own_id: bytes | None = None


class Scheme:
    """One way to prove who calls, with its secrets. Built once, used by many threads.

    `verify` returns the proof or raises NotAuthentic, and nothing else whatever the request holds. Building one raises
    InvalidCredential.
    """

    def __init__(self, stored: Sequence[Secret], options: Mapping[str, Any]) -> None:
        raise NotImplementedError

    def verify(self, request: Request) -> Proof:
        raise NotImplementedError
