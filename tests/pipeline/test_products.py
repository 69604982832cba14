"""Which products a run fetches, by the names people type."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path

import pytest

from schemahub_lib.errors import ExchangeUnavailable
from schemahub_lib.exchanges import EXCHANGES
from schemahub_lib.http.client import HttpClient
from schemahub_lib.pipeline.products import known_symbols, resolve, wanted_products
from schemahub_lib.simulator import Simulator
from schemahub_lib.tables.lake import Lake

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


def test_a_product_that_vanished_from_the_list_keeps_its_names(lake: Lake) -> None:
    with (
        Simulator(now="2022-11-29T23:00:00Z", speed=0, rate_limits=False) as market,
        HttpClient(KRAKEN, base_url=market.urls["kraken"]) as client,
    ):
        resolve(lake, KRAKEN, client, ["MIR/USD"])
        market.advance(7200)
        resolve(lake, KRAKEN, client, ["NEW"])
        assert resolve(lake, KRAKEN, client, ["MIRUSD"]) == ["MIRUSD"]
    assert known_symbols(lake, "kraken")["MIRUSD"]["canonical_symbol"] == "MIR-USD"


def test_a_list_that_cannot_be_read_leaves_names_as_typed(
    lake: Lake, market: Simulator, caplog: pytest.LogCaptureFixture
) -> None:
    with HttpClient(COINBASE, base_url=market.urls["kraken"]) as client, caplog.at_level(logging.WARNING):
        assert resolve(lake, COINBASE, client, ["btc-usd"]) == ["BTC-USD"]
    assert "coinbase: the product list could not be read, product names are taken as typed" in caplog.text
    assert known_symbols(lake, "coinbase")["BTC-USD"]["base_asset"] == "BTC"


def test_an_exchange_that_is_down_is_said_to_be_down(lake: Lake) -> None:
    with (
        HttpClient(COINBASE, base_url="http://127.0.0.1:9", deadline=0.2) as client,
        pytest.raises(ExchangeUnavailable, match="Connection refused"),
    ):
        resolve(lake, COINBASE, client, ["BTC-USD"])
