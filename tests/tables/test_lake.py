"""Ledgers: appended to, replaced in part, by several writers, for months. And how the files of trades are made."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pyarrow.parquet as pq
import pytest

from schemahub_lib.schemas import PRODUCTS, RUNS, TRADES_UNIFIED, Table
from schemahub_lib.tables import lake as lakes
from schemahub_lib.tables.lake import Lake


def test_a_ledger_keeps_its_rows_and_forgets_its_history(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lakes, "LEDGER_SNAPSHOTS", 5)
    monkeypatch.setattr(lakes, "LEDGER_HISTORY", timedelta(0))
    for number in range(12):
        lake.append(RUNS, [{"run_id": str(number)}])
    ledger = lake.find(RUNS.name)
    assert ledger is not None
    assert sorted(map(int, ledger.scan().to_arrow()["run_id"].to_pylist())) == list(range(12))
    assert len(ledger.metadata.snapshots) <= 6


def test_a_young_history_is_kept_for_whoever_is_reading_it(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lakes, "LEDGER_SNAPSHOTS", 2)
    for number in range(4):
        lake.append(RUNS, [{"run_id": str(number)}])
    ledger = lake.find(RUNS.name)
    assert ledger is not None
    assert len(ledger.metadata.snapshots) == 5  # the empty one it began with, too


def test_writers_that_replace_the_same_part_at_once_see_each_others_rows(make_lake: Callable[..., Lake]) -> None:
    names = "ABCD"
    started = threading.Barrier(len(names))
    failures: list[BaseException] = []

    def add(name: str) -> None:
        def added(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
            return [*rows, {"source": "coinbase", "symbol": name}]

        lake = make_lake()
        started.wait()
        try:
            lake.update_partition(PRODUCTS, "coinbase", added)
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=add, args=name) for name in names]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures
    assert sorted(row["symbol"] for row in make_lake().partition(PRODUCTS, "coinbase")) == list(names)


def without(table: Table, *names: str) -> Table:
    """The ledger as a version made it that did not know these columns."""
    return replace(table, columns=tuple(column for column in table.columns if column.name not in names))


NEW = RUNS.column_names[-3:]


def test_a_ledger_of_an_older_version_gets_the_columns_it_lacks(make_lake: Callable[..., Lake]) -> None:
    make_lake().append(without(RUNS, *NEW), [{"run_id": "old", "rows": 7}])
    make_lake().append(RUNS, [{"run_id": "new", "rows": 8, **dict(zip(NEW, (1, 2, 3), strict=True))}])
    make_lake().append(without(RUNS, *NEW), [{"run_id": "older version again"}])
    ledger = make_lake().find(RUNS.name)
    assert ledger is not None
    assert list(ledger.schema().column_names) == list(RUNS.column_names)
    kept = {row["run_id"]: (row["rows"], *map(row.get, NEW)) for row in ledger.scan().to_arrow().to_pylist()}
    assert kept == {
        "old": (7, None, None, None),
        "new": (8, 1, 2, 3),
        "older version again": (None, None, None, None),
    }


def test_a_ledger_whose_parts_are_replaced_gets_them_too(make_lake: Callable[..., Lake]) -> None:
    row = {"source": "coinbase", "symbol": "BTC-USD"}
    make_lake().update_partition(without(PRODUCTS, "status"), "coinbase", lambda rows: [row])
    make_lake().update_partition(PRODUCTS, "coinbase", lambda rows: [old | {"status": "online"} for old in rows])
    (found,) = make_lake().partition(PRODUCTS, "coinbase")
    assert (found["symbol"], found["status"]) == ("BTC-USD", "online")


def test_processes_that_find_an_older_ledger_at_once_all_write_to_it(make_lake: Callable[..., Lake]) -> None:
    make_lake().append(without(RUNS, *NEW), [{"run_id": "old"}])
    names = "ABCD"
    started, failures = threading.Barrier(len(names)), list[BaseException]()

    def write(name: str) -> None:
        lake = make_lake()
        started.wait()
        try:
            lake.append(RUNS, [{"run_id": name, "removed": 1}])
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=write, args=name) for name in names]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures
    ledger = make_lake().find(RUNS.name)
    assert ledger is not None
    assert sorted(ledger.scan().to_arrow()["run_id"].to_pylist()) == [*names, "old"]
    assert list(ledger.schema().column_names) == list(RUNS.column_names)


def test_a_days_trades_of_one_symbol_are_in_a_part_of_its_row_groups(lake: Lake) -> None:
    table = lake.ensure(TRADES_UNIFIED)
    lake.spark.sql(
        f"INSERT INTO {lake.identifier(TRADES_UNIFIED.name)} SELECT 'COINBASE', concat('S', id % 4), "
        "CAST(id AS STRING), 'BUY', id / 7, id / 3, timestamp_micros(1704067200000000 + id * 300000), "
        "current_timestamp(), NULL, NULL, NULL FROM range(280000)"
    )
    (task,) = table.refresh().scan().plan_files()
    file = pq.read_metadata(task.file.file_path)
    bounds = [file.row_group(number).column(1).statistics for number in range(file.num_row_groups)]
    assert len([bound for bound in bounds if bound.min <= "S0" <= bound.max]) < len(bounds)
