"""Which products a run fetches, by the names people type."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from schemahub_lib.errors import ExchangeUnavailable
from schemahub_lib.exchanges import EXCHANGES
from schemahub_lib.exchanges.base import Product
from schemahub_lib.http.client import HttpClient
from schemahub_lib.pipeline.products import history, known_symbols, note, resolve, wanted_products
from schemahub_lib.pipeline.query import query
from schemahub_lib.schemas import PRODUCTS, TRADES_UNIFIED, Column
from schemahub_lib.simulator import Simulator
from schemahub_lib.tables.lake import Lake

NOON = datetime(2024, 2, 8, 12, tzinfo=UTC)
DAY = timedelta(days=1)
KRAKEN, COINBASE, BINANCE, OKX = (EXCHANGES[name] for name in ("kraken", "coinbase", "binance", "okx"))


@pytest.fixture
def kraken(market: Simulator) -> Iterator[HttpClient]:
    with HttpClient(KRAKEN, base_url=market.urls["kraken"]) as client:
        yield client


def test_names_given_win_over_the_seed_file() -> None:
    assert wanted_products(COINBASE, ["A-USD", "B-USD", "A-USD"], "/no/such/file") == ["A-USD", "B-USD"]


@pytest.mark.parametrize(
    ("exchange", "first"),
    [(COINBASE, "BTC-USD"), (BINANCE, "BTCUSDT"), (KRAKEN, "XBTUSD"), (OKX, "BTC-USDT")],
    ids=lambda v: str(v)[:12],
)
def test_without_names_the_shipped_seed_file_tells(exchange: object, first: str) -> None:
    assert wanted_products(exchange, [], None)[0] == first  # type: ignore[arg-type]


def test_a_seed_file_of_ones_own(tmp_path: Path) -> None:
    file = tmp_path / "seed.yaml"
    file.write_text("product_ids: [ETH-USD, BTC-USD, ETH-USD]\nmetadata: {count: 3}\n")
    assert wanted_products(COINBASE, [], str(file)) == ["ETH-USD", "BTC-USD"]


@pytest.mark.parametrize("name", ["XBTUSD", "XXBTZUSD", "XBT/USD", "xbt/usd", "xbtusd"])
def test_a_pair_may_be_named_in_any_of_the_venues_ways(name: str, lake: Lake, kraken: HttpClient) -> None:
    assert resolve(lake, KRAKEN, kraken, [name]) == ["XBTUSD"]


def test_two_names_of_one_product_are_one_product(lake: Lake, kraken: HttpClient) -> None:
    assert resolve(lake, KRAKEN, kraken, ["XBT/USD", "ETHUSD", "XXBTZUSD"]) == ["XBTUSD", "ETHUSD"]


def test_what_is_known_of_each_product_is_remembered(lake: Lake, kraken: HttpClient) -> None:
    resolve(lake, KRAKEN, kraken, ["XDGUSD"])
    known = known_symbols(lake, "kraken")["XDGUSD"]
    found = [known[column] for column in ("canonical_symbol", "base_asset", "quote_asset", "status")]
    assert found == ["DOGE-USD", "DOGE", "USD", "online"]


def test_the_exchange_is_asked_for_its_list_once(lake: Lake, kraken: HttpClient, market: Simulator) -> None:
    resolve(lake, KRAKEN, kraken, ["XBTUSD"])
    asked = market.stats["kraken"]["endpoints"]["/0/public/AssetPairs"]
    assert resolve(lake, KRAKEN, kraken, ["ETHUSD", "XBTUSD"]) == ["ETHUSD", "XBTUSD"]
    assert market.stats["kraken"]["endpoints"]["/0/public/AssetPairs"] == asked


def test_a_name_that_is_not_listed_is_tried_as_typed_with_a_hint(
    lake: Lake, kraken: HttpClient, caplog: pytest.LogCaptureFixture
) -> None:
    assert resolve(lake, KRAKEN, kraken, ["btcusd"]) == ["BTCUSD"]
    assert "kraken lists no product btcusd, trying it all the same; did you mean XBTUSD?" in caplog.text
    known = known_symbols(lake, "kraken")["BTCUSD"]
    assert (known["canonical_symbol"], known["status"]) == ("BTC-USD", "unlisted")


def rows_of(lake: Lake, symbol: str) -> list[dict[str, Any]]:
    """All that was ever known of a symbol, oldest first."""
    sql = f"SELECT * FROM schemahub_products WHERE symbol = '{symbol}' ORDER BY first_seen"
    found: list[dict[str, Any]] = query(lake, sql).to_pylist()
    return found


def asked(market: Simulator) -> int:
    """How often Kraken was asked for its list."""
    count: int = market.stats["kraken"]["endpoints"].get("/0/public/AssetPairs", 0)
    return count


def earlier(lake: Lake, time: timedelta) -> None:
    """As if Kraken's list had been asked for before that time."""
    times = ("first_seen", "last_seen", "replaced_at")

    def change(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
        return [row | {name: row[name] - time for name in times if row[name] is not None} for row in rows]

    lake.update_partition(PRODUCTS, "kraken", change)


def test_a_list_that_is_a_day_old_is_asked_for_again(lake: Lake, kraken: HttpClient, market: Simulator) -> None:
    resolve(lake, KRAKEN, kraken, ["XBTUSD"])
    before = asked(market)
    earlier(lake, timedelta(hours=23))
    resolve(lake, KRAKEN, kraken, ["XBTUSD"])
    assert asked(market) == before
    earlier(lake, timedelta(hours=2))
    (first,) = rows_of(lake, "XBTUSD")
    resolve(lake, KRAKEN, kraken, ["XBTUSD"])
    assert asked(market) == before + 1
    (again,) = rows_of(lake, "XBTUSD")
    assert again == first | {"last_seen": again["last_seen"]}
    assert again["last_seen"] > first["last_seen"]


def test_nothing_is_written_when_nothing_is_new(lake: Lake, kraken: HttpClient) -> None:
    def head() -> int | None:
        table = lake.find(PRODUCTS.name)
        assert table is not None
        return table.metadata.current_snapshot_id

    resolve(lake, KRAKEN, kraken, ["XBTUSD"])
    before = head()
    resolve(lake, KRAKEN, kraken, ["XBTUSD"])
    note(lake, KRAKEN, ["ETHUSD", "no pair"])
    assert head() == before


def test_a_changed_symbols_file_renames_all_rows_and_asks_nobody(
    make_lake: Callable[..., Lake], kraken: HttpClient, market: Simulator, tmp_path: Path
) -> None:
    resolve(make_lake(), KRAKEN, kraken, ["XDGUSD"])
    before = asked(market)
    (tmp_path / "symbols.yaml").write_text("kraken: {XDG: MUCHWOW}\n")
    lake = make_lake(SCHEMAHUB_MAPPINGS=str(tmp_path))
    resolve(lake, KRAKEN, kraken, ["XDGUSD"])
    (row,) = rows_of(lake, "XDGUSD")
    assert (row["canonical_symbol"], row["base_asset"], row["listed_base"]) == ("MUCHWOW-USD", "MUCHWOW", "XDG")
    assert asked(market) == before


def test_a_ledger_of_an_older_version_loses_nothing_and_is_told_again(lake: Lake, kraken: HttpClient) -> None:
    columns = [*PRODUCTS.columns[:6], Column("updated_at", "TIMESTAMP")]
    names = [("XBTUSD", "BTC-USD", "BTC"), ("OLDUSD", "OLD-USD", "OLD")]
    rows = [("kraken", symbol, canonical, base, "USD", "online", NOON) for symbol, canonical, base in names]
    older = replace(PRODUCTS, columns=tuple(columns))
    lake.append(older, [dict(zip(older.column_names, row, strict=True)) for row in rows])
    note(lake, KRAKEN, ["ETHUSD"])
    assert {symbol: row["base_asset"] for symbol, row in known_symbols(lake, "kraken").items()} == {
        "XBTUSD": "BTC",
        "OLDUSD": "OLD",
        "ETHUSD": "ETH",
    }
    resolve(lake, KRAKEN, kraken, ["XBTUSD"])
    told = [(row["first_seen"] == NOON, row["listed_base"], row["status"]) for row in rows_of(lake, "OLDUSD")]
    assert told == [(True, "OLD", "online"), (False, "OLD", "unlisted")]
    known = known_symbols(lake, "kraken")
    assert (known["XBTUSD"]["listed_base"], known["XBTUSD"]["base_asset"]) == ("XBT", "BTC")


def product(symbol: str, base: str, status: str = "online") -> dict[str, Product]:
    return {symbol: Product(symbol, base, "USD", status, status == "online")}


def test_a_product_keeps_what_it_was_when_its_assets_or_status_change(lake: Lake) -> None:
    """LUNA changed hands: what a symbol meant at a time is what its row of that time says."""
    told = [product("LUNAUSD", "LUNC"), product("LUNAUSD", "LUNC"), product("LUNAUSD", "LUNA"), product("XUSD", "X")]
    told += [product("LUNAUSD", "LUNA", "delisted")]
    rows: list[dict[str, Any]] = []
    for day, products in enumerate(told):
        rows = history(rows, products, {}, "binance", NOON + day * DAY)
    lake.update_partition(PRODUCTS, "binance", lambda _: rows)
    found = rows_of(lake, "LUNAUSD")
    days = [
        tuple(
            None if row[name] is None else (row[name] - NOON) // DAY
            for name in ("first_seen", "last_seen", "replaced_at")
        )
        for row in found
    ]
    assert [(row["base_asset"], row["status"]) for row in found] == [
        ("LUNC", "online"),
        ("LUNA", "online"),
        ("LUNA", "delisted"),
    ]
    assert days == [(0, 1, 2), (2, 2, 4), (4, 4, None)]
    meant = query(
        lake,
        "SELECT t.at, p.base_asset FROM (SELECT unnest(['2024-02-09 18:00', '2024-02-10 18:00', '2024-02-08'])"
        "::TIMESTAMPTZ AS at) t ASOF LEFT JOIN schemahub_products p"
        " ON p.source = 'binance' AND p.symbol = 'LUNAUSD' AND t.at >= p.first_seen ORDER BY 1",
    )
    assert meant["base_asset"].to_pylist() == [None, "LUNC", "LUNA"]


def test_the_queries_of_the_page_run_and_join_each_trade_once(lake: Lake) -> None:
    page = (Path(__file__).resolve().parents[2] / "docs" / "symbols.md").read_text(encoding="utf-8")
    sqls = re.findall(r'schemahub query "([^"]+)"', page)
    rows = history([], product("XBTUSD", "XBT", "new") | product("MIRUSD", "MIR"), {"XBT": "BTC"}, "kraken", NOON)
    rows = history(rows, product("XBTUSD", "XBT"), {"XBT": "BTC"}, "kraken", NOON + DAY)
    rows += history([], product("BTC-USD", "BTC"), {}, "coinbase", NOON)
    lake.append(PRODUCTS, rows)
    trade = {"exchange": "KRAKEN", "symbol": "XBTUSD", "canonical_symbol": "BTC-USD"}
    lake.append(TRADES_UNIFIED, [trade | {"trade_ts": NOON + day * DAY} for day in (-1, 0, 1, 2)])
    assert [query(lake, sql).to_pylist() for sql in sqls] == [
        [trade | {"listed_base": "XBT", "status": "online", "trades": 4}],
        [{"canonical_symbol": "BTC-USD", "markets": "coinbase BTC-USD, kraken XBTUSD"}],
        [
            {"symbol": "MIRUSD", "canonical_symbol": "MIR-USD", "status": "online"}
            | {"first": "12:00:00", "last": "12:00:00", "replaced": None}
        ],
        [{"exchange": "KRAKEN", "symbol": "XBTUSD", "market": "BTC-USD", "trades": 4}],
    ]


def test_every_symbol_has_one_current_row_whatever_was_told(lake: Lake) -> None:
    rows: list[dict[str, Any]] = []
    for number in range(40):
        told = product("A", "AB"[number % 2]) | product(
            f"S{number % 7}", "ABC"[number % 3], ("on", "off")[number % 5 > 2]
        )
        rows = history(rows, told, {"A": "Z"}, "kraken", NOON + number * DAY)
        current = [row["symbol"] for row in rows if row["replaced_at"] is None]
        assert sorted(current) == sorted({row["symbol"] for row in rows})
    spans = sorted((row["symbol"], row["first_seen"], row["replaced_at"]) for row in rows if row["replaced_at"])
    starts = {(row["symbol"], row["first_seen"]) for row in rows}
    assert all(first < end and (symbol, end) in starts for symbol, first, end in spans), "no row ends before the next"
    assert "A" not in {row["base_asset"] for row in rows}


def test_a_product_that_vanished_from_the_list_keeps_its_names(lake: Lake) -> None:
    with (
        Simulator(now="2022-11-29T23:00:00Z", speed=0, rate_limits=False) as market,
        HttpClient(KRAKEN, base_url=market.urls["kraken"]) as client,
    ):
        resolve(lake, KRAKEN, client, ["MIR/USD"])
        market.advance(7200)
        resolve(lake, KRAKEN, client, ["NEW"])
        assert resolve(lake, KRAKEN, client, ["MIRUSD"]) == ["MIRUSD"]
    listed, gone = rows_of(lake, "MIRUSD")
    assert [(row["canonical_symbol"], row["status"]) for row in (listed, gone)] == [
        ("MIR-USD", "online"),
        ("MIR-USD", "unlisted"),
    ]
    assert listed["first_seen"] <= listed["last_seen"] < listed["replaced_at"] == gone["first_seen"]
    assert known_symbols(lake, "kraken")["MIRUSD"] == gone


def test_a_list_that_cannot_be_read_leaves_names_as_typed(
    lake: Lake, market: Simulator, caplog: pytest.LogCaptureFixture
) -> None:
    with HttpClient(COINBASE, base_url=market.urls["kraken"]) as client, caplog.at_level(logging.WARNING):
        assert resolve(lake, COINBASE, client, ["btc-usd"]) == ["BTC-USD"]
    assert "coinbase: the product list could not be read, product names are taken as typed" in caplog.text
    assert known_symbols(lake, "coinbase")["BTC-USD"]["base_asset"] == "BTC"


def test_a_list_that_cannot_be_read_delists_nothing(lake: Lake, market: Simulator) -> None:
    with HttpClient(COINBASE, base_url=market.urls["coinbase"]) as client:
        resolve(lake, COINBASE, client, ["BTC-USD"])
    with HttpClient(COINBASE, base_url=market.urls["kraken"]) as client:
        resolve(lake, COINBASE, client, ["ODD-USD"])
    known = known_symbols(lake, "coinbase")
    assert (known["BTC-USD"]["status"], known["ODD-USD"]["status"]) == ("online", "unlisted")


def test_an_exchange_that_is_down_is_said_to_be_down(lake: Lake) -> None:
    with (
        HttpClient(COINBASE, base_url="http://127.0.0.1:9", deadline=0.2) as client,
        pytest.raises(ExchangeUnavailable, match="Connection refused"),
    ):
        resolve(lake, COINBASE, client, ["BTC-USD"])
