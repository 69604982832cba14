"""Columns are added to tables that are in use: nothing is rewritten, and who knows the old schema goes on working."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import boto3
import pyarrow as pa
import pytest
from pyiceberg.types import DoubleType

from schemahub_lib.config import Settings
from schemahub_lib.exchanges import EXCHANGES
from schemahub_lib.pipeline.pipeline import run_unify
from schemahub_lib.pipeline.progress import Progress
from schemahub_lib.pipeline.unify import mappings_for
from schemahub_lib.schemas import TRADES_UNIFIED, Column, Table
from schemahub_lib.tables.lake import Lake
from schemahub_lib.tables.raw import Fetched, append_raw
from schemahub_lib.tables.rehearsal import BRANCH, rehearsal
from schemahub_lib.tables.state import read_state
from schemahub_lib.tables.types import arrow_schema

OLD = EXCHANGES["coinbase"].raw_table
NEW = replace(OLD, columns=(*OLD.columns, Column("maker_fee", "DOUBLE"), Column("flag", "BOOLEAN")))
NOON = datetime(2024, 2, 8, 12, tzinfo=UTC)


def publish(lake: Lake, table: Table, *ids: int, **more: Any) -> None:
    """Trades by a version of SchemaHub that declares the raw table as `table`."""
    rows = [
        {
            "trade_id": str(number),
            "product_id": "BTC-USD",
            "price": 10.0,
            "size": 1.0,
            "time": NOON + timedelta(seconds=number),
            "side": "BUY",
            "_source": "coinbase",
            "_source_ingest_ts": NOON + timedelta(hours=1),
            "_raw_payload": json.dumps({"trade_id": number, "maker_fee": "0.5"}),
            **more,
        }
        for number in ids
    ]
    start = read_state(lake.ensure(table)).watermark("BTC-USD")
    fetched = {"BTC-USD": Fetched(pa.Table.from_pylist(rows, schema=arrow_schema(table)), start, str(ids[-1]))}
    append_raw(lake, table, "run", fetched)


def files(lake: Lake) -> set[str]:
    found = lake.find(OLD.name)
    assert found is not None
    return {task.file.file_path for task in found.scan().plan_files()}


def selected(lake: Lake, columns: str) -> list[tuple[Any, ...]]:
    rows = lake.spark.sql(f"SELECT {columns} FROM {lake.identifier(OLD.name)} ORDER BY trade_id").collect()
    return [tuple(row) for row in rows]


def test_a_raw_table_of_an_older_version_gets_the_columns_it_lacks(lake: Lake) -> None:
    publish(lake, OLD, 1)
    before = files(lake)
    publish(lake, NEW, 2, maker_fee=0.5, flag=True)
    assert before < files(lake)  # what was there is where it was
    assert selected(lake, "trade_id, maker_fee, flag") == [("1", None, None), ("2", 0.5, True)]


def test_an_older_version_goes_on_writing_to_the_wider_table(lake: Lake) -> None:
    publish(lake, NEW, 1, maker_fee=0.5)
    publish(lake, OLD, 2)
    publish(lake, NEW, 3, maker_fee=0.7)
    assert selected(lake, "trade_id, maker_fee") == [("1", 0.5), ("2", None), ("3", 0.7)]


def test_readers_of_the_old_schema_go_on_reading(lake: Lake) -> None:
    publish(lake, OLD, 1)
    opened = lake.find(OLD.name)
    assert opened is not None
    names = ", ".join(OLD.column_names)
    frame = lake.spark.sql(f"SELECT {names} FROM {lake.identifier(OLD.name)}")
    publish(lake, NEW, 2, maker_fee=0.5)
    # One that planned before sees what there was, one that comes after sees all rows in the columns it asks for.
    assert opened.scan().to_arrow().column_names == list(OLD.column_names)
    assert frame.columns == list(OLD.column_names)
    assert len(selected(lake, names)) == 2
    now = lake.find(OLD.name)
    assert now is not None
    assert now.scan(selected_fields=OLD.column_names).to_arrow().column_names == list(OLD.column_names)
    earlier = now.scan(snapshot_id=opened.metadata.current_snapshot_id).to_arrow()
    assert earlier["trade_id"].to_pylist() == ["1"]


def test_a_mapping_of_the_old_schema_goes_on_unifying(lake: Lake) -> None:
    specs = mappings_for(lake, TRADES_UNIFIED.name, ["coinbase"])
    publish(lake, OLD, 1)
    with Progress(live=False) as progress:
        assert run_unify(lake, TRADES_UNIFIED.name, specs, "one", progress).rows == 1
        publish(lake, NEW, 2, maker_fee=0.5)
        assert run_unify(lake, TRADES_UNIFIED.name, specs, "two", progress).rows == 1


def test_a_unified_table_gets_the_columns_it_lacks_too(lake: Lake) -> None:
    lake.ensure(TRADES_UNIFIED)
    wider = replace(TRADES_UNIFIED, columns=(*TRADES_UNIFIED.columns, Column("maker_fee", "DOUBLE")))
    assert list(lake.ensure(wider).schema().column_names) == list(wider.column_names)
    assert list(lake.ensure(TRADES_UNIFIED).schema().column_names) == list(wider.column_names)


def test_what_is_tried_on_a_stand_in_leaves_the_table_as_it_was(lake: Lake, tmp_path: Path) -> None:
    publish(lake, OLD, 1, 2)
    before = lake.find(OLD.name)
    folders = sorted(path for path in tmp_path.rglob("*") if path.is_dir())
    with rehearsal(lake, OLD.name, "run") as stand_in:
        lake.spark.sql(f"ALTER TABLE {lake.identifier(stand_in)} ADD COLUMN maker_fee DOUBLE")
        branch = lake.identifier(stand_in, BRANCH)
        lake.spark.sql(f"UPDATE {branch} SET maker_fee = 0.5 WHERE trade_id = '2'")
        rows = lake.spark.sql(f"SELECT trade_id, maker_fee FROM {branch} ORDER BY 1").collect()
        assert [tuple(row) for row in rows] == [("1", None), ("2", 0.5)]
    after = lake.find(OLD.name)
    assert before is not None
    assert after is not None
    assert after.metadata_location == before.metadata_location
    assert lake.table_names() == [OLD.name]
    assert [path for path in folders if not path.exists()] == []
    assert [path for path in tmp_path.rglob("*_rehearsal*") if path.is_dir()] == []
    assert selected(lake, "trade_id") == [("1",), ("2",)]


def test_the_table_is_written_to_while_something_is_tried(lake: Lake) -> None:
    publish(lake, OLD, 1)
    with rehearsal(lake, OLD.name, "run") as stand_in:
        publish(lake, NEW, 2, maker_fee=0.5)
        assert lake.spark.table(lake.identifier(stand_in)).count() == 1
    assert selected(lake, "trade_id, maker_fee") == [("1", None), ("2", 0.5)]


def test_a_stand_in_goes_when_the_trial_fails_and_one_left_behind_is_replaced(lake: Lake) -> None:
    publish(lake, OLD, 1)
    found = lake.find(OLD.name)
    assert found is not None
    lake.catalog.register_table((lake.settings.database, f"{OLD.name}_rehearsal"), found.metadata_location)
    with pytest.raises(ZeroDivisionError), rehearsal(lake, OLD.name, "run"):
        raise ZeroDivisionError
    assert lake.table_names() == [OLD.name]
    assert len(selected(lake, "*")) == 1


def test_maintenance_cannot_delete_files_through_a_stand_in(lake: Lake, make_lake: Callable[..., Lake]) -> None:
    publish(lake, OLD, 1)
    with rehearsal(lake, OLD.name, "run") as stand_in:
        call = f"CALL schemahub.system.expire_snapshots('schemahub.schemahub.{stand_in}')"
        with pytest.raises(Exception, match="GC is disabled"):
            lake.spark.sql(call)
    assert len(selected(lake, "*")) == 1


def test_a_stand_in_on_s3_and_glue_goes_too(aws: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in aws.items():
        monkeypatch.setenv(name, value)
    s3 = boto3.client("s3")
    s3.create_bucket(Bucket="rehearsed")
    lake = Lake(Settings.load(profile="glue", warehouse="s3://rehearsed/warehouse", environment=aws))
    publish(lake, OLD, 1)
    with rehearsal(lake, OLD.name, "run") as stand_in:
        found = lake.find(stand_in)
        assert found is not None
        assert found.scan().to_arrow()["trade_id"].to_pylist() == ["1"]
        with found.update_schema() as update:
            update.add_column("maker_fee", DoubleType())
    assert lake.table_names() == [OLD.name]
    left = [item["Key"] for item in s3.list_objects_v2(Bucket="rehearsed")["Contents"]]
    assert [key for key in left if "_rehearsal/" in key] == []
    raw = lake.find(OLD.name)
    assert raw is not None
    assert raw.schema().column_names == list(OLD.column_names)
    assert raw.scan().to_arrow().num_rows == 1
