"""Runs in this process, on the shared Spark, and what the exchanges' own APIs say should come of them."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import requests

from schemahub_lib.config import Settings
from schemahub_lib.exchanges import EXCHANGES
from schemahub_lib.pipeline.ingest import IngestOptions
from schemahub_lib.pipeline.pipeline import run_ingest, run_pipeline, run_unify
from schemahub_lib.pipeline.progress import Progress
from schemahub_lib.pipeline.reports import Report, new_run_id
from schemahub_lib.pipeline.unify import mappings_for
from schemahub_lib.schemas import TRADES_UNIFIED
from schemahub_lib.tables.lake import Lake

# A calm quarter of an hour of the simulated market; what the shipped seed files name.
NOW = "2024-02-08T15:20:00Z"
SINCE = datetime(2024, 2, 8, 15, 17, tzinfo=UTC)
PRODUCTS: Mapping[str, Sequence[str]] = {
    "coinbase": ("BTC-USD", "ETH-USD", "SOL-USD"),
    "binance": ("BTCUSDT", "ETHUSDT", "SOLUSDT"),
    "kraken": ("XBTUSD", "ETHUSD", "SOLUSD"),
    "okx": ("BTC-USDT", "ETH-USDT", "SOL-USDT"),
}
# One exchange of each way to page, for tests that would prove nothing more with another: OKX pages as Coinbase does.
WAYS = ("coinbase", "binance", "kraken")
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
TARGET = TRADES_UNIFIED.name

Key = tuple[str, str, str]  # exchange, symbol, trade id
Values = tuple[str, float, float, datetime]  # the taker's side, price, quantity, time


def settings_for(urls: Mapping[str, str]) -> dict[str, str]:
    """The environment variables that point SchemaHub at a simulator."""
    return {f"SCHEMAHUB_{name.upper()}_URL": url for name, url in urls.items()}


def lake_at(warehouse: Path | str, urls: Mapping[str, str], **environment: str) -> Lake:
    return Lake(Settings.load(warehouse=str(warehouse), environment=settings_for(urls) | environment))


def pipeline(lake: Lake, *exchanges: str, **options: Any) -> dict[str, Report]:
    """`run pipeline`; the reports by source, the unify's by its target."""
    chosen = [EXCHANGES[name] for name in exchanges or EXCHANGES]
    with Progress(live=False) as progress:
        specs = mappings_for(lake, TARGET, exchanges)
        reports = list(run_pipeline(lake, chosen, TARGET, specs, IngestOptions(**options), new_run_id(), progress))
    return {report.source: report for report in reports}


def ingest(lake: Lake, *exchanges: str, **options: Any) -> dict[str, Report]:
    chosen = [EXCHANGES[name] for name in exchanges or EXCHANGES]
    with Progress(live=False) as progress:
        reports = run_ingest(lake, chosen, IngestOptions(**options), new_run_id(), progress)
    return {report.source: report for report in reports}


def unify(lake: Lake, *, dry_run: bool = False) -> Report:
    with Progress(live=False) as progress:
        return run_unify(lake, TARGET, mappings_for(lake, TARGET), new_run_id(), progress, dry_run=dry_run)


def rows(lake: Lake, table: str) -> list[dict[str, Any]]:
    found = lake.find(table)
    assert found is not None, f"there is no table {table}"
    values: list[dict[str, Any]] = found.scan().to_arrow().to_pylist()
    return values


def unified(lake: Lake) -> dict[Key, Values]:
    """`trades_unified`, in which no key may stand twice."""
    listed = rows(lake, TARGET)
    found: dict[Key, Values] = {
        (r["exchange"], r["symbol"], r["trade_id"]): (r["side"], r["price"], r["quantity"], r["trade_ts"])
        for r in listed
    }
    assert len(found) == len(listed), "a key stands twice"
    return found


def raw_keys(lake: Lake, exchange: str) -> Counter[Key]:
    """How often each trade stands in an exchange's raw table."""
    symbol, trade_id = EXCHANGES[exchange].raw_table.key
    return Counter((exchange.upper(), r[symbol], r[trade_id]) for r in rows(lake, EXCHANGES[exchange].raw_table.name))


def tape(
    urls: Mapping[str, str],
    since: datetime = SINCE,
    until: datetime | None = None,
    products: Mapping[str, Sequence[str]] = PRODUCTS,
) -> dict[Key, Values]:
    """Every trade from `since` up to now (or before `until`), as each exchange's API tells it to any client."""
    found: dict[Key, Values] = {}
    with requests.Session() as session:
        for exchange, symbols in products.items():
            for symbol in symbols:
                for trade_id, *values in PAGES[exchange](session, urls[exchange], symbol, since):
                    side, price, quantity, micros = values
                    moment = EPOCH + timedelta(microseconds=micros)
                    if since <= moment and (until is None or moment < until):
                        found[exchange.upper(), symbol, str(trade_id)] = (side, float(price), float(quantity), moment)
    return found


def _ask(session: requests.Session, url: str, **params: Any) -> tuple[Any, Mapping[str, str]]:
    answer = session.get(url, params=params, timeout=10)
    answer.raise_for_status()
    return json.loads(answer.text, parse_float=Decimal), answer.headers


def _coinbase(session: requests.Session, url: str, symbol: str, since: datetime) -> Iterator[tuple[Any, ...]]:
    after: dict[str, str] = {}
    while True:
        page, headers = _ask(session, f"{url}/products/{symbol}/trades", limit=1000, **after)
        for row in page:
            taker = {"buy": "SELL", "sell": "BUY"}[row["side"]]  # it names the maker's
            moment = datetime.fromisoformat(row["time"])
            yield row["trade_id"], taker, row["price"], row["size"], (moment - EPOCH) // timedelta(microseconds=1)
        if not page or moment < since:
            return
        after = {"after": headers["CB-AFTER"]}


def _binance(session: requests.Session, url: str, symbol: str, since: datetime) -> Iterator[tuple[Any, ...]]:
    place: dict[str, int] = {}
    while True:
        page, _ = _ask(session, f"{url}/api/v3/historicalTrades", symbol=symbol, limit=1000, **place)
        for row in page:
            taker = "SELL" if row["isBuyerMaker"] else "BUY"
            yield row["id"], taker, row["price"], row["qty"], row["time"] * 1000
        if page[0]["time"] < since.timestamp() * 1000:
            return
        place = {"fromId": page[0]["id"] - 1000}


def _kraken(session: requests.Session, url: str, symbol: str, since: datetime) -> Iterator[tuple[Any, ...]]:
    last = str(int(since.timestamp()) * 10**9 - 10**6)
    while True:
        body, _ = _ask(session, f"{url}/0/public/Trades", pair=symbol, since=last, count=1000)
        (page,) = (value for key, value in body["result"].items() if key != "last")
        for price, volume, seconds, side, _, _, trade_id in page:
            yield trade_id, {"b": "BUY", "s": "SELL"}[side], price, volume, int(Decimal(seconds) * 10**6)
        if not page:
            return
        last = body["result"]["last"]


def _okx(session: requests.Session, url: str, symbol: str, since: datetime) -> Iterator[tuple[Any, ...]]:
    after: dict[str, str] = {}
    while True:
        body, _ = _ask(session, f"{url}/api/v5/market/history-trades", instId=symbol, limit=100, **after)
        for row in body["data"]:
            yield row["tradeId"], row["side"].upper(), row["px"], row["sz"], int(row["ts"]) * 1000
        if not body["data"] or int(body["data"][-1]["ts"]) < since.timestamp() * 1000:
            return
        after = {"after": body["data"][-1]["tradeId"]}


PAGES = {"coinbase": _coinbase, "binance": _binance, "kraken": _kraken, "okx": _okx}
