"""What a raw table gained, told from its metadata alone."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from schemahub_lib.errors import UsageError
from schemahub_lib.exchanges import EXCHANGES, raw_tables
from schemahub_lib.pipeline.increments import Increment, appended_rows, increments
from schemahub_lib.pipeline.unify import mappings_for
from schemahub_lib.schemas import RUNS, TRADES_UNIFIED
from schemahub_lib.tables.lake import Lake
from schemahub_lib.tables.state import State
from schemahub_lib.tables.types import arrow_schema

if TYPE_CHECKING:
    from pyiceberg.table import Table as IcebergTable

RAW = EXCHANGES["kraken"].raw_table
TARGET = TRADES_UNIFIED.name


def append(lake: Lake, rows: int) -> int:
    """Append rows to the table that stands for Kraken's raw one; the snapshot that holds them."""
    import pyarrow as pa

    table = lake.ensure(RUNS)
    table.append(pa.Table.from_pylist([{"run_id": "r"}] * rows, schema=arrow_schema(RUNS)))
    assert table.metadata.current_snapshot_id is not None
    return table.metadata.current_snapshot_id


def raw(lake: Lake) -> IcebergTable:
    table = lake.find(RUNS.name)
    assert table is not None
    return table


def test_rows_are_counted_from_one_snapshot_to_another(lake: Lake) -> None:
    first, second, third = (append(lake, rows) for rows in (5, 0, 3))
    assert appended_rows(raw(lake), None, third) == 8
    assert appended_rows(raw(lake), first, third) == 3
    assert appended_rows(raw(lake), first, second) == 0
    assert appended_rows(raw(lake), third, third) == 0
    assert appended_rows(raw(lake), None, first) == 5


def test_a_start_that_is_not_in_the_history_is_told_apart_from_no_rows(lake: Lake) -> None:
    head = append(lake, 5)
    assert appended_rows(raw(lake), 4711, head) is None


def news(lake: Lake, start: int | None) -> list[tuple[int | None, int, int]]:
    state = State(sources={} if start is None else {RAW.name: start})
    found: list[Increment] = increments(mappings_for(lake, TARGET), {RAW.name: raw(lake)}, state)
    return [(increment.start, increment.end, increment.rows) for increment in found]


def test_an_increment_reaches_from_the_last_unified_snapshot_to_the_head(lake: Lake) -> None:
    first, second = append(lake, 5), append(lake, 3)
    assert news(lake, None) == [(None, second, 8)]
    assert news(lake, first) == [(first, second, 3)]
    assert news(lake, second) == []


def test_snapshots_without_rows_are_no_increment(lake: Lake) -> None:
    first = append(lake, 5)
    append(lake, 0)
    assert news(lake, first) == []


def test_when_the_last_unified_snapshot_is_gone_all_rows_are_compared(
    lake: Lake, caplog: pytest.LogCaptureFixture
) -> None:
    append(lake, 5)
    head = append(lake, 3)
    with caplog.at_level(logging.WARNING):
        assert news(lake, 4711) == [(None, head, 8)]
    assert "raw_kraken_trades: the last unified snapshot 4711 is gone; comparing all rows by key" in caplog.text


def test_every_exchange_has_a_mapping_into_the_unified_table(lake: Lake) -> None:
    assert {spec.source for spec in mappings_for(lake, TARGET)} == raw_tables().keys()
    assert [spec.source for spec in mappings_for(lake, TARGET, ["kraken"])] == [RAW.name]


@pytest.mark.parametrize(
    ("target", "sources", "told"),
    [
        ("trades", (), "'trades' is not a unified table: choose one of trades_unified"),
        (TARGET, ("mtgox",), "'mtgox' is not an exchange: choose among coinbase, binance, kraken, okx"),
    ],
)
def test_wrong_names_are_refused(target: str, sources: tuple[str, ...], told: str, lake: Lake) -> None:
    with pytest.raises(UsageError, match=told):
        mappings_for(lake, target, sources)


def test_a_source_whose_mapping_was_taken_away_is_refused(make_lake: Callable[..., Lake], tmp_path: Path) -> None:
    shipped = Path(__file__).resolve().parents[2] / "mappings" / "kraken_trades.yaml"
    (tmp_path / "mappings").mkdir()
    (tmp_path / "mappings" / shipped.name).write_text(shipped.read_text())
    lake = make_lake(SCHEMAHUB_MAPPINGS=str(tmp_path / "mappings"))
    with pytest.raises(UsageError, match="no mapping leads from coinbase to trades_unified"):
        mappings_for(lake, TARGET, ["coinbase"])
