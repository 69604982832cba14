"""What goes wrong at exchanges: what heals leaves no trace, what does not is named and costs nobody else anything."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from schemahub_lib.exchanges import EXCHANGES
from schemahub_lib.http.client import HttpClient
from schemahub_lib.pipeline import clients
from schemahub_lib.pipeline.reports import Report
from schemahub_lib.pipeline.runs import exit_code
from schemahub_lib.schemas import QUARANTINE, RUNS
from schemahub_lib.simulator import Simulator
from schemahub_lib.tables.lake import Lake
from tests.e2e.conftest import Outcome
from tests.e2e.pipelines import (
    NOW,
    PRODUCTS,
    SINCE,
    TARGET,
    Key,
    Values,
    ingest,
    lake_at,
    pipeline,
    raw_keys,
    rows,
    settings_for,
    tape,
    unified,
)
from tests.e2e.proxy import CUT, Spoiler, spoiling
from tests.e2e.support import ROOT

MakeLake = Callable[..., Lake]
Cli = Callable[..., Outcome]
SINCE_TEXT = f"{SINCE:%Y-%m-%dT%H:%MZ}"
DEAD = "http://127.0.0.1:9"  # nothing listens there


@contextmanager
def patience(seconds: float) -> Iterator[None]:
    """Ingests give up on a request after this long, and not after the usual two minutes."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(clients, "HttpClient", lambda *given, **told: HttpClient(*given, **told | {"deadline": seconds}))
        yield


@pytest.fixture(scope="module")
def market() -> Iterator[Simulator]:
    with Simulator(seed=11, now=NOW, speed=0, trade_rate=0.5, rate_limits=False) as simulator:
        yield simulator


@pytest.fixture(scope="module")
def expected(market: Simulator) -> dict[Key, Values]:
    return tape(market.urls)


@pytest.fixture(autouse=True)
def healthy(market: Simulator) -> Iterator[None]:
    """Ends the faults a test has set."""
    yield
    market.set_faults({})


def test_faults_that_pass_leave_no_trace(make_lake: MakeLake, market: Simulator, expected: dict[Key, Values]) -> None:
    lake = make_lake(**settings_for(market.urls))
    before = faults_served(market)
    kinds = ("slow:0.2", "500", "reset", "truncate", "html", "503")
    market.set_faults(dict.fromkeys(kinds, 0.1))
    reports = pipeline(lake, since=SINCE)
    served = faults_served(market) - before
    assert set(served) == {kind.partition(":")[0] for kind in kinds}
    assert sum(report.retries for report in reports.values()) >= 5
    assert {report.status for report in reports.values()} == {"ok"}
    assert unified(lake) == expected
    assert sum(len(raw_keys(lake, exchange)) for exchange in EXCHANGES) == len(expected)


def faults_served(market: Simulator) -> Counter[str]:
    return sum((Counter(stats["faults"]) for stats in market.stats.values()), Counter())


def test_malformed_rows_are_set_aside_and_the_run_goes_on_and_says_so(
    cli: Cli, make_lake: MakeLake, market: Simulator, expected: dict[Key, Values]
) -> None:
    lake = make_lake()
    market.set_faults({"malformed-row": 1.0})
    settings = settings_for(market.urls) | {"SCHEMAHUB_WAREHOUSE": lake.settings.warehouse}
    run = cli("run", "pipeline", "--since", SINCE_TEXT, **settings)
    assert run.code == 0, run.err
    aside = rows(lake, QUARANTINE.name)
    assert all("'oops', not a number" in row["reason"] and '"oops"' in row["payload"] for row in aside)
    assert len({row["quarantine_id"] for row in aside}) == len(aside) == len(expected) - len(unified(lake)) > 0
    assert unified(lake).items() <= expected.items()
    for exchange, product in {(row["source"], row["stream"]) for row in aside}:
        assert re.search(rf"WARNING {exchange} {product}: \d+ rows set aside in schemahub_quarantine, first: ", run.err)
        assert re.search(rf"{exchange}: \d+ rows were set aside in schemahub_quarantine", run.out)
    market.set_faults({})
    again = cli("run", "pipeline", "--json")
    assert again.out.count("nothing_new") == len(EXCHANGES) + 1, "what was set aside is not fetched again"


def test_a_unify_that_is_held_back_does_not_hide_what_was_ingested(
    cli: Cli, make_lake: MakeLake, market: Simulator, tmp_path: Path
) -> None:
    lake = make_lake()
    shipped = (ROOT / "mappings" / "coinbase_trades.yaml").read_text()
    blocked = shipped.replace("  side: side\n", "").replace("  side: taker_from_maker", "  #")
    (tmp_path / "coinbase_trades.yaml").write_text(blocked + "expressions:\n  side: concat('U', 'P')\n")
    settings = settings_for(market.urls) | {"SCHEMAHUB_WAREHOUSE": lake.settings.warehouse}
    run = cli("run", "pipeline", "--mappings", str(tmp_path), "--since", SINCE_TEXT, "--json", **settings)
    assert run.code == 1
    assert "audit allowed_values" in run.err
    assert [(report["source"], report["status"]) for report in json.loads(run.out)] == [("coinbase", "ok")]
    assert raw_keys(lake, "coinbase")
    assert not unified(lake)


def test_a_field_of_the_wrong_type_costs_its_row_only(
    make_lake: MakeLake, market: Simulator, expected: dict[Key, Values]
) -> None:
    spoilt = {name: next(key for key in expected if key[1] == symbols[0]) for name, symbols in PRODUCTS.items()}
    patterns = {
        "coinbase": (rb'("trade_id":%s,"side":)"\w+"', rb"\1[1]", "side is ['1'], not one of buy, sell, BUY, SELL"),
        "binance": (rb'("id":%s,.*?"isBuyerMaker":)\w+', rb'\1"no"', "isBuyerMaker is 'no', not true or false"),
        "okx": (rb'("side":)"\w+"([^}]*"tradeId":"%s")', rb"\1[1]\2", "side is ['1'], not one of buy, sell"),
        "kraken": (rb'\["[\d.]+"(,[^\]]*,%s\])', rb"[null\1", "price is None, not a number"),
    }

    def spoil(path: str, body: bytes) -> bytes | None:
        for name, (pattern, replacement, _) in patterns.items():
            _, symbol, trade_id = spoilt[name]
            if symbol in path:
                body = re.sub(pattern % trade_id.encode(), replacement, body)
        return body

    with spoiling(market.urls, spoil) as urls:
        lake = make_lake(**settings_for(urls))
        reports = ingest(lake, since=SINCE)
    assert {(report.status, report.quarantined) for report in reports.values()} == {("ok", 1)}
    found = {row["source"]: (row["stream"], row["reason"]) for row in rows(lake, QUARANTINE.name)}
    assert found == {name: (spoilt[name][1], reason) for name, (*_, reason) in patterns.items()}
    landed = {key for exchange in EXCHANGES for key in raw_keys(lake, exchange)}
    assert landed == expected.keys() - set(spoilt.values())


@dataclass
class Broken:
    """A run during which some products were broken, each in its own way, and one after they were mended."""

    reports: dict[str, Report]
    landed: dict[Key, Values]
    raw: set[Key]
    reports_after: dict[str, Report]
    landed_after: dict[Key, Values]


def breakages() -> Spoiler:
    seen: Counter[str] = Counter()

    def spoil(path: str, body: bytes) -> bytes | None:
        if "rades" not in path:
            return None
        if "ETH-USDT" in path:
            return b'{"code":"50001","data":[],"msg":"Service temporarily unavailable."}'
        if "ETH-USD" in path:
            return b'{"trades":[]}'
        if "SOL-USDT" in path:
            return b'{"code":"0","data":{},"msg":""}'
        if "SOL-USD" in path:
            return b"<html><body>Sorry</body></html>"
        if "historicalTrades" in path and "BTCUSDT" in path:
            seen["page"] += 1
            return None if seen["page"] == 1 else body + CUT
        if "historicalTrades" in path and "ETHUSDT" in path:
            return re.sub(rb'"price":"[^"]*"', b'"price":{}', body)
        if "ETHUSD&" in path:
            return b'{"error":[],"result":[]}'
        if "SOLUSD&" in path:
            return b'{"error":["EService:Unavailable"]}'
        return None

    return spoil


@pytest.fixture(scope="module")
def broken(spark_jvm: None, market: Simulator, tmp_path_factory: pytest.TempPathFactory) -> Broken:
    warehouse = tmp_path_factory.mktemp("broken") / "warehouse"
    with spoiling(market.urls, breakages()) as urls, patience(2.0):
        lake = lake_at(warehouse, urls)
        reports = pipeline(lake, since=SINCE)
        landed, raw = unified(lake), {key for exchange in EXCHANGES for key in raw_keys(lake, exchange)}
    lake = lake_at(warehouse, market.urls)
    return Broken(reports, landed, raw, pipeline(lake, since=SINCE), unified(lake))


@pytest.mark.parametrize(
    ("exchange", "product", "endpoint", "expectation"),
    [
        (
            "coinbase",
            "ETH-USD",
            "/products/ETH-USD/trades",
            "expected an array of trades, newest first, but",
        ),
        ("coinbase", "SOL-USD", "/products/SOL-USD/trades", "HTTP 200 with something other than JSON: '<html><body>S"),
        ("binance", "BTCUSDT", "/api/v3/historicalTrades", "no complete answer from http://127.0.0.1:"),
        ("binance", "ETHUSDT", "trades", "first: price is {}, not a number"),
        ("kraken", "ETHUSD", "/0/public/Trades", "expected result: an object of one pair's rows and `last`"),
        ("kraken", "SOLUSD", "/0/public/Trades", "EService:Unavailable"),
        ("okx", "ETH-USDT", "/api/v5/market/history-trades", "Service temporarily unavailable. (code 50001)"),
        ("okx", "SOL-USDT", "/api/v5/market/history-trades", "expected data: an array of trades, newest first, but"),
    ],
)
def test_what_stays_broken_is_named_with_what_was_expected(
    broken: Broken, exchange: str, product: str, endpoint: str, expectation: str
) -> None:
    report = broken.reports[exchange]
    assert report.status == "partial"
    assert set(report.errors) == {p for _, p in BROKEN if _ == exchange}
    assert report.errors[product].startswith(f"{exchange} {product} {endpoint}: ")
    assert expectation in report.errors[product]


BROKEN = {
    ("coinbase", "ETH-USD"),
    ("coinbase", "SOL-USD"),
    ("binance", "BTCUSDT"),
    ("binance", "ETHUSDT"),
    ("kraken", "ETHUSD"),
    ("kraken", "SOLUSD"),
    ("okx", "ETH-USDT"),
    ("okx", "SOL-USDT"),
}


def test_products_that_are_well_are_unified_all_the_same(broken: Broken, expected: dict[Key, Values]) -> None:
    well = {key: values for key, values in expected.items() if (key[0].lower(), key[1]) not in BROKEN}
    assert {key[1] for key in well} == {"BTC-USD", "SOLUSDT", "XBTUSD", "BTC-USDT"}
    assert well.items() <= broken.landed.items()
    assert broken.landed.items() <= expected.items()
    assert broken.raw == broken.landed.keys()
    assert exit_code(list(broken.reports.values())) == 3


def test_a_product_that_broke_half_way_keeps_whole_pages_without_a_gap(
    broken: Broken, expected: dict[Key, Values]
) -> None:
    on_tape = sorted(int(key[2]) for key in expected if key[1] == "BTCUSDT")
    landed = sorted(int(key[2]) for key in broken.landed if key[1] == "BTCUSDT")
    assert len(on_tape) > 1000
    assert landed == on_tape[: len(landed)]
    assert 0 < len(landed) <= 1000
    assert {key[1] for key in broken.landed} == {"BTC-USD", "BTCUSDT", "SOLUSDT", "XBTUSD", "BTC-USDT"}


def test_the_run_after_the_mend_completes_everything(broken: Broken, expected: dict[Key, Values]) -> None:
    assert broken.landed_after == expected
    assert {report.status for report in broken.reports_after.values()} == {"ok"}


def test_one_exchange_down_does_not_stop_the_others(
    make_lake: MakeLake, market: Simulator, expected: dict[Key, Values]
) -> None:
    lake = make_lake(**settings_for(market.urls | {"binance": DEAD}))
    with patience(1.0):
        reports = pipeline(lake, since=SINCE)
    assert unified(lake) == {key: values for key, values in expected.items() if key[0] != "BINANCE"}
    assert reports["binance"].status == "failed"
    (message,) = reports["binance"].errors.values()
    assert message.startswith(f"binance /api/v3/exchangeInfo: no complete answer from {DEAD}: Connection refused")
    assert "SCHEMAHUB_BINANCE_URL" in message
    assert exit_code(list(reports.values())) == 3


@pytest.mark.parametrize(
    ("exchange", "good", "unknown", "told"),
    [
        ("coinbase", "BTC-USD", "BTC-USDD", "coinbase BTC-USDD /products/BTC-USDD/trades: HTTP 404: NotFound"),
        ("binance", "BTCUSDT", "BTCUSTD", "binance BTCUSTD /api/v3/aggTrades: HTTP 400: Invalid symbol. (code -1121)"),
        ("kraken", "XBTUSD", "BTCUSD", "kraken BTCUSD /0/public/Trades: EQuery:Unknown asset pair"),
        ("okx", "BTC-USDT", "BTC-USDD", "okx BTC-USDD /api/v5/market/history-trades: Instrument ID, Instrument ID"),
    ],
)
def test_an_unknown_product_is_named_and_the_others_land(
    exchange: str, good: str, unknown: str, told: str, cli: Cli, lake: Lake, market: Simulator
) -> None:
    settings = settings_for(market.urls) | {"SCHEMAHUB_WAREHOUSE": lake.settings.warehouse}
    run = cli("run", "ingest", exchange, "--products", f"{unknown},{good}", "--since", SINCE_TEXT, **settings)
    assert run.code == 3
    assert told in run.err
    assert f"failed: {told}" in run.out
    assert f"{exchange} lists no product {unknown}, trying it all the same; did you mean" in run.err
    assert "Traceback" not in run.err
    assert raw_keys(lake, exchange) == Counter(tape(market.urls, products={exchange: (good,)}).keys())


def test_when_everything_fails_the_exit_code_is_1_and_no_trade_table_gets_a_row(
    cli: Cli, make_lake: MakeLake, market: Simulator
) -> None:
    lake = make_lake()
    down = settings_for(dict.fromkeys(PRODUCTS, DEAD)) | {"SCHEMAHUB_WAREHOUSE": lake.settings.warehouse}
    with patience(0.5):
        run = cli("run", "pipeline", **down)
    assert run.code == 1
    assert "Traceback" not in run.err
    for exchange in EXCHANGES:
        assert not raw_keys(lake, exchange)
    assert not unified(lake)
    assert {row["status"] for row in rows(lake, "schemahub_runs") if row["source"] != TARGET} == {"failed"}


@pytest.mark.slow
def test_the_row_of_a_run_tells_how_the_exchange_took_it(make_lake: MakeLake, market: Simulator) -> None:
    lake = make_lake(**settings_for(market.urls | {"binance": DEAD}))
    with patience(12.0):
        ingest(lake, since=SINCE)
    found = {row["source"]: (row["pace"], row["breaker"], row["breaker_opened"]) for row in rows(lake, RUNS.name)}
    assert found == {
        "coinbase": (1.0, "closed", 0),
        "kraken": (1.0, "closed", 0),
        "okx": (1.0, "closed", 0),
        "binance": (1.0, "open", 1),
    }
