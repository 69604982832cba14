"""Rate limits as the exchanges keep them. They run on real time, whatever the simulator's clock does."""

from __future__ import annotations

import math
import time
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass


class TokenBuckets:
    """One bucket a scope, which refills at `rate` a second up to `burst`."""

    def __init__(self, rate: float, burst: float, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._rate, self._burst, self._monotonic = rate, burst, monotonic
        self._levels: dict[str, tuple[float, float]] = {}

    def take(self, scope: str = "") -> bool:
        """Whether one more request of this scope may pass."""
        now = self._monotonic()
        level, then = self._levels.get(scope, (self._burst, now))
        level = min(self._burst, level + (now - then) * self._rate)
        passes = level >= 1.0
        self._levels[scope] = (level - 1.0 if passes else level, now)
        return passes


@dataclass(frozen=True)
class Refusal:
    status: int  # 429, or 418 for a ban
    retry_after: int  # seconds


class WeightWindow:
    """Binance's count: `limit` of weight a minute; going on `patience` times after a 429 is a two-minute ban."""

    def __init__(self, limit: int, patience: int = 10, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._limit, self._patience, self._monotonic = limit, patience, monotonic
        self._used: dict[int, int] = defaultdict(int)
        self._ignored = 0
        self._banned_until = 0.0

    def spend(self, weight: int) -> tuple[int, Refusal | None]:
        """The weight used in this minute, this request included, and the refusal if that is too much."""
        now = self._monotonic()
        minute = int(now // 60)
        if minute not in self._used:
            self._used.clear()
            self._ignored = 0
        self._used[minute] += weight
        used = self._used[minute]
        if now < self._banned_until:
            return used, Refusal(418, math.ceil(self._banned_until - now))
        if used <= self._limit:
            return used, None
        self._ignored += 1
        if self._ignored > self._patience:
            self._banned_until = now + 120.0
            return used, Refusal(418, 120)
        return used, Refusal(429, math.ceil((minute + 1) * 60 - now))
