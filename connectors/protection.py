"""When the calls of an endpoint are held back. Pure values, checked when they are made."""

import math
from dataclasses import dataclass

MAX_RETRY_AFTER_SECONDS = 3600.0


@dataclass(frozen=True, slots=True)
class CircuitPolicy:
    """An endpoint's circuit opens when `failure_share` (0 to 1) of at least `minimum_calls` calls of the last
    `window_seconds` failed; `open_seconds` later one call is tried."""

    enabled: bool = True
    failure_share: float = 0.5
    minimum_calls: int = 20
    window_seconds: float = 60.0
    open_seconds: float = 30.0

    def __post_init__(self) -> None:
        numbers = (self.failure_share, self.window_seconds, self.open_seconds)
        if not all(math.isfinite(number) and number > 0 for number in numbers) or self.minimum_calls < 1:
            raise ValueError("A circuit needs a share, a number of calls and times above zero.")

    def wait(self, retry_after: float | None) -> float:
        """Seconds until one call is tried: longer where the destination asked for it (Retry-After), an hour at most."""
        return max(self.open_seconds, min(retry_after or 0.0, MAX_RETRY_AFTER_SECONDS))

    def trips(self, calls: int, failures: int) -> bool:
        return self.enabled and calls >= self.minimum_calls and failures >= calls * self.failure_share


@dataclass(frozen=True, slots=True)
class CallLimits:
    """How many calls may be out at once, and how many may begin within `seconds`; None: as many as wanted."""

    max_concurrent: int | None = None
    calls: int | None = None
    seconds: float = 1.0

    def __post_init__(self) -> None:
        if any(number is not None and number < 1 for number in (self.max_concurrent, self.calls)) or self.seconds <= 0:
            raise ValueError("A limit is at least one call, and a period is longer than nothing.")

    def __bool__(self) -> bool:
        return self.max_concurrent is not None or self.calls is not None
