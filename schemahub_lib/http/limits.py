"""Keeps what we send to an exchange within its rate limit."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable

from schemahub_lib.http.messages import RateLimit

PACE = 0.99  # of the rate allowed, and
BURST = 2 / 3  # of the burst: what the network bunches up on the way still fits the exchange's own bucket
DUST = 1e-6  # seconds not worth waiting for


class Paused(Exception):
    """The exchange asked for a longer pause than the caller will wait."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds


class RateLimiter:
    """A token bucket, or one a scope, shared by every thread that talks to an exchange.

    Each bucket is one number, the time at which it will be full again, so a wait that overshoots costs nothing later.
    """

    def __init__(self, limit: RateLimit, clock: Callable[[], float], wait: Callable[[float], None]) -> None:
        self._per_scope = limit.per_scope
        self._clock, self._wait = clock, wait
        self._interval = limit.seconds / limit.units / PACE
        self._depth = max(limit.burst * BURST, 1.0) * self._interval
        self._lock = threading.Lock()
        self._full_at: dict[str, float] = {}
        self._paused_until = 0.0

    def acquire(self, weight: float = 1.0, scope: str = "", *, patience: float = math.inf) -> None:
        """Wait until a request of this weight may go. Raises Paused if a pause has more than `patience` seconds left,
        and what the wait raises.
        """
        while (delay := self._take(weight, scope if self._per_scope else "", patience)) > 0:
            self._wait(delay)

    def pause(self, seconds: float) -> None:
        """Hold everyone back for a time, after which all buckets are empty: the exchange has said that they are."""
        with self._lock:
            self._paused_until = max(self._paused_until, self._clock() + seconds)
            for scope, full_at in self._full_at.items():
                self._full_at[scope] = max(full_at, self._paused_until + self._depth)

    def _take(self, weight: float, scope: str, patience: float) -> float:
        """Take from the bucket and return 0, or return the seconds to wait before another try."""
        with self._lock:
            now = self._clock()
            if self._paused_until - now > patience:
                raise Paused(self._paused_until - now)
            full_at = max(self._full_at.get(scope, now), now)
            cost = weight * self._interval
            free_at = full_at + min(cost, self._depth) - self._depth
            delay = max(free_at, self._paused_until) - now
            if delay > DUST:
                return delay
            self._full_at[scope] = full_at + cost
            return 0.0
