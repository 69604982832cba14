"""Ledgers: appended to, replaced in part, by several writers, for months."""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from schemahub_lib.schemas import PRODUCTS, RUNS
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
