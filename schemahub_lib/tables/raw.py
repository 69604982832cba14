"""Publishing fetched rows into a raw table: trim what is there already, append, move the watermarks with the data."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from schemahub_lib.schemas import Table
from schemahub_lib.tables.batches import newest
from schemahub_lib.tables.lake import Lake
from schemahub_lib.tables.publish import Branch, Draft, Published, publish
from schemahub_lib.tables.state import State, Stream, cover
from schemahub_lib.watermark import Watermark

if TYPE_CHECKING:
    import pyarrow as pa

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Fetched:
    """What one stream fetched after `start` (None: from a time on), oldest first and without a gap.

    `rows` may be empty when every row was set aside; `cursor` still continues after them.
    """

    rows: pa.Table
    start: Watermark | None
    cursor: str


@dataclass(frozen=True)
class Appended:
    rows: int
    duplicates: int  # fetched, but another run had published them first


def append_raw(lake: Lake, table: Table, run_id: str, fetched: Mapping[str, Fetched]) -> Published[Appended]:
    """Publish one batch of streams into a raw table; all of it or nothing becomes visible.

    Rows that the table's own watermarks cover by then are left out. Raises PublishRefused, StateCorrupt.
    """
    import pyarrow as pa

    def write(state: State, branch: Branch) -> Draft[Appended]:
        kept: list[pa.Table] = []
        moved: dict[str, Stream] = {}
        duplicates = 0
        for name, stream in sorted(fetched.items()):  # and so in the table's sort order
            base = state.streams.get(name)
            rows = stream.rows if base is None else trim(table, stream.rows, base.watermark)
            if base is not None and stream.start is None and not _connects(table, stream.rows, rows, base):
                log.warning(
                    "%s %s: another run began this stream meanwhile, and nothing proves that %d trades fetched from "
                    "another start on connect to it: they are left out, the next run continues after its watermark",
                    table.name,
                    name,
                    stream.rows.num_rows,
                )
                continue
            duplicates += stream.rows.num_rows - rows.num_rows
            after = _advance(table, stream, rows, base)
            if after is not None:
                moved[name] = after
                kept.append(rows)
        batch = pa.concat_tables(kept) if kept else None
        count = batch.num_rows if batch is not None else 0
        return Draft(Appended(count, duplicates), state.with_streams(moved) if moved else None, batch)

    return publish(lake, table.name, run_id, write)


def _connects(table: Table, fetched: pa.Table, fresh: pa.Table, base: Stream) -> bool:
    """Whether rows fetched from a time on overlap what `base` covers, or go on right after it. `fresh` are those of
    `fetched` that come after its watermark."""
    if not fetched.num_rows:
        return False
    first: str = fetched[_roles(table)[0]][0].as_py()
    numeric = first.isdecimal() and base.watermark.last_trade_id.isdecimal()
    if fresh.num_rows == fetched.num_rows:
        return numeric and int(first) == int(base.watermark.last_trade_id) + 1
    return fresh.num_rows > 0 or (numeric and bool(base.covered) and int(first) >= base.covered[0][0])


def trim(table: Table, rows: pa.Table, watermark: Watermark) -> pa.Table:
    """The rows that `watermark` does not cover yet: by trade id, or by time and tail where there are no ids."""
    import pyarrow as pa
    import pyarrow.compute as pc

    id_column, time_column = _roles(table)
    ids, times = rows[id_column], rows[time_column]
    last = pa.scalar(watermark.last_ts, times.type)
    in_tail = pc.is_in(ids, pa.array(watermark.tail, pa.string()))
    fresh = pc.or_(pc.greater(times, last), pc.and_(pc.equal(times, last), pc.invert(in_tail)))
    if watermark.last_trade_id.isdecimal():
        numeric = pc.match_substring_regex(ids, r"^\d+$")
        numbers = pc.if_else(numeric, ids, None).cast(pa.int64())
        fresh = pc.if_else(numeric, pc.greater(numbers, int(watermark.last_trade_id)), fresh)
    return rows.filter(fresh)


def _advance(table: Table, fetched: Fetched, rows: pa.Table, base: Stream | None) -> Stream | None:
    """The stream's state once `rows` are in; None when nothing moves."""
    if not rows.num_rows:
        only_rejected = base is not None and not fetched.rows.num_rows and fetched.start == base.watermark
        if base is None or not only_rejected or fetched.cursor == base.watermark.cursor:
            return None
        before = base.watermark
        return Stream(Watermark(before.last_trade_id, before.last_ts, fetched.cursor, before.tail), base.covered)
    id_column, time_column = _roles(table)
    last_id: str = rows[id_column][-1].as_py()
    last_ts = newest(rows, time_column)
    if not last_id.isdecimal():
        return Stream(Watermark(last_id, last_ts, fetched.cursor, _tail(table, fetched, base)), ())
    first_id = next((str(i) for i in rows[id_column] if str(i).isdecimal()), last_id)
    low = int(first_id)
    if base is not None and base.watermark.last_trade_id.isdecimal():
        low = int(base.watermark.last_trade_id) + 1  # fetched without a gap, so skipped ids are covered too
    covered = cover(base.covered if base else (), low, int(last_id))
    return Stream(Watermark(last_id, last_ts, fetched.cursor), covered)


def _tail(table: Table, fetched: Fetched, base: Stream | None) -> tuple[str, ...]:
    import pyarrow as pa
    import pyarrow.compute as pc

    id_column, time_column = _roles(table)
    last_ts = newest(fetched.rows, time_column)
    at_last = pc.equal(fetched.rows[time_column], pa.scalar(last_ts, fetched.rows[time_column].type))
    tail = set(fetched.rows.filter(at_last)[id_column].to_pylist())
    for before in (fetched.start, base.watermark if base else None):
        if before is not None and before.last_ts == last_ts:
            tail |= set(before.tail)
    return tuple(sorted(tail))


def _roles(table: Table) -> tuple[str, str]:
    """The id and the time column of a raw table."""
    assert table.partition_by_day is not None
    return table.key[-1], table.partition_by_day
