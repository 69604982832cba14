"""Recording: the stream's trades in the raw tables, exactly as an ingest would have brought them, and once."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pytest

from schemahub_lib.exchanges import EXCHANGES
from schemahub_lib.live import recorder as recorder_module
from schemahub_lib.live.feeds.base import Trade
from schemahub_lib.live.feeds.binance import BinanceFeed
from schemahub_lib.live.recorder import Recorder
from schemahub_lib.live.session import Live
from schemahub_lib.pipeline.ingest import IngestOptions, ingest
from schemahub_lib.pipeline.progress import Progress
from schemahub_lib.pipeline.reports import Report
from schemahub_lib.schemas import INGEST_TS, RAW_PAYLOAD, RUNS, WATERMARKS
from schemahub_lib.simulator import Simulator
from schemahub_lib.tables.lake import Lake
from schemahub_lib.tables.state import read_state
from tests.live.conftest import MARKETS, SYMBOLS, engine, run_live, until

pytestmark = pytest.mark.slow  # each hears a feed for a second or more

LakeOf = Callable[[Simulator], Lake]
SINCE = datetime(2024, 2, 8, 15, 11, tzinfo=UTC)


def rows(lake: Lake, name: str) -> pa.Table:
    exchange = EXCHANGES[name]
    found = lake.ensure(exchange.raw_table).scan().to_arrow()
    numbers = pc.cast(found[exchange.id_column], pa.int64())
    return found.append_column("number", numbers).sort_by("number")


def numbers(lake: Lake, name: str) -> list[int]:
    told: list[int] = rows(lake, name)["number"].to_pylist()
    return told


def ingested(lake: Lake, name: str) -> Report:
    report = Report("test-ingest", "ingest", name)
    options = IngestOptions(products=[SYMBOLS[name]], since=SINCE)
    ingest(lake, EXCHANGES[name], options, report, Progress(live=False), threading.Event())
    return report


def whole(found: list[int]) -> bool:
    """Whether no id is missing and none comes twice."""
    return found == list(range(found[0], found[0] + len(found)))


def binance_trades(ids: Iterable[int]) -> list[Trade]:
    feed = BinanceFeed([market for market in MARKETS if market.exchange == "binance"])
    pattern = '{"e":"trade","E":0,"s":"BTCUSDT","t":%d,"p":"1.5","q":"2.0","T":%d,"m":true,"M":true}'
    return [trade for n in ids for trade in feed.read(pattern % (n, 1707405120000 + n)) if isinstance(trade, Trade)]


def recorded(live: Live) -> dict[str, int]:
    return {recorder.report.source: recorder.rows for recorder in live.recorders}


def test_recorded_trades_are_those_that_an_ingest_brings(simulator: Simulator, lake_of: LakeOf, tmp_path: Path) -> None:
    lake = lake_of(simulator)
    live = engine(lake, simulator, record=True)
    run_live(live, lambda: until(lambda: all(count > 3 for count in recorded(live).values())))
    other = Lake(lake.settings.load(warehouse=str(tmp_path / "other"), environment=lake.settings.environment))
    for name in SYMBOLS:
        ingested(other, name)
        ours, theirs = rows(lake, name), rows(other, name)
        assert whole(ours["number"].to_pylist())
        theirs = theirs.filter(pc.is_in(theirs["number"], ours["number"].combine_chunks()))
        assert theirs.num_rows == ours.num_rows
        time = EXCHANGES[name].time_column
        apart = pc.abs(pc.subtract(pc.cast(ours[time], pa.int64()), pc.cast(theirs[time], pa.int64())))
        assert pc.max(apart).as_py() <= (1 if name == "kraken" else 0)  # microseconds: its REST API rounds
        untold = {"kraken": {"misc", time}, "binance": {"is_best_match"}}.get(name, set())
        same = set(ours.column_names) - {RAW_PAYLOAD.name, INGEST_TS.name} - untold
        assert ours.select(sorted(same)).equals(theirs.select(sorted(same)))


@pytest.mark.parametrize("fault", ["feed-gap", "feed-cut"])
def test_an_ingest_before_and_after_a_recording_leaves_no_gap_and_no_trade_twice(
    simulator: Simulator, lake_of: LakeOf, fault: str
) -> None:
    lake = lake_of(simulator)
    for name in SYMBOLS:
        ingested(lake, name)
    simulator.advance(20)  # in which nobody listens
    simulator.set_faults({fault: 0.05})
    live = engine(lake, simulator, record=True)
    run_live(live, lambda: until(lambda: all(count > 3 for count in recorded(live).values())))
    simulator.advance(20)
    for name in SYMBOLS:
        before = numbers(lake, name)
        assert whole(before)
        report = ingested(lake, name)
        after = numbers(lake, name)
        assert whole(after)
        assert len(after) == len(before) + report.rows
        (covered,) = read_state(lake.ensure(EXCHANGES[name].raw_table)).streams[SYMBOLS[name]].covered
        if EXCHANGES[name].raw_table.position == "id":
            assert covered == (after[0], after[-1])


def test_an_ingest_meanwhile_takes_nothing_away_and_brings_nothing_twice(simulator: Simulator, lake_of: LakeOf) -> None:
    lake = lake_of(simulator)
    live = engine(lake, simulator, record=True)
    busy = threading.Thread(target=lambda: [ingested(lake, "binance") for _ in range(5)])

    async def steps() -> None:
        await until(lambda: recorded(live)["binance"] > 0)
        busy.start()
        count = recorded(live)["binance"]
        await until(lambda: recorded(live)["binance"] > count and not busy.is_alive())

    run_live(live, steps)
    busy.join()
    assert whole(numbers(lake, "binance"))


def test_a_trade_missed_and_not_fetched_is_not_claimed_as_covered(lake_of: LakeOf, simulator: Simulator) -> None:
    lake, exchange = lake_of(simulator), EXCHANGES["binance"]
    recorder = Recorder(lake, exchange, ["BTCUSDT"])
    for trade in binance_trades((1, 2, 5, 6)):
        recorder.add(trade)
    assert recorder.publish() == []
    assert numbers(lake, "binance") == [1, 2]
    (gap,) = recorder.publish()
    assert (gap.low, gap.high) == (3, 4)
    state = read_state(lake.ensure(exchange.raw_table)).streams["BTCUSDT"]
    assert state.covered == ((1, 2),)
    for trade in binance_trades((3, 4)):
        recorder.add(trade)
    assert recorder.publish() == []
    assert numbers(lake, "binance") == [1, 2, 3, 4, 5, 6]


def test_behind_a_gap_that_is_too_large_nothing_waits_and_nothing_is_claimed(
    lake_of: LakeOf, simulator: Simulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recorder_module, "GAP_MOST", 10)
    lake, exchange = lake_of(simulator), EXCHANGES["binance"]
    recorder = Recorder(lake, exchange, ["BTCUSDT"])
    for trade in binance_trades((1, 2)):
        recorder.add(trade)
    recorder.publish()
    for trade in binance_trades((21, 22)):
        recorder.add(trade)
    (gap,) = recorder.publish()
    assert (gap.low, gap.high) == (3, 20)
    assert recorder.publish() == []  # nothing waits behind it any more
    for trade in binance_trades(range(3, 21)):  # as an ingest would bring them
        recorder.add(trade)
    recorder.publish()
    for trade in binance_trades((24,)):
        recorder.add(trade)
    (gap,) = recorder.publish()
    assert (gap.low, gap.high) == (21, 23)
    recorder.settled(gap, binance_trades((21, 22)))  # that were added and forgotten
    recorder.publish()
    assert numbers(lake, "binance") == [*range(1, 23), 24]


def test_what_a_recorder_had_not_published_when_it_died_is_fetched_by_the_next_run(
    simulator: Simulator, lake_of: LakeOf
) -> None:
    lake, exchange = lake_of(simulator), EXCHANGES["binance"]
    ingested(lake, "binance")
    first = numbers(lake, "binance")
    dying = Recorder(lake, exchange, ["BTCUSDT"])
    for trade in binance_trades(range(first[-1] + 1, first[-1] + 5)):
        dying.add(trade)
    del dying
    assert numbers(lake, "binance") == first
    simulator.advance(10)
    ingested(lake, "binance")
    after = numbers(lake, "binance")
    assert whole(after)
    assert len(after) > len(first)


def test_a_recording_is_told_of_in_the_ledgers(simulator: Simulator, lake_of: LakeOf) -> None:
    lake = lake_of(simulator)
    live = engine(lake, simulator, record=True)
    run_live(live, lambda: until(lambda: recorded(live)["coinbase"] > 0))
    runs = [run for run in ledger(lake, RUNS) if run["source"] == "coinbase"]
    assert [(run["job"], run["status"], run["rows"]) for run in runs] == [
        ("record", "ok", len(numbers(lake, "coinbase")))
    ]
    (mark,) = [row for row in ledger(lake, WATERMARKS) if row["source"] == "coinbase"]
    assert mark["last_trade_id"] == str(numbers(lake, "coinbase")[-1])


def test_a_long_recording_is_told_of_in_parts_each_with_its_own_rows(
    simulator: Simulator, lake_of: LakeOf, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recorder_module, "NOTED_EVERY", timedelta(0))
    lake = lake_of(simulator)
    recorder = Recorder(lake, EXCHANGES["binance"], ["BTCUSDT"])
    for ids in ((1, 2, 3), (4, 5)):
        for trade in binance_trades(ids):
            recorder.add(trade)
        recorder.publish()  # and it may be killed at any time after
    runs = ledger(lake, RUNS)
    assert sorted((run["status"], run["rows"]) for run in runs) == [("ok", 2), ("ok", 3)]
    assert len({run["run_id"] for run in runs}) == 2
    assert [row["last_trade_id"] for row in ledger(lake, WATERMARKS)] == ["5"]
    assert recorder.rows == 5


def test_a_recording_that_fails_says_so_until_it_succeeds(simulator: Simulator, lake_of: LakeOf) -> None:
    lake, exchange = lake_of(simulator), EXCHANGES["binance"]
    recorder = Recorder(lake, exchange, ["BTCUSDT"])
    lake.ensure(exchange.raw_table)
    for trade in binance_trades((1, 2)):
        recorder.add(trade)
    (files,) = Path(lake.settings.warehouse).rglob(exchange.raw_table.name)
    away = files.rename(files.with_suffix(".away"))
    recorder.publish()
    assert recorder.report.errors.keys() == {"binance"}
    away.rename(files)
    recorder.publish()
    assert recorder.report.errors == {}
    assert numbers(lake, "binance") == [1, 2]


def test_an_exchange_that_cannot_be_recorded_at_the_end_keeps_no_other_from_it(
    simulator: Simulator, lake_of: LakeOf, caplog: pytest.LogCaptureFixture
) -> None:
    lake = lake_of(simulator)
    live = engine(lake, simulator, record=True)

    async def steps() -> None:
        await until(lambda: all(row.trade for row in live.board.rows.values()))
        await until(lambda: all(count > 0 for count in recorded(live).values()))
        (files,) = Path(lake.settings.warehouse).rglob(EXCHANGES["coinbase"].raw_table.name)
        files.rename(files.with_suffix(".away"))

    run_live(live, steps)
    assert "coinbase: the stream could not be recorded" in caplog.text
    assert {run["source"] for run in ledger(lake, RUNS)} >= {"binance", "kraken"}


def ledger(lake: Lake, table: Any) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = lake.ensure(table).scan().to_arrow().to_pylist()
    return found
