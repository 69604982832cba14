"""What is asked over REST: the trades that a feed left out, and the newest ones."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from itertools import pairwise

import pytest

from schemahub_lib.errors import UnexpectedResponse
from schemahub_lib.live import rest
from schemahub_lib.live.feeds import FEEDS
from schemahub_lib.live.rest import MINUTE, Rest
from schemahub_lib.live.sequence import Gap
from schemahub_lib.simulator import Simulator
from schemahub_lib.tables.lake import Lake
from tests.live.conftest import MARKETS, simulator_now

LakeOf = Callable[[Simulator], Lake]


@contextmanager
def asked(lake: Lake, name: str) -> Iterator[Rest]:
    feed = FEEDS[name]([market for market in MARKETS if market.exchange == name])
    with closing(Rest(lake.settings, feed, threading.Event())) as rest:
        yield rest


@pytest.mark.parametrize("off", [-1, 0, 1])
def test_a_trade_of_the_sweep_at_the_end_of_a_gap_is_found_by_a_time_that_is_a_microsecond_off(
    simulator: Simulator, lake_of: LakeOf, off: int
) -> None:
    with asked(lake_of(simulator), "kraken") as kraken:
        found = kraken.newest("XBTUSD", None, simulator_now(simulator))
        sweeps = [(one, after) for one, after in pairwise(found[1:]) if one.time == after.time]
        assert sweeps
        missing, after = sweeps[-1]
        before = next(trade for trade in found if trade.id == missing.id - 1)
        gap = Gap("XBTUSD", missing.id, missing.id, before.time + off, after.time + off)
        assert kraken.missed(gap) == [missing]


def test_a_gap_whose_end_is_not_told_yet_is_not_taken_for_whole(simulator: Simulator, lake_of: LakeOf) -> None:
    with asked(lake_of(simulator), "kraken") as kraken:
        newest = kraken.newest("XBTUSD", None, simulator_now(simulator))[-1]
        gap = Gap("XBTUSD", newest.id + 1, newest.id + 2, newest.time, newest.time + 1_000)
        with pytest.raises(UnexpectedResponse, match="are not told"):
            kraken.missed(gap)


@pytest.mark.parametrize("name", ["coinbase", "kraken"])
def test_after_a_long_while_only_the_last_minutes_trades_are_asked_for(
    simulator: Simulator, lake_of: LakeOf, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    symbol = next(market.symbol for market in MARKETS if market.exchange == name)
    with asked(lake_of(simulator), name) as venue:
        first = venue.newest(symbol, None, simulator_now(simulator))[0]
        simulator.advance(300)
        now = simulator_now(simulator)
        assert venue.newest(symbol, first, now)[0].id == first.id + 1
        monkeypatch.setattr(rest, "GAP_MOST", 20)
        found = venue.newest(symbol, first, now)
        assert found
        assert len(found) <= 21
        assert all(trade.time >= now - MINUTE for trade in found)
