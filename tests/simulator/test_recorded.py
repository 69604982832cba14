"""Recorded mode: the exchanges' own rows, paged by the live rules."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from schemahub_lib.errors import UsageError
from schemahub_lib.simulator import Simulator


@pytest.fixture(scope="module")
def get(start: Callable[..., Any], recorded: Path) -> Iterator[Any]:
    simulator, get = start(recorded=recorded, rate_limits=False)
    with simulator:
        yield get


def exact(text: str) -> Any:
    """JSON with every number as the text it was."""
    return json.loads(text, parse_float=str, parse_int=str)


def test_coinbase_files_of_two_years_are_one_product_with_a_hole_between(get: Any, recorded: Path) -> None:
    files = [*(recorded / "coinbase/trades/2016-05-12_btc-usd_paged").glob("page??.json")]
    files.append(recorded / "coinbase/trades/2018-04-13_btc-usd_p1.json")
    rows = {row["trade_id"]: row for file in files for row in exact(file.read_text())}
    expected = sorted(rows.values(), key=lambda row: -int(row["trade_id"]))
    walked: list[Any] = []
    params: dict[str, str] = {}
    while page := exact((answer := get("coinbase", "/products/BTC-USD/trades", limit=70, **params)).text):
        walked += page
        params = {"after": answer.headers["CB-AFTER"]}
    assert walked == expected
    assert {len(str(row["trade_id"])) for row in walked} == {7, 8}


def test_the_recorded_coinbase_window_is_answered_as_it_was_recorded(get: Any, recorded: Path) -> None:
    kept = recorded / "coinbase/trades/2016-05-12_btc-usd_paged/page00.json"
    answer = get("coinbase", "/products/BTC-USD/trades", before=8408014, after=8408115, limit=100)
    assert answer.text == kept.read_text().strip()
    assert (answer.headers["cb-before"], answer.headers["cb-after"]) == ("8408114", "8408015")


def test_a_row_keeps_its_recorded_text(get: Any, recorded: Path) -> None:
    kept = recorded / "coinbase/trades/2024-03-13_btc-usdt_1row_ccxt.json"
    assert get("coinbase", "/products/BTC-USDT/trades").text == kept.read_text().strip()


def test_binance_pages_by_from_id_over_the_hole_between_two_files(get: Any, recorded: Path) -> None:
    files = ("2020-10-26_BTCUSDT_limit1000.json", "2026-04-07_BTCUSDT_trunc5.json")
    expected = [row for file in files for row in exact((recorded / "binance/trades" / file).read_text())]
    walked: list[Any] = []
    number = 1
    while page := exact(get("binance", "/api/v3/historicalTrades", symbol="BTCUSDT", limit=300, fromId=number).text):
        walked += page
        number = int(page[-1]["id"]) + 1
    assert walked == expected


def test_binance_finds_a_time_by_an_aggregate_made_of_each_trade(get: Any, recorded: Path) -> None:
    file = recorded / "binance/trades/2020-10-26_BTCUSDT_limit1000.json"
    trade = json.loads(file.read_text())[400]
    found = get("binance", "/api/v3/aggTrades", symbol="BTCUSDT", startTime=trade["time"], limit=1000).json()
    assert found[0]["T"] == trade["time"]
    assert trade["id"] in [aggregate["f"] for aggregate in found[:60]]


def test_recorded_binance_aggregates_come_before_made_ones(get: Any, recorded: Path) -> None:
    file = recorded / "binance/aggTrades/2026-04-07_BTCUSDT_limit5.json"
    kept = json.loads(file.read_text())
    found = get("binance", "/api/v3/aggTrades", symbol="BTCUSDT", startTime=kept[0]["T"]).json()
    assert found == kept


def test_kraken_rows_without_id_are_served_in_order_with_the_recorded_last(get: Any, recorded: Path) -> None:
    kept = exact((recorded / "kraken/trades/2019-05-15_BCHEUR.json").read_text())
    assert exact(get("kraken", "/0/public/Trades", pair="BCHEUR").text) == kept


@pytest.mark.parametrize("file", ["2019-05-15_BCHEUR.json", "2025-11-10_XBTUSDT_tradeid.json"])
@pytest.mark.parametrize("count", [7, 333])
def test_kraken_pages_of_any_size_lose_and_repeat_nothing(get: Any, recorded: Path, file: str, count: int) -> None:
    kept = exact((recorded / "kraken/trades" / file).read_text())["result"]
    last = kept.pop("last")
    ((pair, expected),) = kept.items()
    walked, cursor = [], "0"
    for _ in range(1000 // count + 2):
        result = exact(get("kraken", "/0/public/Trades", pair=pair, since=cursor, count=count).text)["result"]
        walked, cursor = walked + result[pair], result["last"]
    assert (walked, cursor) == (expected, last)


def test_product_lists_are_the_recorded_ones(get: Any, recorded: Path) -> None:
    def kept(path: str) -> Any:
        return json.loads((recorded / path).read_text())

    assert get("coinbase", "/products").json() == kept("coinbase/products/2021-04-17_pro_products.json")
    assert (
        get("binance", "/api/v3/exchangeInfo").json()["symbols"]
        == (kept("binance/exchangeInfo/2026-06_gct_trunc12.json")["symbols"])
    )
    assert get("kraken", "/0/public/Assets").json() == kept("kraken/Assets/2017-10-03.json")
    assert get("kraken", "/0/public/AssetPairs").json() == (
        kept("kraken/AssetPairs/2025-11_nautilus_http_asset_pairs.json")
    )


def test_a_recorded_book_is_served(get: Any, recorded: Path) -> None:
    book = json.loads((recorded / "binance/depth/2019-01-29_ETHBTC.json").read_text())
    assert get("binance", "/api/v3/depth", symbol="ETHBTC", limit=10).json()["bids"] == book["bids"][:10]


def test_a_listed_product_without_recorded_trades_has_none(get: Any) -> None:
    assert get("coinbase", "/products/SKL-EUR/trades").json() == []
    assert get("binance", "/api/v3/trades", symbol="ETHBTC").json() == []


def test_an_unknown_product_is_the_exchanges_own_error(get: Any) -> None:
    assert get("coinbase", "/products/NO-PE/trades").status_code == 404
    assert get("binance", "/api/v3/trades", symbol="NOPE").json()["code"] == -1121
    assert get("kraken", "/0/public/Trades", pair="NOPE").json() == {"error": ["EQuery:Unknown asset pair"]}


def test_a_folder_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no folder"):
        Simulator(recorded=tmp_path / "nowhere")


def test_a_file_of_an_unknown_product_is_refused(tmp_path: Path) -> None:
    (tmp_path / "coinbase/trades").mkdir(parents=True)
    (tmp_path / "coinbase/trades/page.json").write_text("[]")
    with pytest.raises(UsageError, match="which product"):
        Simulator(recorded=tmp_path)
