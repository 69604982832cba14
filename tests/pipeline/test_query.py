"""One read-only query over the lake's tables."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from schemahub_lib.errors import UsageError
from schemahub_lib.pipeline.query import query
from schemahub_lib.schemas import QUARANTINE, WATERMARKS
from schemahub_lib.tables.lake import Lake

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
