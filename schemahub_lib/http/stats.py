"""What a client counts while it works."""

from __future__ import annotations

import threading
from typing import Literal

# Of a circuit breaker: everybody asks; nobody asks; one request finds out whether the exchange is back.
BreakerState = Literal["closed", "open", "half-open"]


class Stats:
    """What a client has sent and received so far, and how the exchange took it. Safe to read from any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.requests = 0  # tries, the first ones and the repeated
        self.retries = 0
        self.throttled = 0  # answers that said 'too many requests'
        self.bytes = 0  # of answers' bodies, as received
        self.pace = 1.0  # the lowest so far, as a part of the documented rate limit
        self.breaker: BreakerState = "closed"
        self.breaker_opened = 0  # how often

    def add(self, *, requests: int = 0, retries: int = 0, throttled: int = 0, bytes: int = 0) -> None:
        with self._lock:
            self.requests += requests
            self.retries += retries
            self.throttled += throttled
            self.bytes += bytes

    def paced(self, pace: float) -> bool:
        """Note a pace; whether it is the lowest so far."""
        with self._lock:
            lower = pace < self.pace
            self.pace = min(pace, self.pace)
            return lower

    def breaker_is(self, state: BreakerState) -> None:
        with self._lock:
            self.breaker_opened += self.breaker == "closed" and state == "open"
            self.breaker = state
