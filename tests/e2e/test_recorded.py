"""Recorded responses of the real exchanges, through the whole pipeline, against what ccxt makes of the same rows."""

from __future__ import annotations

import json
import re
import shlex
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import ccxt
import pytest

from schemahub_lib.exchanges import EXCHANGES
from schemahub_lib.simulator import Simulator
from schemahub_lib.tables.lake import Lake
from tests.e2e.pipelines import ingest, lake_at, rows, unified, unify
from tests.e2e.support import ROOT, environment, schemahub

LONG_AGO = datetime(2013, 1, 1, tzinfo=UTC)
OBJECT, ARRAY = re.compile(r"\{[^{}]*\}"), re.compile(r'\[\s*"[^\[\]]*\]')


@dataclass(frozen=True)
class Recording:
    """Files that hold one product's trades. `assets` are base and quote in the exchange's own codes."""

    exchange: str
    symbol: str
    files: str
    rows: int
    assets: tuple[str, str]

    def texts(self, folder: Path) -> list[str]:
        """Each recorded row, character for character."""
        row = ARRAY if self.exchange == "kraken" else OBJECT
        return [text for file in sorted(folder.glob(self.files)) for text in row.findall(file.read_text())]


RECORDINGS = [
    Recording("coinbase", "BTC-USD", "coinbase/trades/2016-05-12_btc-usd_paged/page??.json", 300, ("BTC", "USD")),
    Recording("coinbase", "BTC-USD", "coinbase/trades/2018-04-13_btc-usd_p1.json", 100, ("BTC", "USD")),
    Recording("coinbase", "BTC-USDT", "coinbase/trades/2024-03-13_btc-usdt_1row_ccxt.json", 1, ("BTC", "USDT")),
    Recording("binance", "BTCUSDT", "binance/trades/20*_BTCUSDT_*[0-9].json", 1005, ("BTC", "USDT")),
    Recording("binance", "XRPUSDT", "binance/historicalTrades/*_XRPUSDT_*[0-9].json", 1, ("XRP", "USDT")),
    Recording("kraken", "XBTUSDT", "kraken/trades/2025-11-10_XBTUSDT_tradeid.json", 1000, ("XBT", "USDT")),
    Recording("kraken", "BCHEUR", "kraken/trades/2019-05-15_BCHEUR.json", 1000, ("BCH", "EUR")),
]
RECORDED = dict.fromkeys(recording.exchange for recording in RECORDINGS)
each = pytest.mark.parametrize("recording", RECORDINGS, ids=lambda r: Path(r.files).name)


def fetch_all(lake: Lake, **options: Any) -> None:
    for exchange in RECORDED:
        products = dict.fromkeys(r.symbol for r in RECORDINGS if r.exchange == exchange)
        (report,) = ingest(lake, exchange, products=tuple(products), since=LONG_AGO, **options).values()
        assert not report.errors
    unify(lake)


@pytest.fixture(scope="module")
def exchanges(recorded: Path) -> Iterator[Simulator]:
    with Simulator(recorded=recorded, rate_limits=False) as simulator:
        yield simulator


@pytest.fixture(scope="module")
def filled(spark_jvm: None, exchanges: Simulator, tmp_path_factory: pytest.TempPathFactory) -> Lake:
    lake = lake_at(tmp_path_factory.mktemp("recorded") / "warehouse", exchanges.urls)
    fetch_all(lake)
    return lake


def in_ccxts_words(recording: Recording, texts: list[str]) -> list[dict[str, Any]]:
    name = "coinbaseexchange" if recording.exchange == "coinbase" else recording.exchange
    client = getattr(ccxt, name)()
    base, quote = (client.safe_currency_code(asset) for asset in recording.assets)
    names = {"id": recording.symbol, "symbol": f"{base}/{quote}", "base": base, "quote": quote}
    market = client.safe_market_structure({**names, "type": "spot", "spot": True})
    trades: list[dict[str, Any]] = client.parse_trades([client.parse_json(text) for text in texts], market)
    return trades


def of(recording: Recording, listed: list[dict[str, Any]], symbol_column: str) -> list[dict[str, Any]]:
    return [row for row in listed if row[symbol_column] == recording.symbol]


@each
def test_the_recording_is_whole(recording: Recording, recorded: Path) -> None:
    assert len(recording.texts(recorded)) == recording.rows


@each
def test_unified_trades_are_what_ccxt_makes_of_the_same_rows(
    recording: Recording, recorded: Path, filled: Lake
) -> None:
    theirs = Counter(
        (
            t["symbol"].replace("/", "-"),
            *t["symbol"].split("/"),
            t["id"],
            t["side"].upper(),
            float(t["price"]),
            float(t["amount"]),
            t["timestamp"],
        )
        for t in in_ccxts_words(recording, recording.texts(recorded))
    )
    has_ids = recording.symbol != "BCHEUR"
    ours = Counter(
        (
            t["canonical_symbol"],
            t["base_asset"],
            t["quote_asset"],
            t["trade_id"] if has_ids else None,
            t["side"],
            t["price"],
            t["quantity"],
            (t["trade_ts"] - datetime(1970, 1, 1, tzinfo=UTC)).total_seconds() * 1000 // 1,
        )
        for t in of(recording, rows(filled, "trades_unified"), "symbol")
        if t["exchange"] == recording.exchange.upper()
    )
    assert theirs.total() == recording.rows
    assert theirs - ours == Counter()


def test_nothing_else_is_there(filled: Lake) -> None:
    everything = sum(recording.rows for recording in RECORDINGS)
    assert len(unified(filled)) == everything
    assert sum(len(rows(filled, EXCHANGES[exchange].raw_table.name)) for exchange in RECORDED) == everything


@pytest.mark.parametrize("exchange", RECORDED)
def test_raw_keeps_every_recorded_row_once_character_for_character(exchange: str, recorded: Path, filled: Lake) -> None:
    texts = Counter(text for r in RECORDINGS if r.exchange == exchange for text in r.texts(recorded))
    assert Counter(row["_raw_payload"] for row in rows(filled, EXCHANGES[exchange].raw_table.name)) == texts


def moment(text: str) -> datetime:
    """Seconds since 1970 as text, cut to microseconds."""
    micros = int(Decimal(text) * 10**6)
    return datetime.fromtimestamp(micros // 10**6, UTC).replace(microsecond=micros % 10**6)


def coinbase_columns(row: dict[str, str]) -> dict[str, Any]:
    return {
        "trade_id": row["trade_id"],
        "price": float(row["price"]),
        "size": float(row["size"]),
        "time": datetime.fromisoformat(row["time"]),
        "side": row["side"].upper(),
    }


def binance_columns(row: dict[str, Any]) -> dict[str, Any]:
    return {
        "id": row["id"],
        "price": float(row["price"]),
        "qty": float(row["qty"]),
        "quote_qty": float(row["quoteQty"]),
        "time": moment(f"{row['time']}e-3"),
        "is_buyer_maker": row["isBuyerMaker"],
        "is_best_match": row["isBestMatch"],
    }


def kraken_columns(row: list[str]) -> dict[str, Any]:
    price, volume, seconds, side, order_type, misc, *trade_id = row
    return {
        "price": float(price),
        "volume": float(volume),
        "time": moment(seconds),
        "side": side,
        "order_type": order_type,
        "misc": misc,
        **({"trade_id": trade_id[0]} if trade_id else {}),
    }


@pytest.mark.parametrize(
    ("exchange", "columns"),
    [("coinbase", coinbase_columns), ("binance", binance_columns), ("kraken", kraken_columns)],
)
def test_raw_columns_say_what_the_payload_says(
    exchange: str, columns: Callable[[Any], dict[str, Any]], filled: Lake
) -> None:
    for row in rows(filled, EXCHANGES[exchange].raw_table.name):
        expected = columns(json.loads(row["_raw_payload"], parse_float=str, parse_int=str))
        assert {name: row[name] for name in expected} == expected
        assert row["_source"] == exchange
        assert row["_source_ingest_ts"] > row["time"]


def kraken_ids(lake: Lake) -> dict[str, str]:
    """The id of each row that Kraken gave none."""
    found = [r for r in rows(lake, "raw_kraken_trades") if r["pair"] == "BCHEUR"]
    return {r["_raw_payload"]: r["trade_id"] for r in found}


def test_rows_without_an_id_get_one_that_is_their_own(filled: Lake) -> None:
    ids = kraken_ids(filled)
    assert len(set(ids.values())) == 1000
    assert all(re.fullmatch(r"x\d{16}-[\d.]+-[\d.]+-[bs][lm]-\d+", trade_id) for trade_id in ids.values())


def test_made_ids_do_not_depend_on_where_runs_begin_and_end(
    exchanges: Simulator, filled: Lake, spark_jvm: None, tmp_path: Path
) -> None:
    lake = lake_at(tmp_path / "other", exchanges.urls)
    for until in (datetime(2019, 5, 15, 6, 30, tzinfo=UTC), None):
        ingest(lake, "kraken", products=("BCHEUR",), since=LONG_AGO, until=until)
    assert kraken_ids(lake) == kraken_ids(filled)


def test_a_second_run_changes_nothing(filled: Lake) -> None:
    before = unified(filled)
    fetch_all(filled)
    assert unified(filled) == before
    test_nothing_else_is_there(filled)


def test_reading_everything_again_after_all_state_is_lost_changes_nothing(filled: Lake) -> None:
    before = unified(filled)
    files = list(Path(filled.settings.warehouse).rglob("_schemahub/*.json"))
    assert len(files) >= 4
    for file in files:
        file.unlink()
    fetch_all(filled)
    assert unified(filled) == before
    test_nothing_else_is_there(filled)


def readme_command(word: str) -> list[str]:
    """The arguments of the README's command line that has `word` in it."""
    lines = (ROOT / "README.md").read_text().splitlines()
    (line,) = (line for line in lines if line.startswith("schemahub ") and word in line)
    return shlex.split(line, comments=True)[1:]


@pytest.mark.slow
def test_the_commands_of_the_readme_do_it_too(recorded: Path, tmp_path: Path) -> None:
    simulate = subprocess.Popen(
        [sys.executable, "-m", "schemahub_lib", *readme_command("--recorded"), "--json"],
        cwd=ROOT,
        env=environment({}, tmp_path),
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert simulate.stdout is not None
        urls = json.loads(simulate.stdout.readline())
        run = schemahub(environment(urls, tmp_path / "warehouse"), *readme_command("--since 2013"))
        assert run.returncode == 0, run.stderr
        assert len(rows(lake_at(tmp_path / "warehouse", urls), "raw_kraken_trades")) == 2000
    finally:
        simulate.send_signal(signal.SIGTERM)
        assert simulate.wait(10) == 0
        assert simulate.stdout is not None
        simulate.stdout.close()
