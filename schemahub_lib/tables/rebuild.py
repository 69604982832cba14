"""The state of a raw table when its marks are lost: read again from the rows themselves."""

from __future__ import annotations

import logging
from datetime import UTC
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from schemahub_lib.errors import SchemaHubError, StateCorrupt
from schemahub_lib.exchanges.base import Exchange
from schemahub_lib.tables.lake import Lake
from schemahub_lib.tables.publish import Branch
from schemahub_lib.tables.state import Intervals, State, Stream, cover, read_state
from schemahub_lib.watermark import Watermark

if TYPE_CHECKING:
    import pyarrow as pa
    from pyiceberg.table import Table as IcebergTable

log = logging.getLogger(__name__)


def current_state(lake: Lake, exchange: Exchange) -> State:
    """The state of an exchange's raw table; when its marks are lost, rebuilt from the rows and marked again."""
    table = lake.ensure(exchange.raw_table)
    try:
        return read_state(table)
    except StateCorrupt as error:
        log.warning("%s; rebuilding the watermarks from the rows", error)
    branch = Branch(lake, exchange.raw_table.name)
    try:
        table = lake.ensure(exchange.raw_table)
        try:
            return read_state(table, branch.base)  # another run rebuilt it meanwhile
        except StateCorrupt:
            state = rebuild(table, branch.base, exchange)
        branch.mark("rebuild", state)
        if branch.fast_forward():
            return state
    finally:
        branch.drop_quietly()
    raise SchemaHubError(f"{exchange.raw_table.name}: another run is writing while watermarks are rebuilt; run again")


def rebuild(table: IcebergTable, snapshot_id: int, exchange: Exchange) -> State:
    """Watermark and coverage of every stream at a snapshot, from the ids and times of its rows.

    Where coverage is in time, trades without ids count as if there were all from the first to the last: rather a
    gap nobody tells of than trades twice.
    """
    import pyarrow.compute as pc

    raw = exchange.raw_table
    symbol_column, id_column = raw.key
    time_column = raw.partition_by_day
    assert time_column is not None
    rows = table.scan(snapshot_id=snapshot_id, selected_fields=(symbol_column, id_column, time_column)).to_arrow()
    streams: dict[str, Stream] = {}
    for symbol in pc.unique(rows[symbol_column]).to_pylist():
        own = rows.filter(pc.equal(rows[symbol_column], symbol))
        last_ts = pc.max(own[time_column]).as_py().astimezone(UTC)
        ids: list[str] = own[id_column].to_pylist()
        numbers = sorted({int(i) for i in ids if i.isdecimal()})
        if numbers:
            last_id, tail = str(numbers[-1]), []
        else:
            tail = sorted(own.filter(pc.equal(own[time_column], pc.max(own[time_column])))[id_column].to_pylist())
            last_id = tail[-1]
        cursor = exchange.resume_cursor(last_id, last_ts)
        covered = _intervals(numbers) if raw.position == "id" else spans(own[time_column], ids)
        streams[symbol] = Stream(Watermark(last_id, last_ts, cursor, tuple(tail)), covered)
    return State(streams)


def spans(times: pa.ChunkedArray, ids: list[str]) -> Intervals:
    """The microseconds between trades of which each has the next id, and between the first and last without ids; the
    last microsecond of a span not counted."""
    moments = times.cast("int64").to_pylist()
    numbered = sorted((int(i), moment) for i, moment in zip(ids, moments, strict=True) if i.isdecimal())
    covered: Intervals = ()
    for (number, moment), (following, later) in pairwise(numbered):
        if following == number + 1:
            covered = cover(covered, moment, later - 1)
    made = [moment for i, moment in zip(ids, moments, strict=True) if not i.isdecimal()]
    return cover(covered, min(made), max(made) - 1) if made else covered


def _intervals(numbers: list[int]) -> Intervals:
    found: list[Any] = []
    for number in numbers:
        if found and number == found[-1][1] + 1:
            found[-1][1] = number
        else:
            found.append([number, number])
    return tuple((low, high) for low, high in found)
