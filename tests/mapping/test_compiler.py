from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest
import sqlglot

from schemahub_lib.mapping.compiler import batch_sql, explain_columns, increment_select
from schemahub_lib.mapping.parser import parse_mapping
from schemahub_lib.mapping.registry import load_mappings
from schemahub_lib.mapping.spec import MappingSpec
from schemahub_lib.mapping.sql import to_sql
from schemahub_lib.mapping.statements import Bounds, merge_sql
from schemahub_lib.schemas import TRADES_UNIFIED, Table

NOON = datetime(2024, 2, 8, 12, tzinfo=UTC)
BOUNDS = Bounds(((NOON, NOON + timedelta(hours=1)),), "1", "99")


@pytest.fixture
def kraken(raw_tables: Mapping[str, Table]) -> MappingSpec:
    return next(s for s in load_mappings(None, raw_tables)["trades_unified"] if s.source == "raw_kraken_trades")


def test_every_target_column_is_named_in_target_order(kraken: MappingSpec) -> None:
    select = increment_select(kraken, TRADES_UNIFIED, "increment", "products", NOON)
    assert tuple(select.named_selects) == TRADES_UNIFIED.column_names


def test_an_unmapped_column_is_a_typed_null(raw_tables: Mapping[str, Table]) -> None:
    text = (
        "source: raw_kraken_trades\ntarget_table: trades_unified\nconstants: {exchange: KRAKEN, quantity: 1}\n"
        "mappings: {trade_id: trade_id, pair: symbol, price: price, time: trade_ts}\n"
    )
    spec = parse_mapping(text, "m.yaml", raw_tables)
    sql = to_sql(increment_select(spec, TRADES_UNIFIED, "increment", "products", NOON))
    assert "CAST(NULL AS STRING) AS side" in sql
    assert "CAST(1 AS DOUBLE) AS quantity" in sql


def test_a_part_of_a_name_is_quoted_where_it_must_be(kraken: MappingSpec) -> None:
    merge = merge_sql(TRADES_UNIFIED, "schemahub.my-db.trades_unified.branch_run_1", "batch", BOUNDS)
    quoted = "`schemahub`.`my-db`.`trades_unified`.`branch_run_1`"
    assert merge_sql(TRADES_UNIFIED, quoted, "batch", BOUNDS) == merge
    assert merge.startswith("MERGE INTO schemahub.`my-db`.trades_unified.branch_run_1 AS t\nUSING batch AS s\n")
    batch = batch_sql([(kraken, "increment")], TRADES_UNIFIED, "schemahub.my-db.schemahub_products", NOON)
    assert "LEFT JOIN schemahub.`my-db`.schemahub_products AS p" in batch


def test_an_id_cannot_end_its_literal() -> None:
    bounds = Bounds(((NOON, NOON),), "a' OR true --", "b\\")
    tree = sqlglot.parse_one(merge_sql(TRADES_UNIFIED, "t", "batch", bounds), dialect="spark")
    between = tree.args["on"].expression
    assert (between.args["low"].this, between.args["high"].this) == ("a' OR true --", "b\\")


def test_times_are_written_in_utc_whatever_zone_they_come_in() -> None:
    tokyo = NOON.astimezone(timezone(timedelta(hours=9)))
    bounds = Bounds(((tokyo, tokyo),), "1", "2")
    assert merge_sql(TRADES_UNIFIED, "t", "b", bounds).count("'2024-02-08T12:00:00.000000Z'") == 2


def test_a_time_without_zone_is_refused() -> None:
    with pytest.raises(ValueError, match="has no time zone"):
        merge_sql(TRADES_UNIFIED, "t", "b", Bounds(((NOON.replace(tzinfo=None), NOON),), "1", "2"))


def test_the_merge_only_inserts() -> None:
    merge = merge_sql(TRADES_UNIFIED, "t", "b", BOUNDS)
    assert merge.count("WHEN ") == 1
    assert "WHEN NOT MATCHED THEN INSERT (" in merge
    assert "*" not in merge


def test_the_lineage_tells_where_each_target_column_comes_from(kraken: MappingSpec) -> None:
    lineage = {line.target: line for line in explain_columns(kraken, TRADES_UNIFIED)}
    assert tuple(lineage) == TRADES_UNIFIED.column_names
    side = lineage["side"]
    assert (side.origin, side.transform) == ("raw_kraken_trades.side", "taker_from_code")
    assert side.sql == "CASE UPPER(TRIM(r.side)) WHEN 'B' THEN 'BUY' WHEN 'S' THEN 'SELL' END"
    assert (lineage["price"].transform, lineage["price"].sql) == ("to_double (is DOUBLE already)", "r.price")
    assert [lineage[name].origin for name in ("exchange", "ingest_ts", "base_asset")] == [
        "constant",
        "time of the run",
        "product list",
    ]


def test_the_compiler_needs_no_spark_no_http_and_no_aws() -> None:
    code = (
        "import sys, schemahub_lib.mapping.compiler, schemahub_lib.mapping.registry\n"
        "print([m for m in ('pyspark', 'requests', 'boto3', 'pyarrow', 'schemahub_lib.exchanges') if m in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=Path(__file__).parents[2], stdout=subprocess.PIPE, check=True
    )
    assert done.stdout.strip() == b"[]"
