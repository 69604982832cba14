"""The only place that sends: drives a connector's conversations with one rate limit, retry policy and breaker."""

from __future__ import annotations

import logging
import math
import random
import re
import threading
import time
from collections.abc import Callable, Generator
from dataclasses import replace
from datetime import UTC, datetime
from typing import Protocol, TypeVar
from urllib.parse import urlsplit

from schemahub_lib.errors import ExchangeError, ExchangeUnavailable, Interrupted, RequestRejected, UsageError
from schemahub_lib.http.breaker import Breaker, Down
from schemahub_lib.http.limits import Paused, RateLimiter
from schemahub_lib.http.messages import Credentials, Flow, Page, RateLimit, Request, Response, Trouble
from schemahub_lib.http.retry import DEADLINE, backoff
from schemahub_lib.http.stats import Stats
from schemahub_lib.http.transport import ConnectionFailed, Live, Transport
from schemahub_lib.logs import event

log = logging.getLogger(__name__)

_HOST = re.compile(r"[A-Za-z0-9._\-:\[\]]+")

SAID_AT = 4  # failures of one request after which people are told that it is still being tried, some seconds in

T = TypeVar("T")
E = TypeVar("E", bound=ExchangeError)


class Venue(Protocol):
    """What the client needs to know of an exchange."""

    @property
    def name(self) -> str: ...
    @property
    def base_url(self) -> str: ...
    @property
    def rate_limit(self) -> RateLimit: ...
    def trouble(self, response: Response) -> Trouble | None: ...
    def sign(self, request: Request, credentials: Credentials, now: float) -> Request: ...
    def pause_after(self, response: Response) -> float: ...


class HttpClient:
    """One exchange's HTTP client, for any number of threads. Close it, or use it as a context manager.

    `deadline` is in seconds, from a request's first try until ExchangeUnavailable; while the exchange answers nobody,
    all requests share one, from the first failure. Setting `stop` ends every wait at once with Interrupted. `clock` is
    monotonic, `now` is seconds since 1970. Raises UsageError for a base URL or a key that cannot work.
    """

    def __init__(
        self,
        venue: Venue,
        *,
        base_url: str | None = None,
        credentials: Credentials | None = None,
        deadline: float = DEADLINE,
        stop: threading.Event | None = None,
        transport: Transport | None = None,
        clock: Callable[[], float] = time.monotonic,
        now: Callable[[], float] = time.time,
        sleep: Callable[[float], object] | None = None,
    ) -> None:
        self._venue, self._credentials, self._deadline = venue, credentials, deadline
        self._base_url = base_url or venue.base_url
        self._setting = f"SCHEMAHUB_{venue.name.upper()}_URL"
        if not _is_base_url(self._base_url):
            told = f"{self._setting} is not a URL such as {venue.base_url}"
            raise UsageError(f"{told}: scheme, host and perhaps port and path, but no user, query or fragment")
        if credentials is not None:
            venue.sign(Request("/"), credentials, now())
        self._stop = stop or threading.Event()
        self._clock, self._now, self._sleep = clock, now, sleep or self._stop.wait
        self._transport = transport or Live(self._base_url)
        self._limiter = RateLimiter(venue.rate_limit, clock, self._wait)
        self.stats = Stats()
        self._breaker = Breaker(venue.name, deadline, clock, self._wait, self.stats)

    def __enter__(self) -> HttpClient:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def close(self) -> None:
        self._transport.close()

    def pages(self, flow: Flow[T]) -> Generator[Page, None, T]:
        """Drive a flow: its requests are sent, its pages handed on. Raises ExchangeError and Interrupted."""
        answer: Response | None = None
        try:
            while True:
                try:
                    step = flow.send(answer)
                except StopIteration as end:
                    value: T = end.value
                    return value
                if isinstance(step, Page):
                    answer = None
                    yield step
                else:
                    answer = self.send(step)
        finally:
            flow.close()

    def ask(self, flow: Flow[T]) -> T:
        """The value of a flow that yields no pages. Raises ExchangeError and Interrupted."""
        driven = self.pages(flow)
        try:
            page = next(driven)
        except StopIteration as end:
            value: T = end.value
            return value
        raise TypeError(f"this flow yields pages ({len(page)} trades): use pages()")

    def send(self, request: Request) -> Response:
        """A good answer to `request`.

        Raises RequestRejected at once when the exchange refuses it, ExchangeUnavailable when every try until the
        deadline failed or nobody is answered, Interrupted.
        """
        until, failures, failed = math.inf, 0, ""
        while True:
            try:
                with self._breaker.turn(until, fresh=not failures) as learn:
                    sent = self._admit(request)
                    until = min(until, sent + self._deadline)
                    self.stats.add(requests=1, retries=1 if failures else 0)
                    outcome = self._try(request, sent, max(until - sent, 1.0))
                    learn(outcome)
            except Down as outage:
                raise self._unanswered(request, outage, failures, failed, until) from None
            if isinstance(outcome, Response):
                return outcome
            if outcome.kind == "rejected":
                raise self._error(RequestRejected, outcome.message, request)
            failures, failed = failures + 1, outcome.message
            left = until - self._clock()
            log.debug("%s %s: try %d failed: %s", self._venue.name, request.path, failures, failed)
            if failures == SAID_AT:
                log.info("%s: %s; trying again for up to %.0f s", self._venue.name, failed, left)
            down = outcome.kind == "unavailable" and outcome.retry_after is None and self._breaker.state != "closed"
            delay = (
                0.0 if down else backoff(failures, outcome.retry_after, random.random())
            )  # the breaker makes it wait
            if outcome.kind == "throttled":
                self.stats.add(throttled=1)
                self._paced(self._limiter.throttled(delay, sent, request.scope))
            if left <= 0 or (delay > left and outcome.retry_after):
                asked = f", and it asks to wait {delay:.0f} s" if outcome.retry_after else ""
                raise self._error(ExchangeUnavailable, self._gave_up(failures, failed, until, asked), request)
            self._wait(min(delay, left))  # the last try is made when the time is up, and not given away

    def _try(self, request: Request, sent: float, timeout: float) -> Response | Trouble:
        signed = request
        if self._credentials is not None:
            signed = self._venue.sign(request, self._credentials, self._now())
        try:
            response = replace(self._transport.send(signed, timeout), request=request)
        except ConnectionFailed as failure:
            where = f"no complete answer from {self._base_url}: {failure}"
            return Trouble("unavailable", f"{where}. Check the network, or {self._setting} where it is set")
        self.stats.add(bytes=response.size)
        pause = self._venue.pause_after(response)
        if pause:
            self._paced(self._limiter.used_up(pause, sent, request.scope))
        return self._venue.trouble(response) or _not_json(response) or response

    def _admit(self, request: Request) -> float:
        """Wait for the request's turn, unless the exchange wants us to wait for hours; the time by then."""
        self._wait(0.0)
        try:
            return self._limiter.acquire(request.weight, request.scope, patience=self._deadline)
        except Paused as paused:
            message = f"the exchange asked not to be called for another {paused.seconds:.0f} s: run again after that"
            raise self._error(ExchangeUnavailable, message, request) from None

    def _paced(self, pace: float) -> None:
        if self.stats.paced(pace):
            log.info(
                "%s: slowing down to %.0f %% of its rate limit",
                *(self._venue.name, 100 * pace),
                extra=event("slowed_down", source=self._venue.name, pace=pace),
            )

    def _unanswered(self, request: Request, outage: Down, failures: int, failed: str, until: float) -> ExchangeError:
        if failures:
            message = self._gave_up(failures, failed, until)
        else:
            since = datetime.fromtimestamp(self._now() - outage.seconds, UTC)
            message = (
                f"not asked, because the exchange has answered nothing since {since:%H:%M:%S} UTC, "
                f"{outage.seconds:.0f} s ago (last: {outage.last}); run again when it answers"
            )
        return self._error(ExchangeUnavailable, message, request)

    def _gave_up(self, failures: int, failed: str, until: float, asked: str = "") -> str:
        spent = self._clock() - (until - self._deadline)
        tries = f"{failures} tries in {spent:.0f} s" if failures > 1 else "one try"
        return f"{failed} (gave up after {tries}{asked})"

    def _wait(self, seconds: float) -> None:
        self._sleep(seconds)
        if self._stop.is_set():
            raise Interrupted(f"{self._venue.name}: stopped while fetching; what was published stays")

    def _error(self, kind: type[E], message: str, request: Request) -> E:
        return kind(message, exchange=self._venue.name, endpoint=request.path, product=request.product)


def _is_base_url(url: str) -> bool:
    """Whether a request can go there. A user or a query would be a secret, and messages show the URL."""
    try:
        address = urlsplit(url)
        plain = _HOST.fullmatch(address.netloc) and not address.query and not address.fragment
        return bool(plain and address.hostname and address.scheme in ("http", "https") and address.port != 0)
    except ValueError:  # brackets that do not match, a port that is no number
        return False


def _not_json(response: Response) -> Trouble | None:
    """A gateway's page, or half a body, under HTTP 200."""
    text = response.text.strip()
    if text.startswith(("{", "[")) and text.endswith(("}", "]")):
        return None
    return Trouble("unavailable", f"answered HTTP {response.status} with something other than JSON: {text[:80]!r}")
