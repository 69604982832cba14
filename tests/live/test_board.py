"""What the board shows, where venues disagree, and why."""

from __future__ import annotations

from decimal import Decimal

import pytest

from schemahub_lib.exchanges import EXCHANGES, raw_tables
from schemahub_lib.live.board import HISTORY, Board, deviation, group
from schemahub_lib.live.discrepancies import Alerts, Discrepancy, Thresholds, discrepancies
from schemahub_lib.live.feeds.base import Market, Status
from schemahub_lib.live.sides import taker_side
from schemahub_lib.mapping.registry import load_mappings
from schemahub_lib.schemas import TRADES_UNIFIED
from tests.live.conftest import MARKETS, NOW, SYMBOLS, quote, trade

SECOND = 1_000_000


def quoted(board: Board, prices: dict[str, tuple[str, str]], at: int = NOW) -> None:
    for name, (bid, ask) in prices.items():
        board.quoted(name, quote(SYMBOLS[name], bid, ask), at)


def found(board: Board, thresholds: Thresholds | None = None, at: int = NOW) -> list[Discrepancy]:
    return discrepancies(board, at, thresholds or Thresholds())


def test_a_row_tells_its_spread_age_and_lag(board: Board) -> None:
    row = board.rows["coinbase", "BTC-USD"]
    assert (row.mid, row.spread, row.age(NOW), row.lag) == (None, None, None, None)
    board.quoted("coinbase", quote("BTC-USD", "99.99", "100.01", NOW - 40_000), NOW)
    assert row.mid == Decimal("100.00")
    assert row.spread == pytest.approx(2.0)
    assert row.age(NOW + 3 * SECOND) == 3.0
    assert row.lag == pytest.approx(0.04)
    board.traded("coinbase", trade(1, time=NOW), "BUY", NOW + 70_000)
    assert row.lag == pytest.approx(0.07)


def test_the_lag_of_a_quote_without_a_time_is_that_of_the_trades(board: Board) -> None:
    board.quoted("binance", quote("BTCUSDT", "1", "2"), NOW)
    assert board.rows["binance", "BTCUSDT"].lag is None
    board.traded("binance", trade(1, "BTCUSDT", NOW - 20_000), "SELL", NOW)
    board.quoted("binance", quote("BTCUSDT", "1", "3"), NOW + 1)
    assert board.rows["binance", "BTCUSDT"].lag == pytest.approx(0.02)


def test_what_is_older_than_the_connection_or_was_asked_for_tells_no_lag(board: Board) -> None:
    row = board.rows["coinbase", "BTC-USD"]
    board.opened("coinbase", NOW)
    board.traded("coinbase", trade(1, time=NOW - 60 * SECOND), "BUY", NOW + 5)  # the last one of before
    assert row.lag is None
    board.traded("coinbase", trade(2, time=NOW + SECOND), "BUY", NOW + SECOND + 30_000)
    assert row.lag == pytest.approx(0.03)
    board.moved("coinbase", "polled", "cut")
    board.traded("coinbase", trade(3, time=NOW + 2 * SECOND), "BUY", NOW + 9 * SECOND)
    assert row.lag is None


def test_a_quote_of_an_earlier_connection_is_not_believed(board: Board) -> None:
    row = board.rows["coinbase", "BTC-USD"]
    quoted(board, {"coinbase": ("99", "101")})
    board.moved("coinbase", "down", "cut")
    board.opened("coinbase", NOW + SECOND)
    board.moved("coinbase", "live", "")
    told = board.doubt(row, NOW + SECOND)
    assert told == ("stale feed", "COINBASE has not quoted BTC-USD on its present connection yet")
    quoted(board, {"coinbase": ("99", "101")}, NOW + 2 * SECOND)
    assert board.doubt(row, NOW + 2 * SECOND) is None


def test_the_middle_across_venues_is_the_median_of_what_is_believed(board: Board) -> None:
    quoted(board, {"coinbase": ("99", "101"), "binance": ("109", "111")})
    assert board.middles(NOW) == {("BTC", "dollars"): Decimal(105)}
    quoted(board, {"kraken": ("119", "121")})
    assert board.middles(NOW) == {("BTC", "dollars"): Decimal(110)}
    board.moved("kraken", "down", "cut")
    assert board.middles(NOW) == {("BTC", "dollars"): Decimal(105)}
    board.moved("binance", "down", "cut")
    assert board.middles(NOW) == {}  # one venue alone deviates from nothing
    assert deviation(Decimal("100.1"), Decimal(100)) == pytest.approx(10.0)


def test_an_empty_side_told_as_zero_is_no_price(board: Board) -> None:
    quoted(board, {"coinbase": ("99", "101"), "binance": ("0", "0.00000000")})
    assert board.rows["binance", "BTCUSDT"].mid is None
    assert found(board) == []


def test_only_the_same_money_is_compared_and_a_dollar_token_is_a_dollar() -> None:
    assert group(MARKETS[0]) == group(MARKETS[1])
    assert group(Market("kraken", "XBTEUR", "BTC", "EUR", ("XBT", "EUR"))) == ("BTC", "EUR")


def test_the_history_is_bounded_and_shows_no_price_that_is_not_believed(board: Board) -> None:
    quoted(board, {"coinbase": ("99", "101")})
    for second in range(HISTORY + 5):
        board.sample(NOW + second * SECOND)
    history = board.rows["coinbase", "BTC-USD"].history
    assert len(history) == HISTORY
    assert history[0] == (NOW + 5 * SECOND, 100.0)
    assert history[-1] == (NOW + (HISTORY + 4) * SECOND, None)


def test_a_difference_that_pays_both_fees_is_real_and_comes_first(board: Board) -> None:
    quoted(board, {"coinbase": ("99.99", "100.00"), "binance": ("102.00", "102.01"), "kraken": ("102.4", "102.41")})
    first, second, third = found(board)
    assert (first.cheap.market.exchange, first.dear.market.exchange, first.reason) == ("coinbase", "kraken", "real")
    assert first.net == pytest.approx(140.0)
    assert first.words == "buying BTC at COINBASE and selling it at KRAKEN brings 140.0 bps after taker fees of 100"
    assert second.reason == "real"
    assert second.words.endswith("; it includes the price of USDT in USD")
    assert (third.reason, third.dear.market.exchange) == ("fee-sized", "kraken")


def test_what_the_two_taker_fees_take_is_fee_sized(board: Board) -> None:
    quoted(board, {"coinbase": ("100.0", "100.1"), "kraken": ("100.3", "100.4")})
    (one,) = found(board)
    assert one.reason == "fee-sized"
    assert one.words == (
        "buying BTC at COINBASE and selling it at KRAKEN brings 20.0 bps, and the two taker fees take 100"
    )
    quoted(board, {"kraken": ("100.05", "100.35")})
    (one,) = found(board)
    assert one.words == (
        "buying BTC at COINBASE and selling it at KRAKEN costs 5.0 bps before fees: the quotes overlap"
    )
    assert found(board, Thresholds(shown=20)) == []


def test_a_venue_that_is_halted_stale_or_has_a_gap_is_the_reason(board: Board) -> None:
    quoted(board, {"coinbase": ("100", "100.1"), "kraken": ("110", "110.1")})
    kraken = board.rows["kraken", "XBTUSD"]
    kraken.missing = 3
    assert [(d.reason, d.words) for d in found(board)] == [
        ("gap", "3 trades of XBTUSD were missed at KRAKEN and are being fetched")
    ]
    later = NOW + 61 * SECOND
    quoted(board, {"kraken": ("110", "110.1")}, later)
    assert [(d.reason, d.words) for d in found(board, at=later)] == [
        ("stale feed", "COINBASE has not quoted BTC-USD for 61 s")
    ]
    quoted(board, {"coinbase": ("100", "100.1")}, later)
    board.moved("coinbase", "down", "nothing came for 10 s")
    assert [(d.reason, d.words) for d in found(board, at=later)] == [
        ("stale feed", "the feed of COINBASE is down: nothing came for 10 s")
    ]
    board.status("kraken", Status(None, "the exchange's engine is in maintenance"))
    assert [(d.reason, d.words) for d in found(board, at=later)] == [
        ("halt", "KRAKEN does not trade XBTUSD: the exchange's engine is in maintenance")
    ]
    board.status("kraken", Status(None, ""))
    board.moved("coinbase", "polled", "nothing came for 10 s")
    kraken.missing = 0
    assert [(d.reason, d.words) for d in found(board, at=later)] == [
        ("stale feed", "COINBASE is asked over REST every few seconds, as its feed is away")
    ]
    board.moved("coinbase", "live", "")
    assert [d.reason for d in found(board, at=later)] == ["real"]


def test_prices_that_differ_by_a_factor_are_of_two_assets(board: Board) -> None:
    quoted(board, {"coinbase": ("100", "100.1"), "kraken": ("0.5", "0.6")})
    (one,) = found(board)
    assert one.reason == "alias"
    assert one.words.startswith("BTC costs 182 times as much at COINBASE as at KRAKEN: probably two assets")


def test_an_alert_comes_once_and_again_only_after_the_difference_was_small(board: Board) -> None:
    alerts, told = Alerts(), []
    for number, bid in enumerate(("100.2", "100.3", "100.31", "100.22", "100.3", "100.1", "100.3")):
        quoted(board, {"coinbase": ("100", "100"), "kraken": (bid, bid)})
        told += [(number, alert.discrepancy.pair) for alert in alerts.update(found(board), NOW, Thresholds(alert=25))]
    pair = ("coinbase", "BTC-USD", "kraken", "XBTUSD")
    assert told == [(1, pair), (6, pair)]


def test_a_venue_in_doubt_neither_alerts_nor_arms_anew(board: Board) -> None:
    alerts, told = Alerts(), []
    quoted(board, {"coinbase": ("100", "100"), "kraken": ("101", "101")})
    for state in ("down", "live", "down", "live"):
        board.moved("kraken", state, "")  # type: ignore[arg-type]
        told.append(len(alerts.update(found(board), NOW, Thresholds(alert=25))))
    assert told == [0, 1, 0, 0]


@pytest.mark.parametrize(
    ("name", "record", "side"),
    [
        ("coinbase", {"side": "BUY"}, "SELL"),
        ("coinbase", {"side": "SELL"}, "BUY"),
        ("binance", {"is_buyer_maker": True}, "SELL"),
        ("binance", {"is_buyer_maker": False}, "BUY"),
        ("kraken", {"side": "b"}, "BUY"),
        ("kraken", {"side": "s"}, "SELL"),
        ("kraken", {"side": "?"}, None),
    ],
)
def test_the_side_is_the_takers_as_the_mapping_has_it(name: str, record: dict[str, str], side: str | None) -> None:
    exchange = EXCHANGES[name]
    specs = load_mappings(None, raw_tables())[TRADES_UNIFIED.name]
    (spec,) = (spec for spec in specs if spec.source == exchange.raw_table.name)
    assert taker_side(spec, exchange)(record) == side  # type: ignore[arg-type]
