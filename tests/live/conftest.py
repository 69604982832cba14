"""Markets at three venues, quotes and trades made by hand, and the engine run against the simulator."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import suppress
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from schemahub_lib.config import Settings
from schemahub_lib.exchanges.fields import since_epoch
from schemahub_lib.live.board import Board
from schemahub_lib.live.feeds.base import Market, Quote, Trade
from schemahub_lib.live.session import Live
from schemahub_lib.simulator import Simulator
from schemahub_lib.tables.lake import Lake

NOW = 1_788_481_280_000_000
MARKETS = (
    Market("coinbase", "BTC-USD", "BTC", "USD", ("BTC", "USD")),
    Market("binance", "BTCUSDT", "BTC", "USDT", ("BTC", "USDT")),
    Market("kraken", "XBTUSD", "BTC", "USD", ("XBT", "USD")),
)
SYMBOLS = {market.exchange: market.symbol for market in MARKETS}


@pytest.fixture
def board() -> Board:
    """Three venues, all of them connected."""
    board = Board(MARKETS)
    for name in board.lines:
        board.moved(name, "live", "")
    return board


def quote(symbol: str, bid: str, ask: str, time: int | None = None) -> Quote:
    return Quote(symbol, Decimal(bid), Decimal(1), Decimal(ask), Decimal(1), time)


def trade(number: int, symbol: str = "BTC-USD", time: int | None = None) -> Trade:
    return Trade(symbol, number, NOW + number if time is None else time, Decimal(100), Decimal(1), {"n": str(number)})


@pytest.fixture
def simulator() -> Iterator[Simulator]:
    """The market at its real pace, from a time on that never changes."""
    with Simulator(seed=7, now="2024-02-08T15:12:00Z", rate_limits=False, trade_rate=3) as simulator:
        yield simulator


@pytest.fixture
def lake_of(tmp_path: Path) -> Callable[[Simulator], Lake]:
    """A lake whose exchanges are simulated."""

    def make(simulator: Simulator) -> Lake:
        environment = {f"SCHEMAHUB_{name.upper()}_URL": url for name, url in simulator.urls.items()}
        return Lake(Settings.load(warehouse=str(tmp_path / "warehouse"), environment=environment))

    return make


async def hurried(seconds: float) -> None:
    """Waits a twentieth of what is asked."""
    await asyncio.sleep(seconds / 20)


async def until(condition: Callable[[], Any], doing: Callable[[], object] = lambda: None) -> None:
    """Let the engine run until something is so; what keeps it from it is an error after a while."""
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline, "it never came to be"
        doing()
        await asyncio.sleep(0.02)


def run_live(live: Live, steps: Callable[[], Awaitable[None]]) -> None:
    """Run the engine while `steps` are taken, then stop it."""

    async def run() -> None:
        task = asyncio.create_task(live.run())
        try:
            await steps()
        finally:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task

    asyncio.run(run())


def engine(lake: Lake, simulator: Simulator, markets: Sequence[Market] = MARKETS, **options: Any) -> Live:
    """By the simulator's clock, its waits shortened."""
    return Live(lake, markets, clock=lambda: simulator_now(simulator), sleep=hurried, **options)


def simulator_now(simulator: Simulator) -> int:
    return since_epoch(datetime.fromisoformat(simulator.now))
