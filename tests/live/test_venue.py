"""What a venue makes of the frames of its feed, and of the trades that are asked for."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import pytest

from schemahub_lib.http.stream import Hangup
from schemahub_lib.live.board import SECOND, Board
from schemahub_lib.live.feeds import FEEDS
from schemahub_lib.live.feeds.base import Trade
from schemahub_lib.live.sequence import GAP_MOST, Gap
from schemahub_lib.live.venue import SLICE, Venue
from tests.live.conftest import MARKETS, NOW

Made = Callable[..., Venue]


class Clock:
    now = NOW

    def __call__(self) -> int:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


class Answers:
    """A REST API that has some trades."""

    def __init__(self, trades: Sequence[Trade] = ()) -> None:
        self.trades = trades

    def missed(self, gap: Gap) -> list[Trade]:
        return [trade for trade in self.trades if gap.low <= trade.id <= gap.high]


@pytest.fixture
def venue(board: Board, clock: Clock) -> Made:
    """A venue that hears what the test says."""

    def make(name: str, rest: Answers | None = None) -> Venue:
        feed = FEEDS[name]([market for market in MARKETS if market.exchange == name])
        return Venue(feed, board, rest or Answers(), lambda record: None, None, clock)  # type: ignore[arg-type]

    return make


def traded(numbers: Iterable[int], price: str = "1.5") -> list[str]:
    pattern = '{"e":"trade","E":0,"s":"BTCUSDT","t":%d,"p":"%s","q":"2.0","T":%d,"m":true,"M":true}'
    return [pattern % (number, price, NOW // 1000) for number in numbers]


@pytest.mark.parametrize("frame", [traded([1], "1e90")[0].replace("2.0", "1e30"), "[" * 100_000, "", "[]"])
def test_a_frame_that_cannot_be_read_is_counted_and_the_feed_goes_on(board: Board, venue: Made, frame: str) -> None:
    binance = venue("binance")
    binance.heard(frame)
    assert board.lines["binance"].unreadable == 1
    binance.heard(*traded([2]))
    assert board.rows["binance", "BTCUSDT"].trade is not None


def test_a_gap_that_is_too_large_is_told_once(venue: Made, caplog: pytest.LogCaptureFixture) -> None:
    binance = venue("binance")
    with caplog.at_level(logging.WARNING):
        for frame in traded([1, GAP_MOST + 3, 2 * GAP_MOST + 5]):
            binance.heard(frame)
    assert caplog.text.count("schemahub run ingest binance fetches them") == 1


def test_while_many_trades_are_taken_in_others_have_their_turn(board: Board, venue: Made) -> None:
    most = 5 * SLICE
    feed = FEEDS["binance"](MARKETS[1:2])
    binance = venue(
        "binance", Answers([t for f in traded(range(2, most)) for t in feed.read(f) if isinstance(t, Trade)])
    )
    for frame in traded([1, most]):
        binance.heard(frame)
    told = set()

    async def run() -> None:
        refilling = asyncio.create_task(binance.refill(asyncio.sleep, at_once))
        while board.lines["binance"].fetched < most - 2:
            told.add(board.lines["binance"].fetched)
            await asyncio.sleep(0)
        refilling.cancel()

    asyncio.run(run())
    assert told >= {SLICE, 2 * SLICE, 3 * SLICE, 4 * SLICE}


async def at_once(work: Callable[[], Any]) -> Any:
    return work()


def test_a_connection_that_beats_and_tells_nothing_is_left(board: Board, venue: Made, clock: Clock) -> None:
    kraken = venue("kraken")
    kraken.opened()
    ticker = '{"symbol":"BTC/USD","bid":81205.0,"bid_qty":0.5,"ask":81205.1,"ask_qty":0.7}'
    clock.now += int(board.stale_after) * SECOND
    kraken.heard(f'{{"channel":"ticker","type":"update","data":[{ticker}]}}')
    clock.now += int(board.stale_after) * SECOND
    kraken.heard('{"channel":"heartbeat"}')
    clock.now += 1
    with pytest.raises(Hangup, match="no quote and no trade came for 60 s, although the connection lives"):
        kraken.heard('{"channel":"heartbeat"}')
