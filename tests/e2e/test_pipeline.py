"""The pipeline on a simulated market whose clock stands still, against the tape that any client of its API sees."""

from __future__ import annotations

import json
import logging
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from schemahub_lib.exchanges import EXCHANGES
from schemahub_lib.pipeline.reports import Report
from schemahub_lib.schemas import RUNS, WATERMARKS
from schemahub_lib.simulator import Simulator
from schemahub_lib.tables.lake import Lake
from schemahub_lib.tables.state import STATE_FILE, read_state
from tests.e2e.pipelines import (
    EPOCH,
    NOW,
    PRODUCTS,
    SINCE,
    TARGET,
    WAYS,
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
    unify,
)
from tests.e2e.support import environment, schemahub

MakeLake = Callable[..., Lake]


@pytest.fixture
def market() -> Iterator[Simulator]:
    """A little market of its own, for tests that move its clock."""
    with Simulator(seed=5, now=NOW, speed=0, trade_rate=0.1, rate_limits=False) as simulator:
        yield simulator


def snapshots(lake: Lake) -> dict[str, int]:
    """How many snapshots each table of trades has."""
    tables = {name: lake.find(name) for name in lake.table_names() if not name.startswith("schemahub_")}
    return {name: len(table.metadata.snapshots) for name, table in tables.items() if table is not None}


@dataclass(frozen=True)
class Run:
    """What a run reported, what stood in `trades_unified` after it, and what the exchanges' tapes held."""

    reports: dict[str, Report]
    unified: dict[Key, Values]
    tape: dict[Key, Values]
    snapshots: dict[str, int]


@dataclass(frozen=True)
class Story:
    """Three runs of the whole pipeline over one lake: a minute passed before the second, no time before the third."""

    lake: Lake
    urls: dict[str, str]
    runs: list[Run]


@pytest.fixture(scope="module")
def story(spark_jvm: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Story]:
    with Simulator(seed=3, now=NOW, speed=0, trade_rate=0.1, rate_limits=False) as simulator:
        lake = lake_at(tmp_path_factory.mktemp("story") / "warehouse", simulator.urls)
        runs = []
        for seconds in (0, 60, 0):
            simulator.advance(seconds)
            reports = pipeline(lake, since=SINCE)
            runs.append(Run(reports, unified(lake), tape(simulator.urls), snapshots(lake)))
        yield Story(lake, simulator.urls, runs)


def test_the_first_run_lands_the_tape_of_the_window_and_nothing_else(story: Story) -> None:
    first = story.runs[0]
    assert {key[0] for key in first.tape} == {name.upper() for name in EXCHANGES}
    assert first.unified == first.tape
    assert {values[0] for values in first.unified.values()} == {"BUY", "SELL"}


def test_raw_tables_hold_each_trade_once(story: Story) -> None:
    found: Counter[Key] = sum((raw_keys(story.lake, exchange) for exchange in EXCHANGES), Counter())
    assert found == Counter(story.runs[-1].tape.keys())


def test_the_second_run_adds_only_what_is_new(story: Story) -> None:
    first, second, _ = story.runs
    new = second.tape.keys() - first.tape.keys()
    assert second.unified == second.tape
    assert len(new) > 100
    assert second.reports[TARGET].rows == len(new)
    for exchange in EXCHANGES:
        report = second.reports[exchange]
        assert (report.status, report.rows, report.duplicates) == (
            "ok",
            sum(key[0] == exchange.upper() for key in new),
            0,
        )


def test_a_run_with_nothing_new_says_so_and_writes_nothing(story: Story) -> None:
    _, second, third = story.runs
    assert {report.status for report in third.reports.values()} == {"nothing_new"}
    assert third.snapshots == second.snapshots
    assert third.unified == second.unified


def test_a_run_with_nothing_new_starts_no_jvm(story: Story, tmp_path: Path) -> None:
    env = environment(story.urls, story.lake.settings.warehouse, JAVA_HOME=str(tmp_path))
    run = schemahub(env, "run", "pipeline", "--json")
    assert run.returncode == 0, run.stderr
    assert [report["status"] for report in json.loads(run.stdout)] == ["nothing_new"] * (len(EXCHANGES) + 1)


def test_ingest_needs_no_java_and_unify_says_that_it_does(story: Story, tmp_path: Path) -> None:
    env = environment(story.urls, tmp_path / "warehouse", JAVA_HOME=str(tmp_path))
    fetched = schemahub(env, "run", "ingest", "kraken", "--products", "XBTUSD", "--since", SINCE.isoformat())
    assert fetched.returncode == 0, fetched.stderr
    unified = schemahub(env, "run", "unify")
    assert unified.returncode != 0
    assert f"JAVA_HOME={tmp_path} has no bin/java" in unified.stderr


def test_names_are_the_common_ones(story: Story) -> None:
    found = {
        (r["exchange"], r["symbol"], r["canonical_symbol"], r["base_asset"], r["quote_asset"])
        for r in rows(story.lake, TARGET)
    }
    expected = set()
    for exchange, symbols in PRODUCTS.items():
        quote = "USDT" if symbols[0].endswith("USDT") else "USD"
        for symbol, base in zip(symbols, ("BTC", "ETH", "SOL"), strict=True):
            expected.add((exchange.upper(), symbol, f"{base}-{quote}", base, quote))
    assert found == expected


def test_every_row_tells_when_it_was_written(story: Story) -> None:
    times = sorted({row["ingest_ts"] for row in rows(story.lake, TARGET)})
    starts = [run.reports[TARGET].started_at for run in story.runs[:2]]
    assert len(times) == 2
    for time, start in zip(times, starts, strict=True):
        assert timedelta() <= time - start < timedelta(minutes=1)


def test_the_watermark_ledger_says_what_travels_with_the_data(story: Story) -> None:
    assert ledger(story.lake) == travelling(story.lake)
    newest: dict[tuple[str, str], str] = {}
    for exchange, symbol, trade_id in story.runs[-1].tape:
        newest[exchange.lower(), symbol] = str(max(int(trade_id), int(newest.get((exchange.lower(), symbol), "0"))))
    assert {stream: mark[0] for stream, mark in ledger(story.lake).items()} == newest


def test_every_run_is_in_the_ledger_of_runs(story: Story) -> None:
    recorded = {(row["run_id"], row["source"]): (row["status"], row["rows"]) for row in rows(story.lake, RUNS.name)}
    for run in story.runs:
        for source, report in run.reports.items():
            assert recorded[report.run_id, source] == (report.status, report.rows)


def test_a_machine_in_another_time_zone_writes_the_same_times(story: Story, tmp_path: Path) -> None:
    env = environment(story.urls, tmp_path / "warehouse", TZ="America/New_York")
    run = schemahub(env, "run", "pipeline", "--sources", "coinbase", "--since", "2024-02-08T15:17")
    assert run.returncode == 0, run.stderr
    elsewhere = lake_at(tmp_path / "warehouse", story.urls)
    assert unified(elsewhere) == {key: v for key, v in story.runs[-1].tape.items() if key[0] == "COINBASE"}
    assert all(row["ingest_ts"] > datetime.now(UTC) - timedelta(minutes=10) for row in rows(elsewhere, TARGET))
    assert ledger(elsewhere) == {stream: v for stream, v in ledger(story.lake).items() if stream[0] == "coinbase"}


def ledger(lake: Lake) -> dict[tuple[str, str], tuple[object, ...]]:
    return {
        (row["source"], row["stream"]): (row["last_trade_id"], row["last_ts"], row["cursor"])
        for row in rows(lake, WATERMARKS.name)
    }


def travelling(lake: Lake) -> dict[tuple[str, str], tuple[object, ...]]:
    """The watermarks that the raw tables' heads carry."""
    found: dict[tuple[str, str], tuple[object, ...]] = {}
    for exchange in EXCHANGES.values():
        table = lake.find(exchange.raw_table.name)
        assert table is not None
        for name, stream in read_state(table).streams.items():
            mark = stream.watermark
            found[exchange.name, name] = (mark.last_trade_id, mark.last_ts, mark.cursor)
    return found


def test_since_and_until_bound_the_window_and_the_next_run_goes_on_from_there(
    make_lake: MakeLake, market: Simulator
) -> None:
    lake = make_lake(**settings_for(market.urls))
    since, until = SINCE + timedelta(seconds=30), SINCE + timedelta(seconds=90)
    expected = tape(market.urls, since)
    for end in (until, None):
        ingest(lake, since=since, until=end, keep_payload=False)
        window = [key for key, values in expected.items() if end is None or values[3] < end]
        for exchange in EXCHANGES:
            assert raw_keys(lake, exchange) == Counter(key for key in window if key[0] == exchange.upper())
    assert {row["_raw_payload"] for row in rows(lake, "raw_coinbase_trades")} == {None}


def test_a_long_outage_is_caught_up_in_slices_without_a_gap(make_lake: MakeLake, market: Simulator) -> None:
    lake = make_lake(**settings_for(market.urls))
    ingest(lake, *WAYS, since=SINCE)
    market.advance(3 * 3600)
    sliced = ingest(lake, *WAYS, max_catch_up=1000)
    assert 1000 <= sliced["coinbase"].rows <= 3 * 2000
    assert 3 * 1000 <= sliced["binance"].rows <= 3 * 2000
    expected = tape(market.urls, products={exchange: PRODUCTS[exchange] for exchange in WAYS})
    for exchange in WAYS:
        assert no_gaps(lake, exchange)
        assert raw_keys(lake, exchange).keys() <= expected.keys()
    reports = pipeline(lake, *WAYS)
    assert unified(lake) == expected
    assert all(no_gaps(lake, exchange) for exchange in WAYS)
    assert reports["binance"].rows > 10_000


def no_gaps(lake: Lake, exchange: str) -> bool:
    table = lake.find(EXCHANGES[exchange].raw_table.name)
    assert table is not None
    return not any(stream.gaps for stream in read_state(table).streams.values())


def test_a_ledger_that_disagrees_with_the_data_is_mended(make_lake: MakeLake, market: Simulator) -> None:
    lake = make_lake(**settings_for(market.urls))
    ingest(lake, "coinbase", since=SINCE)
    wrong = [row | {"last_trade_id": "999999999999"} for row in lake.partition(WATERMARKS, "coinbase")[1:]]
    lake.update_partition(WATERMARKS, "coinbase", lambda _: wrong)
    market.advance(60)
    ingest(lake, "coinbase")
    assert raw_keys(lake, "coinbase") == Counter(tape(market.urls, products={"coinbase": PRODUCTS["coinbase"]}).keys())
    assert {row["last_trade_id"] for row in lake.partition(WATERMARKS, "coinbase")} == {
        str(max(int(key[2]) for key in raw_keys(lake, "coinbase") if key[1] == symbol))
        for symbol in PRODUCTS["coinbase"]
    }


def state_file(lake: Lake, table: str) -> Path:
    found = lake.find(table)
    assert found is not None
    snapshot = found.current_snapshot()
    assert snapshot is not None
    assert snapshot.summary is not None
    return Path(str(snapshot.summary.additional_properties[STATE_FILE]).removeprefix("file://"))


def test_state_that_was_lost_or_altered_is_noticed_and_rebuilt(
    make_lake: MakeLake, market: Simulator, caplog: pytest.LogCaptureFixture
) -> None:
    lake = make_lake(**settings_for(market.urls))
    pipeline(lake, since=SINCE)
    for table in ("raw_coinbase_trades", "raw_kraken_trades", TARGET):
        state_file(lake, table).unlink()
    altered = state_file(lake, "raw_binance_trades")
    altered.write_text(altered.read_text().replace('"last_trade_id":"', '"last_trade_id":"9'))
    market.advance(60)
    with caplog.at_level(logging.WARNING, "schemahub_lib"):
        reports = pipeline(lake)
    assert {report.status for report in reports.values()} == {"ok"}
    expected = tape(market.urls)
    assert unified(lake) == expected
    for exchange in EXCHANGES:
        assert raw_keys(lake, exchange) == Counter(key for key in expected if key[0] == exchange.upper())
    warnings = [record.getMessage() for record in caplog.records]
    assert sum("cannot be read" in text and "rebuilding the watermarks from the rows" in text for text in warnings) == 2
    assert sum("was altered" in text and "rebuilding the watermarks from the rows" in text for text in warnings) == 1
    assert sum("reading the raw tables from their beginning" in text for text in warnings) == 1
    assert {report.status for report in pipeline(lake).values()} == {"nothing_new"}


def test_an_expired_last_unified_snapshot_costs_time_but_no_trade(
    make_lake: MakeLake, market: Simulator, caplog: pytest.LogCaptureFixture
) -> None:
    lake = make_lake(**settings_for(market.urls))
    pipeline(lake, "coinbase", since=SINCE)
    first = unified(lake)
    market.advance(60)
    ingest(lake, "coinbase")
    raw = "raw_coinbase_trades"
    table = lake.find(raw)
    assert table is not None
    table.manage_snapshots().remove_tag(f"unified_{TARGET}").commit()
    expire(lake, raw, datetime.now(UTC))
    with caplog.at_level(logging.WARNING, "schemahub_lib"):
        report = unify(lake)
    assert "the last unified snapshot" in caplog.text
    expected = tape(market.urls, products={"coinbase": PRODUCTS["coinbase"]})
    assert unified(lake) == expected
    assert (report.rows, report.duplicates) == (len(expected) - len(first), len(first))


def expire(lake: Lake, table: str, older_than: datetime) -> None:
    catalog, database = lake.settings.catalog, lake.settings.database
    lake.spark.sql(
        f"CALL {catalog}.system.expire_snapshots(table => '{catalog}.{database}.{table}', retain_last => 1, "
        f"older_than => TIMESTAMP '{older_than:%Y-%m-%d %H:%M:%S.%fZ}')"
    ).collect()


def test_expiry_spares_the_last_unified_snapshot(make_lake: MakeLake, market: Simulator) -> None:
    lake = make_lake(**settings_for(market.urls))
    pipeline(lake, "kraken", products=("XBTUSD",), since=SINCE)
    unified_by_then = datetime.now(UTC)
    market.advance(60)
    ingest(lake, "kraken", products=("XBTUSD",))
    expire(lake, "raw_kraken_trades", unified_by_then)
    report = unify(lake)
    assert report.rows > 0
    assert report.duplicates == 0


def test_a_dry_run_shows_the_sql_and_what_it_would_insert_and_leaves_no_trace(
    make_lake: MakeLake, market: Simulator
) -> None:
    lake = make_lake(**settings_for(market.urls))
    ingest(lake, "kraken", products=("XBTUSD",), since=SINCE)
    would = unify(lake, dry_run=True)
    assert would.sql is not None
    assert "MERGE INTO" in would.sql
    assert unified(lake) == {}
    assert not [row for row in rows(lake, RUNS.name) if row["job"] == "unify"]
    did = unify(lake)
    assert (did.rows, did.sql) == (would.rows, None)
    assert unified(lake) == tape(market.urls, products={"kraken": ("XBTUSD",)})


def test_two_databases_in_one_warehouse_know_nothing_of_each_other(make_lake: MakeLake, market: Simulator) -> None:
    one, two = (make_lake(SCHEMAHUB_DATABASE=name, **settings_for(market.urls)) for name in ("one", "two"))
    pipeline(one, "kraken", products=("XBTUSD", "XDGUSD"), since=SINCE)
    pipeline(two, "kraken", products=("XDGUSD",), since=SINCE - timedelta(minutes=10))
    assert unified(one) == tape(market.urls, products={"kraken": ("XBTUSD", "XDGUSD")})
    assert unified(two) == tape(market.urls, SINCE - timedelta(minutes=10), products={"kraken": ("XDGUSD",)})
    assert {row["canonical_symbol"] for row in rows(two, TARGET)} == {"DOGE-USD"}
    assert [r["source"] for r in rows(one, RUNS.name)] == [r["source"] for r in rows(two, RUNS.name)]


def test_a_moment_in_the_future_is_no_error(make_lake: MakeLake, market: Simulator) -> None:
    lake = make_lake(**settings_for(market.urls))
    reports = pipeline(lake, since=EPOCH + timedelta(days=365 * 100))
    assert {report.status for report in reports.values()} == {"nothing_new"}
