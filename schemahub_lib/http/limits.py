"""Keeps what we send to an exchange within its rate limit, and within less where the exchange grants less."""

from __future__ import annotations

import math
import threading
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from itertools import takewhile

from schemahub_lib.http.messages import RateLimit

SHARE = 0.99  # of the rate allowed, and
BURST = 2 / 3  # of the burst: what the network bunches up on the way still fits the exchange's own bucket
DUST = 1e-6  # seconds not worth waiting for

SLOWEST = 0.05  # a pace that no refusal lowers
# How a pace grows again, in parts of the refused one a second. Simulated against buckets that grant 10 to 80 % of the
# documented rate: a slower growth near the refused pace is refused less often, a faster one forgets a stray 429 sooner.
QUICKLY = 0.05
SLOWLY = 0.002
NEAR = 0.1  # of the refused pace, on both sides of it
SHARED = 0.2  # of a window still to come when it is used up: then it is not us alone who use it


class Paused(Exception):
    """The exchange asked for a longer pause than the caller will wait."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds


@dataclass(frozen=True, slots=True)
class Pace:
    """The part of the documented rate that is used: `lowest` at the time `since`, because `refused` was too much."""

    lowest: float
    refused: float
    since: float

    def at(self, now: float) -> float:
        """The pace by `now`, in (0, 1]: it grows with time, slowly only near the one that was refused."""
        pace, left, refused = self.lowest, max(now - self.since, 0.0), self.refused
        below, above = (1 - NEAR) * refused, (1 + NEAR) * refused
        for upto, growth in ((below, QUICKLY * refused), (above, SLOWLY * refused), (1.0, QUICKLY)):
            grown = min(max(upto, pace), pace + left * growth, 1.0)
            left -= (grown - pace) / growth
            pace = grown
        return pace


FULL = Pace(1.0, 1.0, -math.inf)


class RateLimiter:
    """A token bucket, or one a scope, shared by every thread that talks to an exchange.

    Each bucket is one number, the time at which it will be full again, so a wait that overshoots costs nothing later.
    Those who wait for one have their turns in the order in which they came, so that no product starves.
    Its pace is halved when the exchange refuses a request and grows again with time (AIMD).
    """

    def __init__(self, limit: RateLimit, clock: Callable[[], float], wait: Callable[[float], None]) -> None:
        self._per_scope, self._window = limit.per_scope, limit.seconds
        self._clock, self._wait = clock, wait
        self._interval = limit.seconds / limit.units / SHARE
        self._depth = max(limit.burst * BURST, 1.0) * self._interval
        self._lock = threading.Lock()
        self._full_at: dict[str, float] = {}
        self._waiting: defaultdict[str, dict[object, float]] = defaultdict(dict)  # their weights, in order
        self._paces: dict[str, Pace] = {}
        self._paused_until = 0.0

    def acquire(self, weight: float = 1.0, scope: str = "", *, patience: float = math.inf) -> float:
        """Wait until a request of this weight may go, and return the time by then.

        Raises Paused if a pause has more than `patience` seconds left, and what the wait raises.
        """
        bucket, turn = self._bucket(scope), object()
        try:
            while (delay := self._take(weight, bucket, turn, patience)) > 0:
                self._wait(delay)
        finally:
            with self._lock:
                self._waiting[bucket].pop(turn, None)
        return self._clock()

    def pause(self, seconds: float) -> None:
        """Hold everyone back for a time, after which all buckets are empty: the exchange has said that they are."""
        with self._lock:
            self._paused_until = max(self._paused_until, self._clock() + seconds)
            for scope, full_at in self._full_at.items():
                self._full_at[scope] = max(full_at, self._paused_until + self._depth)

    def throttled(self, seconds: float, sent: float, scope: str = "") -> float:
        """A request sent at `sent` (see `acquire`) was refused as too much: pause, then go on at half the pace.

        Requests under way together are refused together, and slow their bucket down once. Returns its pace.
        """
        self.pause(seconds)
        return self._slow_down(self._bucket(scope), sent, factor=0.5, refused=1.0)

    def used_up(self, seconds: float, sent: float, scope: str = "") -> float:
        """The exchange has counted nearly all that its window allows, of which `seconds` are left: pause that long.

        When that is much of the window, others use it too: go on at the pace that would have lasted to its end.
        Returns the bucket's pace.
        """
        self.pause(seconds)
        left = seconds / self._window
        factor = max(1 - left, 0.5) if left > SHARED else 1.0
        return self._slow_down(self._bucket(scope), sent, factor, refused=factor)

    def _bucket(self, scope: str) -> str:
        return scope if self._per_scope else ""

    def _slow_down(self, scope: str, sent: float, factor: float, refused: float) -> float:
        with self._lock:
            now = self._clock()
            known = self._paces.get(scope, FULL)
            pace = known.at(now)
            if factor == 1.0 or sent < known.since:
                return pace
            slower = max(pace * factor, SLOWEST)
            self._paces[scope] = Pace(slower, pace * refused, max(self._paused_until, now))
            return slower

    def _take(self, weight: float, scope: str, turn: object, patience: float) -> float:
        """Take from the bucket and return 0, or return the seconds to wait before another try."""
        with self._lock:
            now = self._clock()
            if self._paused_until - now > patience:
                raise Paused(self._paused_until - now)
            full_at = max(self._full_at.get(scope, now), now)
            unit = self._interval / self._paces.get(scope, FULL).at(now)
            waiting = self._waiting[scope]
            waiting.setdefault(turn, weight)
            before = sum(weight for _, weight in takewhile(lambda other: other[0] is not turn, waiting.items()))
            cost = weight * unit
            free_at = full_at + before * unit + min(cost, self._depth) - self._depth
            delay = max(free_at, self._paused_until) - now
            if delay > DUST:
                return delay
            self._full_at[scope] = full_at + cost
            return 0.0
