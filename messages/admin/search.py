"""Finding messages by what a person has at hand: by index only, never by a scan."""

from typing import Any
from uuid import UUID

from messages.models import Message, SearchKey

PREFIX_DIGITS = 8
MOST = 1000


def find(messages: Any, term: str) -> Any:
    """Those of `messages` (a queryset) that `term` names; all of them where it is empty.

    A term is a correlation id, the beginning of one (eight digits at least), a search key `order:4711`, or just its
    value. Where it can be read in several ways, the first that finds something counts; digits alone are an order's
    number before they are the beginning of an id.
    """
    if not term:
        return messages
    span = correlation_span(term)
    if span is None:
        return messages.filter(pk__in=_with_key(term))
    # ids sort by time, as primary keys do; this order comes out of the index
    begins_so = messages.filter(correlation_id__range=span).order_by("-correlation_id")
    if not term.isdigit() and Message.objects.filter(correlation_id__range=span).exists():
        return begins_so
    keyed = _with_key(term)
    return messages.filter(pk__in=keyed) if keyed else begins_so


def correlation_span(term: str) -> tuple[UUID, UUID] | None:
    """The first and last id that begin with `term`; None if it does not look like the beginning of one.

    A range and not a `startswith`: ids are stored as bytes on one database and as text on the other, and both sort.
    """
    digits = term.replace("-", "").lower()
    if not PREFIX_DIGITS <= len(digits) <= 32 or any(digit not in "0123456789abcdef" for digit in digits):
        return None
    return UUID(digits.ljust(32, "0")), UUID(digits.ljust(32, "f"))


def _with_key(term: str) -> list[int]:
    """The newest messages with this search key. A value may hold a colon of its own."""
    name, colon, value = term.partition(":")
    if colon and (found := _newest(SearchKey.objects.filter(name=name.strip(), value=value.strip()))):
        return found
    return _newest(SearchKey.objects.filter(value=term))


def _newest(keys: Any) -> list[int]:
    # by the column: ordering by the relation would join the messages to sort by their own default order
    return list(keys.order_by("-message_id").values_list("message_id", flat=True)[:MOST])
