"""The simulator: the exchanges' servers on loopback, in a background thread or for the command line."""

from __future__ import annotations

import asyncio
import signal
import threading
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import datetime
from functools import partial
from pathlib import Path
from time import time_ns
from types import TracebackType
from typing import Any

import orjson
from aiohttp import web

from schemahub_lib.errors import UsageError
from schemahub_lib.simulator import binance, coinbase, kraken, okx
from schemahub_lib.simulator.api import Api
from schemahub_lib.simulator.clock import Clock, iso
from schemahub_lib.simulator.exchange_server import ExchangeServer
from schemahub_lib.simulator.faults import Fault, Faults, parse_faults
from schemahub_lib.simulator.feeds import FEEDS
from schemahub_lib.simulator.listings import ns
from schemahub_lib.simulator.market import Market
from schemahub_lib.simulator.market import scenario as find_scenario
from schemahub_lib.simulator.recorded import RecordedSource
from schemahub_lib.simulator.source import Dialect, ModelSource, Source

APIS: dict[str, tuple[type[Api], Dialect]] = {
    "coinbase": (coinbase.Coinbase, coinbase.DIALECT),
    "binance": (binance.Binance, binance.DIALECT),
    "kraken": (kraken.Kraken, kraken.DIALECT),
    "okx": (okx.Okx, okx.DIALECT),
}
SHUTDOWN_SECONDS = 0.1  # for answers on their way when the simulator closes


class Simulator:
    """Exchanges that behave like the real ones, on loopback, until closed. A context manager.

    `urls` has the base URL of each exchange. `now` (ISO 8601 or an aware datetime) is where the clock starts: by
    default after the event of a dated scenario, else at the real time. `speed` is how fast it runs; 0 stands still.
    `faults` maps `[EXCHANGE:]KIND[:SECONDS]` to a rate (`faults.KINDS`). `latency` (seconds) delays every answer.
    `trade_rate` multiplies the number of trades. `recorded` is a folder of recorded responses to serve instead of the
    model. `ports` fixes ports by exchange. The same seed, scenario and `trade_rate` always give the same trades.
    Raises UsageError for an option that makes no sense and for a port that is taken.
    """

    def __init__(
        self,
        *,
        seed: int = 0,
        now: str | datetime | None = None,
        speed: float = 1.0,
        scenario: str | None = None,
        rate_limits: bool = True,
        faults: Mapping[str, float] | None = None,
        latency: float = 0.0,
        trade_rate: float = 1.0,
        recorded: str | Path | None = None,
        ports: Mapping[str, int] | None = None,
    ) -> None:
        if speed < 0 or latency < 0 or not 0 < trade_rate <= 1000:
            raise UsageError("speed and latency are 0 or more, trade_rate is above 0 and at most 1000")
        if unknown := set(ports or ()) - set(APIS):
            raise UsageError(f"no exchange {', '.join(sorted(unknown))}; there is {', '.join(APIS)}")
        story = find_scenario(scenario) if scenario else None
        self._seed = seed
        start_ns = _start_ns(now, (story and story.starts_ns) or time_ns())
        self._clock = Clock(start_ns, speed)
        self._faults = Faults(seed, faults or {})
        market = Market(seed, story.burst_for(start_ns) if story else None)
        self._servers: dict[str, ExchangeServer] = {}
        for exchange, (api, dialect) in APIS.items():
            source: Source
            open_feed = None
            if recorded is None:
                source = model = ModelSource(market, dialect, self._clock, trade_rate)
                if exchange in FEEDS:
                    open_feed = partial(FEEDS[exchange], model, self._clock)
            else:
                source = RecordedSource(Path(recorded), exchange)
            answers = api(source, self._clock, rate_limits)
            self._servers[exchange] = ExchangeServer(answers, self._draw, latency, open_feed)
        self.urls: dict[str, str] = {}
        self._runners: list[web.AppRunner] = []
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="simulator", daemon=True)
        try:
            self._loop.run_until_complete(self._listen(ports or {}))
        except OSError as problem:
            self._release()
            raise UsageError(f"{problem.strerror or problem}; choose another port, or 0 for a free one") from problem
        self._thread.start()

    def __enter__(self) -> Simulator:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def stats(self) -> dict[str, dict[str, Any]]:
        """By exchange: `requests`, `throttled`, and counts by `endpoints` and `faults`."""
        return {exchange: server.stats.plain() for exchange, server in self._servers.items()}

    @property
    def addresses(self) -> dict[str, tuple[str, ...]]:
        """The base URL of each exchange, and that of its feed, which is at the same place, where it has one."""
        return {
            exchange: (url, url.replace("http", "ws", 1)) if self._servers[exchange].has_feed else (url,)
            for exchange, url in self.urls.items()
        }

    @property
    def now(self) -> str:
        """The simulator's time, ISO 8601 in UTC with microseconds."""
        return iso(self._clock.now_ns(), "microseconds")

    def advance(self, seconds: float) -> None:
        """Move the clock forward; the trades of that time are there at once."""
        if not seconds >= 0:
            raise UsageError(f"the clock moves forward only, not by {seconds} seconds")
        self._clock.advance(seconds)

    def set_faults(self, faults: Mapping[str, float]) -> None:
        """Replace all faults; `{}` ends them. Raises UsageError."""
        self._faults = Faults(self._seed, faults)

    def close(self) -> None:
        """Stop serving and free the ports; closing twice is fine."""
        if self._loop.is_closed():
            return
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._release()

    def _draw(self, exchange: str, number: int, feed: bool) -> Fault | None:
        return self._faults.draw(exchange, number, feed)

    async def _listen(self, ports: Mapping[str, int]) -> None:
        for exchange, server in self._servers.items():
            app = web.Application()
            app.add_routes([*self._control_routes(), *server.routes()])
            runner = web.AppRunner(app, access_log=None, shutdown_timeout=SHUTDOWN_SECONDS)
            self._runners.append(runner)
            await runner.setup()
            await web.TCPSite(runner, "127.0.0.1", ports.get(exchange, 0)).start()
            self.urls[exchange] = f"http://127.0.0.1:{runner.addresses[0][1]}"

    def _release(self) -> None:
        for runner in self._runners:
            self._loop.run_until_complete(runner.cleanup())
        self._loop.close()

    def _control_routes(self) -> list[web.RouteDef]:
        """`/_sim/…` on every port, for tests in other processes; each acts on the whole simulator."""

        async def clock(request: web.Request) -> web.Response:
            self.advance(float(orjson.loads(await request.read())["advance"]))
            return web.json_response({"now": self.now})

        async def faults(request: web.Request) -> web.Response:
            self.set_faults(orjson.loads(await request.read()))
            return web.json_response({})

        async def stats(request: web.Request) -> web.Response:
            return web.json_response(self.stats)

        return [
            web.post("/_sim/clock", _checked(clock)),
            web.post("/_sim/faults", _checked(faults)),
            web.get("/_sim/stats", stats),
        ]


Handler = Callable[[web.Request], Awaitable[web.Response]]


def _checked(handler: Handler) -> Handler:
    """Answers 400 with the reason when the body of a control request makes no sense."""

    async def checked(request: web.Request) -> web.Response:
        try:
            return await handler(request)
        except (UsageError, ValueError, KeyError, TypeError, AttributeError) as problem:
            return web.json_response({"error": str(problem)}, status=400)

    return checked


def _start_ns(now: str | datetime | None, default: int) -> int:
    if now is None:
        return default
    try:
        return ns(now.isoformat() if isinstance(now, datetime) else now)
    except ValueError:
        raise UsageError(f"the time {now!r} is not ISO 8601, such as 2024-02-08T15:20:00Z") from None


def serve(
    *,
    as_json: bool = False,
    seed: int = 0,
    now: str | None = None,
    speed: float = 1.0,
    scenario: str | None = None,
    rate_limits: bool = True,
    faults: Sequence[str] = (),
    latency: float = 0.0,
    trade_rate: float = 1.0,
    recorded: str | Path | None = None,
    ports: Mapping[str, int] | None = None,
) -> None:
    """Print each exchange's URL, and that of its feed where it has one (one JSON object of the former with `as_json`),
    then serve until SIGINT or SIGTERM.

    `faults` are options such as `500=0.1` or `kraken:slow:2.5=0.05`; everything else is as in `Simulator`. To be called
    from the main thread. Raises UsageError.
    """
    stopped = threading.Event()
    previous = {number: signal.signal(number, lambda *_: stopped.set()) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        with Simulator(
            seed=seed,
            now=now,
            speed=speed,
            scenario=scenario,
            rate_limits=rate_limits,
            faults=parse_faults(faults),
            latency=latency,
            trade_rate=trade_rate,
            recorded=recorded,
            ports=ports,
        ) as simulator:
            lines = (" ".join((exchange, *addresses)) for exchange, addresses in simulator.addresses.items())
            print(orjson.dumps(simulator.urls).decode() if as_json else "\n".join(lines), flush=True)
            stopped.wait()
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
