"""A circuit breaker: nobody waits two minutes to learn what others have learnt, that an exchange is down."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial

from schemahub_lib.http.messages import Response, Trouble
from schemahub_lib.http.stats import BreakerState, Stats
from schemahub_lib.logs import event

log = logging.getLogger(__name__)

FAILURES = 5  # in a row, of whatever requests, and
OVER = 5.0  # seconds from the first to the last of them: it is no hiccup
COOL_DOWN = 5.0  # seconds from a failure to the next probe, doubled with each probe that fails, up to
LONGEST = 20.0
LOOK = 0.5  # seconds between two looks at what others have found out


class Down(Exception):
    """No request of anyone has been answered for as long as a request may take. `last` is what went wrong last."""

    def __init__(self, seconds: float, last: str) -> None:
        self.seconds, self.last = seconds, last


class Breaker:
    """Closed while the exchange answers. Opens when it answers nobody: then one request at a time probes, now and then.

    `patience` (seconds) is how long an outage is sat out, counted from its first failure and shared by all requests.
    Any answer proves that the exchange is up, a refusal too; only 'unavailable' does not. Thread-safe.
    """

    def __init__(
        self, name: str, patience: float, clock: Callable[[], float], wait: Callable[[float], None], stats: Stats
    ) -> None:
        self._name, self._patience, self._stats = name, patience, stats
        self._clock, self._wait = clock, wait
        self._lock = threading.Lock()
        self._failures = 0  # in a row
        self._since = 0.0  # the time of the first of them
        self._last = ""
        self._cool_down = COOL_DOWN
        self._probe_at = 0.0
        # A few broken products, all under way at once, look like an outage. So when they have given up, the next one
        # does not take their word for it.
        self._last_chance = True

    @property
    def state(self) -> BreakerState:
        return self._stats.breaker

    @contextmanager
    def turn(self, until: float, *, fresh: bool) -> Iterator[Callable[[Response | Trouble], None]]:
        """Wait until a request may be sent; its outcome is told to the function this gives.

        `until` is the time at which the request gives up, `fresh` whether it was never sent. Raises Down when it may
        not be sent in time, and what the wait raises.
        """
        probes = self._await(until, fresh)
        try:
            yield partial(self._learn, probes)
        finally:
            if probes:
                self._withdraw()

    def _await(self, until: float, fresh: bool) -> bool:
        """Whether the request goes as the probe."""
        while True:
            with self._lock:
                if self.state == "closed":
                    return False
                now, over = self._clock(), self._since + self._patience
                last_chance = now >= over and fresh and self._last_chance
                if self.state == "open" and now < until and (now >= self._probe_at or last_chance):
                    self._last_chance = self._last_chance and not last_chance
                    self._become("half-open")
                    return True
                if now >= until or (self.state == "open" and now >= over):
                    raise Down(now - self._since, self._last)
                delay = min(LOOK, until - now)
                if self.state == "open":
                    delay = min(delay, self._probe_at - now, over - now)
            self._wait(delay)

    def _learn(self, probed: bool, outcome: Response | Trouble) -> None:
        with self._lock:
            now = self._clock()
            if isinstance(outcome, Response) or outcome.kind != "unavailable":
                if self.state != "closed":
                    self._become("closed")
                    log.info(
                        "%s: the exchange answers again, after %.0f s",
                        *(self._name, now - self._since),
                        extra=event("exchange_back", source=self._name, seconds=now - self._since),
                    )
                self._failures = 0
                return
            if not self._failures:
                self._since = now
            self._failures += 1
            self._last = outcome.message
            if probed and self.state == "half-open":
                self._cool_down = min(2 * self._cool_down, LONGEST)
                self._probe_at = now + self._cool_down
                self._become("open")
            elif self.state == "closed" and self._failures >= FAILURES and now - self._since >= OVER:
                self._cool_down, self._probe_at, self._last_chance = COOL_DOWN, now + COOL_DOWN, True
                self._become("open")
                log.warning(
                    "%s: the exchange does not answer (%d failures in %.0f s, last: %s): asking once in %.0f s, then "
                    "at least every %.0f s until it does",
                    *(self._name, self._failures, now - self._since, self._last, COOL_DOWN, LONGEST),
                    extra=event("exchange_down", source=self._name),
                )

    def _withdraw(self) -> None:
        """A probe that ended without an outcome leaves its place to the next one."""
        with self._lock:
            if self.state == "half-open":
                self._become("open")

    def _become(self, state: BreakerState) -> None:
        log.debug("%s: circuit breaker %s", self._name, state)
        self._stats.breaker_is(state)
