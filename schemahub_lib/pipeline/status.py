"""How the lake stands: every stream's watermark, lag and gaps, every table's size. Reads only, starts no JVM."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from schemahub_lib.errors import StateCorrupt
from schemahub_lib.exchanges import EXCHANGES
from schemahub_lib.pipeline.maintain import last_unified
from schemahub_lib.quality.drift import findings, remedy, told
from schemahub_lib.schemas import RUNS, Position
from schemahub_lib.tables.due import KEEP, due, figures
from schemahub_lib.tables.lake import Lake
from schemahub_lib.tables.snapshots import figure
from schemahub_lib.tables.state import Intervals, read_state

if TYPE_CHECKING:
    from pyiceberg.table import Table as IcebergTable


@dataclass(frozen=True)
class StreamStatus:
    """`covered` are the closed ranges of positions of which every trade is there: ids, or microseconds since 1970
    (`position` says which). `gaps` are what lies between, `missing` how many positions that is.

    Without a watermark only history was fetched.
    """

    source: str
    product: str
    last_trade_id: str | None
    last_ts: datetime | None
    lag_seconds: float | None
    position: Position
    covered: Intervals
    gaps: Intervals
    missing: int
    last_run: datetime | None
    last_run_status: str | None


@dataclass(frozen=True)
class TableStatus:
    name: str
    rows: int
    files: int
    bytes: int
    snapshots: int
    needs: str

    @property
    def average_file_bytes(self) -> float:
        return self.bytes / self.files if self.files else 0.0


@dataclass(frozen=True)
class LakeStatus:
    streams: list[StreamStatus]
    tables: list[TableStatus]
    warnings: list[str]


def status(lake: Lake) -> LakeStatus:
    """The present state of every stream and table."""
    runs = _last_runs(lake)
    streams: list[StreamStatus] = []
    warnings: list[str] = []
    now = datetime.now(UTC)
    for exchange in EXCHANGES.values():
        raw = lake.find(exchange.raw_table.name)
        if raw is None:
            continue
        if drifted := {f.change for f in findings(lake, exchange) if f.is_news}:
            warnings.append(f"{told(exchange, drifted)}; {remedy(exchange)}")
        try:
            state = read_state(raw)
        except StateCorrupt as error:
            warnings.append(f"{error}; the next ingest rebuilds it from the rows")
            continue
        run = runs.get(exchange.name, {})
        for product, stream in sorted(state.streams.items()):
            mark = stream.watermark
            streams.append(
                StreamStatus(
                    exchange.name,
                    product,
                    mark.last_trade_id if mark else None,
                    mark.last_ts if mark else None,
                    (now - mark.last_ts).total_seconds() if mark else None,
                    exchange.raw_table.position,
                    stream.covered,
                    stream.gaps,
                    sum(high - low + 1 for low, high in stream.gaps),
                    run.get("started_at"),
                    run.get("status"),
                )
            )
    tables = [_table(lake, name, found) for name in lake.table_names() if (found := lake.find(name)) is not None]
    return LakeStatus(streams, tables, warnings)


def _last_runs(lake: Lake) -> Mapping[str, dict[str, Any]]:
    """The last recorded ingest of each source."""
    ledger = lake.find(RUNS.name)
    if ledger is None:
        return {}
    columns = ("source", "job", "started_at", "status")
    rows = ledger.scan(selected_fields=columns).to_arrow().sort_by("started_at").to_pylist()
    return {row["source"]: row for row in rows if row["job"] == "ingest"}


def _table(lake: Lake, name: str, table: IcebergTable) -> TableStatus:
    size = figures(table)
    todo = due(table, keep=KEEP, now=datetime.now(UTC), wanted=last_unified(lake, name))
    rows = figure(table.current_snapshot(), "total-records")
    return TableStatus(name, rows, size.files, size.bytes, size.snapshots, ", ".join(todo.needs))
