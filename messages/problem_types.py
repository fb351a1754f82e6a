"""What each type of problem means and what its reader can do: for people, and for whoever follows `type`."""

from dataclasses import dataclass
from typing import Any

from messages.problems import PROBLEMS, type_of


@dataclass(frozen=True, slots=True)
class ProblemType:
    """`again`: whether the same request may succeed later, unchanged."""

    slug: str
    status: int
    title: str
    meaning: str
    remedy: str
    again: bool

    def document(self) -> dict[str, Any]:
        return {
            "type": type_of(self.slug),
            "title": self.title,
            "status": self.status,
            "meaning": self.meaning,
            "remedy": self.remedy,
            "again": self.again,
        }


# slug: what it means, what to do, whether the same request may succeed later
_TEXTS = {
    "malformed-body": (
        "The body is not what its Content-Type says, or it broke off. No message was made.",
        "The detail names the place. Send the body again once it is well-formed.",
        False,
    ),
    "malformed-header": (
        "A header cannot be used as it was written, so nobody could say what was meant. No message was made.",
        "The detail names the header and its rule.",
        False,
    ),
    "malformed-request": (
        "A part of the request cannot be read: its address, its query or its Host.",
        "The detail says which. Correct it and send it again.",
        False,
    ),
    "authentication-failed": (
        "No credential of the route's application fits what was sent. Outsiders are told no more than that.",
        (
            "Send an API key, HTTP Basic, or the agreed signature over the exact bytes of the body. Support staff find "
            "the reason for each credential under Rejections, by the X-Request-ID of the answer."
        ),
        False,
    ),
    "forbidden": ("What was asked for is not allowed.", "Ask those who run the platform.", False),
    "not-found": (
        (
            "There is nothing at this address, or nothing for this caller: a route of another name or one that is "
            "disabled, a pattern that the route does not allow, or a result of another application."
        ),
        "Compare the address with the one that was agreed on.",
        False,
    ),
    "method-not-allowed": (
        "The address takes other methods.",
        "The header Allow lists them: webhooks take POST, results GET.",
        False,
    ),
    "request-timeout": (
        "The body did not arrive in time. No message was made.",
        "Send it again, over a connection that does not stop halfway.",
        True,
    ),
    "in-progress": (
        "The first request with this idempotency key has not been answered yet.",
        "Wait as long as Retry-After says and repeat it, or read the result under the correlation id.",
        True,
    ),
    "gone": (
        "The payload has been removed, as the route's retention says; that the message was there is still known.",
        "Nothing brings it back. What became of it is told by support staff.",
        False,
    ),
    "body-too-large": (
        "The body is larger than the route takes. No message was made.",
        "Send less at once, or ask for a higher limit of the route.",
        False,
    ),
    "unsupported-media-type": (
        "The body's Content-Type, charset or Content-Encoding is not read here. No message was made.",
        "The headers Accept-Post or Accept-Encoding list what is.",
        False,
    ),
    "invalid-payload": (
        (
            "The body was read, but does not fit the route's schema or lacks the key by which messages are ordered. "
            "No message was made."
        ),
        "The list errors names each place and its rule.",
        False,
    ),
    "mapping-failed": (
        "The message was stored, but the destination's form could not be made of it, or the answer's of the reply.",
        "The list errors names each row that failed. The message is kept under its correlation id.",
        False,
    ),
    "idempotency-mismatch": (
        "The idempotency key came with another body before. The first message stands, no other was made.",
        "Use a new key for a new message; the correlation id is that of the first.",
        False,
    ),
    "rate-limited": (
        "The application has pushed as many messages in this minute as it may. No message was made.",
        "Wait as long as Retry-After says. RateLimit tells with each answer what is left.",
        True,
    ),
    "internal-error": (
        "The platform failed. It is logged.",
        "Repeat the request with the same idempotency key, and tell support staff the X-Request-ID.",
        True,
    ),
    "destination-refused": (
        "The destination refused the message, which ended as failed.",
        "destination_status says how. Correct the payload and send it as a new message; support staff may retry it.",
        False,
    ),
    "destination-failed": (
        "The destination did not confirm: it failed, or it could not be reached. The message ended as failed.",
        "Send it as a new message later, or ask support staff to retry it.",
        False,
    ),
    "cancelled": (
        "A person cancelled the message before it was confirmed.",
        "Ask support staff for the reason; send a new message if it is still wanted.",
        False,
    ),
    "paused": (
        "The route, its endpoint or the lane is paused, so nobody can wait for a confirmation. No message was made.",
        "Wait as long as Retry-After says, or push it asynchronously: it waits in its lane.",
        True,
    ),
    "lane-blocked": (
        "An earlier message of the same lane could not be delivered and waits for a person. No message was made.",
        "Push it asynchronously, or repeat it once support staff have acted.",
        True,
    ),
    "circuit-open": (
        "The destination has failed so often that it is left alone for a while. No message was made.",
        "Wait as long as Retry-After says, or push it asynchronously.",
        True,
    ),
    "unavailable": (
        "The platform cannot do this now: its database is away, or it has too much in hand.",
        "Repeat it as Retry-After says; what is sent with the same idempotency key is stored once.",
        True,
    ),
    "deadline-passed": (
        "The destination did not confirm in time. The message is stored and goes on to its end.",
        "Read the result at the address in Location. Do not send it again without the same idempotency key.",
        False,
    ),
}

TYPES = {
    slug: ProblemType(slug, status, title, *_TEXTS[slug][:2], again=_TEXTS[slug][2])
    for slug, (status, title) in PROBLEMS.items()
}
