"""How the lake stands."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

from schemahub_lib.exchanges import EXCHANGES
from schemahub_lib.pipeline.reports import Report
from schemahub_lib.pipeline.runs import record
from schemahub_lib.pipeline.status import LakeStatus, TableStatus, status
from schemahub_lib.schemas import RUNS, WATERMARKS
from schemahub_lib.tables.lake import Lake
from schemahub_lib.tables.state import State, Stream, write_state
from schemahub_lib.watermark import Watermark

RAW = EXCHANGES["coinbase"].raw_table


def mark(lake: Lake, state: State) -> str:
    """Give the raw table a head that carries `state`; returns the state file."""
    table = lake.ensure(RAW)
    properties = write_state(table, state)
    table.append(table.scan().to_arrow().slice(0, 0), snapshot_properties=properties)
    return next(iter(properties.values()))


def a_stream(ago: timedelta, *covered: tuple[int, int]) -> Stream:
    last = covered[-1][1]
    return Stream(Watermark(str(last), datetime.now(UTC) - ago, str(last)), covered)


def test_an_empty_lake_has_nothing_and_stays_empty(lake: Lake) -> None:
    assert status(lake) == LakeStatus([], [], [])
    assert not Path(lake.settings.warehouse).exists()


def test_a_stream_has_lag_and_gaps(lake: Lake) -> None:
    with_gaps = a_stream(timedelta(minutes=5), (1, 10), (15, 20), (22, 30))
    mark(lake, State({"BTC-USD": with_gaps, "ETH-USD": a_stream(timedelta(), (5, 9))}))
    bitcoin, ether = status(lake).streams
    assert (bitcoin.source, bitcoin.product, bitcoin.last_trade_id) == ("coinbase", "BTC-USD", "30")
    assert 300 <= bitcoin.lag_seconds < 310
    assert (bitcoin.gaps, bitcoin.missing) == (((11, 14), (21, 21)), 5)
    assert (ether.gaps, ether.missing, ether.last_run) == ((), 0, None)


def test_the_last_ingest_is_shown_and_not_an_earlier_one_or_the_unify(lake: Lake) -> None:
    mark(lake, State({"BTC-USD": a_stream(timedelta(), (1, 2))}))
    start = datetime(2024, 2, 8, tzinfo=UTC)
    record(lake, [Report("2", "ingest", "coinbase", "partial", started_at=start + timedelta(hours=1))])
    record(lake, [Report("1", "ingest", "coinbase", "ok", started_at=start)])
    record(lake, [Report("3", "unify", "coinbase", "failed", started_at=start + timedelta(hours=2))])
    (stream,) = status(lake).streams
    assert (stream.last_run, stream.last_run_status) == (start + timedelta(hours=1), "partial")


def test_a_lost_state_file_is_a_warning_and_not_an_error(lake: Lake) -> None:
    file = mark(lake, State({"BTC-USD": a_stream(timedelta(), (1, 2))}))
    Path(file.removeprefix("file://")).unlink()
    found = status(lake)
    assert found.streams == []
    (warning,) = found.warnings
    assert "raw_coinbase_trades" in warning
    assert warning.endswith("; the next ingest rebuilds it from the rows")


def test_a_table_has_rows_files_and_sizes(lake: Lake) -> None:
    for number in range(3):
        lake.append(WATERMARKS, [{"source": "coinbase", "stream": str(number)}])
    (table,) = status(lake).tables
    assert (table.name, table.rows, table.files) == (WATERMARKS.name, 3, 3)
    assert table.average_file_bytes * 3 == table.bytes > 0
    assert table.needs == ""


def test_many_small_files_need_maintenance(lake: Lake) -> None:
    for number in range(5):
        lake.append(RUNS, [{"run_id": str(number)}])
    (table,) = status(lake).tables
    assert table.needs == "compaction"


def test_a_table_without_files_has_no_average() -> None:
    assert TableStatus("t", 0, 0, 0, 1, "").average_file_bytes == 0.0
