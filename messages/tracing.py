"""W3C Trace Context (https://www.w3.org/TR/trace-context/): a message goes on in the trace that it came in.

A source's `traceparent` and `tracestate` are kept with the message. Each attempt continues that trace with a span id of
its own; a message that came without a trace begins one, whose id follows from its correlation id, so that all of its
attempts are in it and nothing more has to be stored.
"""

import re
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from uuid import UUID

TRACEPARENT = "traceparent"
TRACESTATE = "tracestate"
MAX_TRACESTATE = 512  # what has to be passed on (section 3.3.1.5)
MAX_MEMBERS = 32
KNOWN_LENGTH = 55  # of a traceparent; what a later version says behind it cannot be passed on by us
SAMPLED = 0x01
KNOWN_FLAGS = SAMPLED

# section 3.2: version, trace id, parent id and flags in lower case; a later version may say more behind a further dash
_TRACEPARENT = re.compile(r"([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?\Z", re.ASCII | re.DOTALL)
# section 3.3.1: key=value; a key is a name or tenant@system, a value has no comma, no equals sign, no space at its end
_KEY = r"(?:[a-z][a-z0-9_\-*/]{0,255}|[a-z0-9][a-z0-9_\-*/]{0,240}@[a-z][a-z0-9_\-*/]{0,13})"
_MEMBER = re.compile(rf"({_KEY})=([\x20-\x2b\x2d-\x3c\x3e-\x7e]{{0,255}}[\x21-\x2b\x2d-\x3c\x3e-\x7e])\Z", re.ASCII)


@dataclass(frozen=True, slots=True)
class Trace:
    """Where a trace stands: `trace_id` (32 hexadecimal digits), the caller's span, flags, and the vendors' state."""

    trace_id: str
    parent_id: str = ""
    flags: int = SAMPLED
    state: str = ""

    def next_span(self) -> dict[str, str]:
        """The headers of a call that goes on in this trace, as a new span."""
        headers = {TRACEPARENT: f"00-{self.trace_id}-{_span_id()}-{self.flags:02x}"}
        return {**headers, TRACESTATE: self.state} if self.state else headers


def received(headers: Mapping[str, str]) -> dict[str, str]:
    """What is kept of a request's headers (any spelling of the names): valid ones only.

    Without a valid traceparent there is nothing to continue, and a tracestate alone means nothing. An invalid
    tracestate does not make the traceparent invalid (section 3.3).
    """
    sent = {name.lower(): value for name, value in headers.items()}
    parent = sent.get(TRACEPARENT, "").strip(" \t")
    if _parsed(parent) is None:
        return {}
    state = _state(sent.get(TRACESTATE, ""))
    return {TRACEPARENT: parent[:KNOWN_LENGTH], **({TRACESTATE: state} if state else {})}


def trace_of(headers: Mapping[str, str], correlation_id: UUID) -> Trace:
    """The trace of a stored message, by its kept headers; without one, the one that its correlation id begins."""
    kept = received(headers)
    parsed = _parsed(kept.get(TRACEPARENT, ""))
    if parsed is None:
        return Trace(correlation_id.hex)
    trace_id, parent_id, flags = parsed
    return Trace(trace_id, parent_id, flags, kept.get(TRACESTATE, ""))


def _parsed(text: str) -> tuple[str, str, int] | None:
    """Trace id, parent id and flags; of a version above 00 as much as 00 knows (section 4.1)."""
    found = _TRACEPARENT.match(text)
    if found is None:
        return None
    version, trace_id, parent_id, flags, more = found.groups()
    if version == "ff" or (version == "00" and more is not None) or not trace_id.strip("0") or not parent_id.strip("0"):
        return None
    return trace_id, parent_id, int(flags, 16) & KNOWN_FLAGS


def _state(text: str) -> str:
    """The list of vendors as it is passed on; empty when any member is wrong or there are too many.

    Beyond 512 characters, members longer than 128 go first, then those at the end (section 3.3.1.5).
    """
    members = [member.strip(" \t") for member in text.split(",")]
    found = [_MEMBER.match(member) for member in members if member]
    keys = [member[1] for member in found if member is not None]
    if len(keys) != len(found) or len(keys) > MAX_MEMBERS or len(set(keys)) != len(keys):
        return ""
    kept = [member[0] for member in found if member is not None]
    while len(",".join(kept)) > MAX_TRACESTATE:
        long = [member for member in kept if len(member) > 128]
        kept.remove(long[-1] if long else kept[-1])
    return ",".join(kept)


def _span_id() -> str:
    while not (number := secrets.randbits(64)):
        pass  # all zeros mean none
    return f"{number:016x}"
