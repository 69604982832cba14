"""One read-only query over the lake's tables."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from schemahub_lib.errors import SchemaHubError, UsageError
from schemahub_lib.pipeline.query import Limits, query
from schemahub_lib.schemas import QUARANTINE, WATERMARKS
from schemahub_lib.tables.lake import Lake
from schemahub_lib.tables.publish import tag
from tests.pipeline.trades import RAW, head, ingest, rows

NOON = datetime(2024, 2, 8, 12, tzinfo=UTC)


@pytest.fixture
def filled(lake: Lake) -> Lake:
    """Two watermarks, written in two files."""
    for stream, trade_id in (("BTC-USD", "7"), ("ETH-USD", "8")):
        row = {"source": "coinbase", "stream": stream, "last_trade_id": trade_id, "last_ts": NOON, "snapshot_id": 1}
        lake.append(WATERMARKS, [row])
    return lake


def ask(lake: Lake, sql: str) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = query(lake, sql).to_pylist()
    return rows


@pytest.mark.parametrize(
    "table",
    [
        "schemahub_watermarks",
        "schemahub.schemahub_watermarks",
        "schemahub.schemahub.schemahub_watermarks",
        '"schemahub_watermarks"',
        "(SELECT * FROM schemahub_watermarks)",
    ],
)
def test_a_table_may_be_named_as_in_other_engines(table: str, filled: Lake) -> None:
    assert ask(filled, f"SELECT count(*) AS n FROM {table} AS t") == [{"n": 2}]


def test_joins_ctes_and_unions(filled: Lake) -> None:
    sql = (
        "WITH w AS (SELECT stream, last_trade_id::BIGINT AS id FROM schemahub_watermarks) "
        "SELECT a.stream FROM w AS a JOIN schemahub.schemahub_watermarks AS b ON a.id = b.last_trade_id::BIGINT + 1 "
        "UNION ALL SELECT 'end'"
    )
    assert [row["stream"] for row in ask(filled, sql)] == ["ETH-USD", "end"]


def test_times_are_utc(filled: Lake) -> None:
    sql = "SELECT DISTINCT last_ts, strftime(last_ts, '%H:%M') AS shown FROM schemahub_watermarks"
    assert ask(filled, sql) == [{"last_ts": NOON, "shown": "12:00"}]


def test_a_table_without_rows(lake: Lake) -> None:
    lake.ensure(QUARANTINE)
    assert ask(lake, "SELECT count(*) AS n, max(reason) AS r FROM schemahub_quarantine") == [{"n": 0, "r": None}]


def test_a_query_without_tables(lake: Lake) -> None:
    assert ask(lake, "SELECT 1 + 1 AS two") == [{"two": 2}]


def test_rows_deleted_by_key_are_not_shown(filled: Lake) -> None:
    from pyiceberg.expressions import EqualTo

    table = filled.find(WATERMARKS.name)
    assert table is not None
    table.delete(EqualTo("stream", "BTC-USD"))  # type: ignore[call-arg,arg-type]
    assert ask(filled, "SELECT stream FROM schemahub_watermarks") == [{"stream": "ETH-USD"}]


def test_files_that_hold_nothing_for_a_filter_are_not_opened(lake: Lake) -> None:
    """Other days', and where files of a day do not overlap, other symbols'."""
    for symbol, first in (("BTC-USD", 1), ("BTC-USD", 86_401), ("ETH-USD", 1)):
        ingest(lake, f"{symbol} {first}", first, first + 9, symbol)
    table = lake.find(RAW.name)
    assert table is not None
    for location in table.inspect.files().to_pydict()["file_path"]:
        if any(row["product_id"] == "ETH-USD" or row["time"].day == 9 for row in pq.read_table(location).to_pylist()):
            Path(location).unlink()
    times = f"SELECT count(*) AS n FROM {RAW.name} WHERE product_id = 'BTC-USD' AND time"
    assert ask(lake, f"{times} < TIMESTAMPTZ '2024-02-08 12:00:00Z'") == [{"n": 10}]
    assert ask(lake, f"{times} BETWEEN TIMESTAMPTZ '2024-02-08' AND TIMESTAMPTZ '2024-02-08 00:00:10Z'") == [{"n": 10}]
    assert ask(lake, f"{times} >= TIMESTAMPTZ '2024-02-10'") == [{"n": 0}]


@pytest.mark.parametrize(
    ("sql", "told"),
    [
        ("UPDATE schemahub_watermarks SET stream = 'x'", "expected one SELECT"),
        ("CREATE TABLE t AS SELECT 1", "expected one SELECT"),
        ("SELECT 1; DROP TABLE schemahub_watermarks", "expected one SELECT"),
        ("SELECT (", "the query cannot be read"),
        ("SELECT nothing FROM schemahub_watermarks", "the query does not run"),
        ("SELECT * FROM watermarks", "there is no table watermarks: did you mean schemahub_watermarks?"),
        ("SELECT * FROM read_parquet('/tmp/*.parquet')", "the query does not run"),
        ("SELECT * FROM sniff_csv('/etc/passwd')", "the query does not run"),
        ("SELECT * FROM filled", "there is no table filled"),  # DuckDB would find Python variables by name
    ],
)
def test_anything_else_is_refused(sql: str, told: str, filled: Lake) -> None:
    with pytest.raises(UsageError, match=told.replace("?", r"\?")):
        query(filled, sql)


def test_an_empty_warehouse_says_what_to_do(lake: Lake) -> None:
    with pytest.raises(UsageError, match="holds none yet; run the pipeline first"):
        query(lake, "SELECT * FROM trades_unified")


def with_branch(lake: Lake, name: str) -> Lake:
    """The raw table with trades 1 to 5 on main, and 6 to 8 on a branch that was not published."""
    ingest(lake, "one", 1, 5)
    table = lake.find(RAW.name)
    assert table is not None
    table.manage_snapshots().create_branch(head(lake), name).commit()
    table.append(rows(6, 8), branch=name)
    return lake


def test_a_branch_is_read_and_tables_without_it_as_they_are_on_main(filled: Lake) -> None:
    with_branch(filled, "blocked_1")
    count = f"SELECT count(*) AS n FROM {RAW.name}"
    assert query(filled, count).to_pylist() == [{"n": 5}]
    assert query(filled, count, ref="blocked_1").to_pylist() == [{"n": 8}]
    assert query(filled, count, ref="main").to_pylist() == [{"n": 5}]
    both = f"SELECT (SELECT count(*) FROM {RAW.name}) AS trades, (SELECT count(*) FROM schemahub_watermarks) AS marks"
    assert query(filled, both, ref="blocked_1").to_pylist() == [{"trades": 8, "marks": 2}]


def test_a_tag_is_read(lake: Lake) -> None:
    tag(lake, RAW.name, "kept", ingest(lake, "one", 1, 5))
    ingest(lake, "two", 6, 8)
    assert query(lake, f"SELECT count(*) AS n FROM {RAW.name}", ref="kept").to_pylist() == [{"n": 5}]


@pytest.mark.parametrize("sql", [f"SELECT 1 FROM {RAW.name}", f"SELECT 1 FROM {RAW.name}, schemahub_watermarks"])
def test_a_ref_that_no_table_of_the_query_has_is_refused_with_the_nearest(sql: str, filled: Lake) -> None:
    with_branch(filled, "blocked_1")
    with pytest.raises(
        UsageError,
        match=r"no table of this query has a branch or tag blockd_1: did you mean blocked_1\? there are .*main",
    ):
        query(filled, sql, ref="blockd_1")


def test_a_ref_and_a_time_at_once_are_refused(filled: Lake) -> None:
    with pytest.raises(UsageError, match="give one of them"):
        query(filled, "SELECT 1", as_of=NOON, ref="main")


def test_what_iceberg_knows_of_a_table_is_asked_as_in_athena(filled: Lake) -> None:
    sizes = 'SELECT count(*) AS files, sum(record_count) AS rows FROM "schemahub_watermarks$files" WHERE content = 0'
    assert ask(filled, sizes) == [{"files": 2, "rows": 2}]
    totals = (
        "SELECT summary['total-records'] AS rows, committed_at <= current_timestamp AS past "
        'FROM schemahub."schemahub_watermarks$snapshots" ORDER BY committed_at DESC LIMIT 1'
    )
    assert ask(filled, totals) == [{"rows": "2", "past": True}]


def test_a_table_without_files_has_none(lake: Lake) -> None:
    lake.ensure(QUARANTINE)
    assert ask(lake, 'SELECT count(*) AS files FROM "schemahub_quarantine$files"') == [{"files": 0}]


def test_other_metadata_is_refused_with_what_there_is(filled: Lake) -> None:
    with pytest.raises(UsageError, match=r"of a table's metadata there are files, snapshots"):
        ask(filled, 'SELECT * FROM "schemahub_watermarks$nope"')


def test_a_query_may_be_written_for_athena(filled: Lake) -> None:
    sql = "SELECT count_if(source = 'coinbase') AS n, arbitrary(source) AS source FROM schemahub_watermarks"
    assert query(filled, sql, dialect="athena").to_pylist() == [{"n": 2, "source": "coinbase"}]


ENOUGH = Limits(rows=10, seconds=30, megabytes=200)


def test_an_answer_within_the_limits_is_whole(lake: Lake) -> None:
    assert query(lake, "SELECT * FROM range(10)", limits=ENOUGH).num_rows == 10


@pytest.mark.parametrize(
    ("sql", "limits", "told"),
    [
        ("SELECT * FROM range(11)", ENOUGH, "more than 10 rows"),
        (
            "SELECT sum(a.range * b.range) FROM range(1000000) AS a, range(1000000) AS b",
            replace(ENOUGH, seconds=0.2),
            r"longer than 0\.2 s",
        ),
        ("SELECT list(range) FROM range(100000000)", replace(ENOUGH, megabytes=20), "more than 20 MB"),
    ],
)
def test_a_query_is_stopped_at_its_limits(sql: str, limits: Limits, told: str, lake: Lake) -> None:
    with pytest.raises(SchemaHubError, match=told):
        query(lake, sql, limits=limits)
