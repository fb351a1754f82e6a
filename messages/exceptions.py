"""Expected failures of intake, as data."""

from typing import Any


class Refused(Exception):
    """A payload that makes no message. `slug` is that of the problem document, `errors` name the places at fault,
    `correlation_id` the message that stands in its way."""

    def __init__(
        self,
        slug: str,
        detail: str,
        errors: list[dict[str, str]] | None = None,
        *,
        correlation_id: str | None = None,
    ) -> None:
        super().__init__(detail)
        self.slug = slug
        self.detail = detail
        self.errors = errors
        self.correlation_id = correlation_id

    def extra(self) -> dict[str, Any]:
        found = {"errors": self.errors, "correlation_id": self.correlation_id}
        return {name: value for name, value in found.items() if value is not None}


class NotPossible(Exception):
    """An operator's verb that does not fit the state that the row is in by now; the text says so to people."""


class ConfigurationChanged(Exception):
    """Somebody has changed the configuration since the plan at hand was made: look again and begin anew."""


class LaneUnavailable(Exception):
    """A synchronous message cannot take its turn: its lane stands, or its endpoint is not called.

    `slug` is that of the problem, `retry_after` in seconds.
    """

    def __init__(self, slug: str, detail: str, *, retry_after: int = 30) -> None:
        super().__init__(detail)
        self.slug = slug
        self.detail = detail
        self.retry_after = retry_after
