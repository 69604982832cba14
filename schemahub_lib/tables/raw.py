"""Publishing fetched rows into a raw table: trim what is there already, append, move the state with the data."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from schemahub_lib.exchanges.fields import since_epoch
from schemahub_lib.schemas import Table
from schemahub_lib.tables.batches import newest
from schemahub_lib.tables.lake import Lake
from schemahub_lib.tables.publish import Branch, Draft, Published, publish
from schemahub_lib.tables.state import Intervals, State, Stream, cover, read_loaded, write_loaded
from schemahub_lib.watermark import Watermark

if TYPE_CHECKING:
    import pyarrow as pa
    from pyiceberg.expressions import BooleanExpression

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
class History:
    """Trades of one stream in any order, and the closed ranges of positions of which they are all there are.

    A position stands for `grain` of them: where times are told in whole seconds, 1,000,000 microseconds.
    """

    rows: pa.Table
    covers: Intervals
    grain: int = 1


@dataclass(frozen=True)
class Appended:
    rows: int
    duplicates: int  # fetched, but another run had published them first


def append_raw(lake: Lake, table: Table, run_id: str, fetched: Mapping[str, Fetched]) -> Published[Appended]:
    """Publish one batch of streams into a raw table; all of it or nothing becomes visible.

    Rows that the table's own state covers by then are left out. Raises PublishRefused, StateCorrupt.
    """

    def write(state: State, branch: Branch) -> Draft[Appended]:
        kept: list[pa.Table] = []
        moved: dict[str, Stream] = {}
        duplicates = 0
        for name, stream in sorted(fetched.items()):  # and so in the table's sort order
            base = state.streams.get(name, Stream(None))
            rows = _unknown(lake, table, state, name, trim(table, stream.rows, base))
            if base.watermark is not None and stream.start is None and not _connects(table, stream.rows, base):
                log.warning(
                    "%s %s: another run began this stream meanwhile, and nothing proves that %d trades fetched from "
                    "another start on connect to it: they are left out, the next run continues after its watermark",
                    table.name,
                    name,
                    stream.rows.num_rows,
                )
                continue
            duplicates += stream.rows.num_rows - rows.num_rows
            after = _advance(table, stream, base)
            if after is not None:
                moved[name] = after
                kept.append(rows)
        return _draft(state, moved, kept, duplicates)

    return publish(lake, table.name, run_id, write)


def append_history(
    lake: Lake, table: Table, run_id: str, parts: Mapping[str, History], loaded: Mapping[str, str] | None = None
) -> Published[Appended]:
    """Publish trades that were fetched out of turn; no watermark moves, what they cover is noted with them, and so are
    the objects that they were `loaded` from (version by URI).

    Rows at positions that the table's own state covers by then are left out, and so are those at a grain of which it
    covers a part: that grain stays uncovered. Where nothing of a part is new, nothing is published. Raises
    PublishRefused, StateCorrupt.
    """

    def write(state: State, branch: Branch) -> Draft[Appended]:
        kept: list[pa.Table] = []
        moved: dict[str, Stream] = {}
        duplicates = 0
        for name, part in sorted(parts.items()):
            base = state.streams.get(name, Stream(None))
            rows = _unknown(lake, table, state, name, _uncovered(table, part.rows, base.covered, part.grain))
            duplicates += part.rows.num_rows - rows.num_rows
            covered = base.covered
            for start, end in part.covers:
                for low, high in base.missing(start, end):
                    whole = -(-low // part.grain) * part.grain, (high + 1) // part.grain * part.grain - 1
                    covered = cover(covered, *whole)
            if covered != base.covered or rows.num_rows:
                moved[name] = Stream(base.watermark, covered)
                kept.append(rows.sort_by(_roles(table)[1]))
        draft = _draft(state, moved, kept, duplicates)
        if loaded:
            found = lake.ensure(table)
            pointer = write_loaded(found, {**read_loaded(found, state), **loaded})
            return replace(draft, state=replace(draft.state or state, loaded=pointer))
        return draft

    return publish(lake, table.name, run_id, write)


def _draft(state: State, moved: Mapping[str, Stream], kept: list[pa.Table], duplicates: int) -> Draft[Appended]:
    import pyarrow as pa

    batch = pa.concat_tables(kept) if kept else None
    count = batch.num_rows if batch is not None else 0
    return Draft(Appended(count, duplicates), state.with_streams(moved) if moved else None, batch)


def _connects(table: Table, fetched: pa.Table, base: Stream) -> bool:
    """Whether rows fetched from a time on overlap what `base` has up to its watermark, or go on right after it."""
    assert base.watermark is not None
    if not fetched.num_rows:
        return False
    fresh = _after(table, fetched, base.watermark)
    first: str = fetched[_roles(table)[0]][0].as_py()
    if fresh.num_rows == fetched.num_rows:
        last = base.watermark.last_trade_id
        return first.isdecimal() and last.isdecimal() and int(first) == int(last) + 1
    position = positions(table, fetched)[0].as_py()
    mark = _position(table, base.watermark) - (1 if table.position == "time" else 0)
    return fresh.num_rows > 0 or any(low <= position for low, high in base.covered if low <= mark <= high)


def trim(table: Table, rows: pa.Table, base: Stream) -> pa.Table:
    """The rows that a stream does not have yet: those after its watermark, without what history brought in."""
    fresh = rows if base.watermark is None else _after(table, rows, base.watermark)
    return _uncovered(table, fresh, base.covered)


def _after(table: Table, rows: pa.Table, watermark: Watermark) -> pa.Table:
    """The rows after a watermark: by trade id, or by time and tail where there are no ids."""
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


def _uncovered(table: Table, rows: pa.Table, covered: Intervals, grain: int = 1) -> pa.Table:
    import numpy as np

    if not covered or not rows.num_rows:
        return rows
    places = positions(table, rows).to_numpy()
    lows, highs = np.array(covered, np.int64).T
    last = np.searchsorted(lows, places + grain - 1, "right") - 1  # range that begins before a row's grain ends
    return rows.filter((last < 0) | (highs[last] < places))


def _unknown(lake: Lake, table: Table, state: State, name: str, rows: pa.Table) -> pa.Table:
    """Rows without those that stand in the table at positions which are not covered: where positions are times, a
    loaded object ends in a microsecond of which there may be more trades, and that stays uncovered."""
    import pyarrow.compute as pc

    if table.position != "time" or state.loaded is None or not rows.num_rows:
        return rows
    found = lake.ensure(table)
    id_column, time_column = _roles(table)
    first, last = (moment.isoformat() for moment in pc.min_max(rows[time_column]).as_py().values())
    there = _between(table.key[0], name, time_column, first, last)
    known = found.scan(there, selected_fields=(id_column,)).to_arrow()[id_column]
    return rows.filter(pc.invert(pc.is_in(rows[id_column], known))) if len(known) else rows


def _between(symbol_column: str, symbol: str, time_column: str, first: str, last: str) -> BooleanExpression:
    from pyiceberg.expressions import And, EqualTo, GreaterThanOrEqual, LessThanOrEqual

    # pyiceberg's types want an unbound term here, its documentation a column's name
    return And(
        EqualTo(symbol_column, symbol),  # type: ignore[call-arg,arg-type]
        GreaterThanOrEqual(time_column, first),  # type: ignore[call-arg,arg-type]
        LessThanOrEqual(time_column, last),  # type: ignore[call-arg,arg-type]
    )


def positions(table: Table, rows: pa.Table) -> pa.ChunkedArray:
    """Where the rows stand in their stream, as int64: ids, or microseconds since 1970."""
    import pyarrow as pa

    id_column, time_column = _roles(table)
    return (rows[id_column] if table.position == "id" else rows[time_column]).cast(pa.int64())


def _position(table: Table, watermark: Watermark) -> int:
    return int(watermark.last_trade_id) if table.position == "id" else since_epoch(watermark.last_ts)


def _advance(table: Table, fetched: Fetched, base: Stream) -> Stream | None:
    """The stream's state once what `fetched` has after its watermark is in; None when nothing moves."""
    mark = base.watermark
    rows = fetched.rows if mark is None else _after(table, fetched.rows, mark)
    if not rows.num_rows:
        only_rejected = mark is not None and not fetched.rows.num_rows and fetched.start == mark
        if mark is None or not only_rejected or fetched.cursor == mark.cursor:
            return None
        return Stream(Watermark(mark.last_trade_id, mark.last_ts, fetched.cursor, mark.tail), base.covered)
    id_column, time_column = _roles(table)
    last_id: str = rows[id_column][-1].as_py()
    tail = () if last_id.isdecimal() else _tail(table, fetched, mark)
    after = Watermark(last_id, newest(rows, time_column), fetched.cursor, tail)
    # Fetched without a gap, so ids that were skipped count as covered too; of the last microsecond there may be more.
    low, high = positions(table, rows)[0].as_py(), _position(table, after)
    if table.position == "time":
        covered = cover(base.covered, low if mark is None else _position(table, mark), high - 1)
    else:
        covered = cover(base.covered, low if mark is None else _position(table, mark) + 1, high)
    return Stream(after, covered)


def _tail(table: Table, fetched: Fetched, base: Watermark | None) -> tuple[str, ...]:
    import pyarrow as pa
    import pyarrow.compute as pc

    id_column, time_column = _roles(table)
    last_ts = newest(fetched.rows, time_column)
    at_last = pc.equal(fetched.rows[time_column], pa.scalar(last_ts, fetched.rows[time_column].type))
    tail = set(fetched.rows.filter(at_last)[id_column].to_pylist())
    for before in (fetched.start, base):
        if before is not None and before.last_ts == last_ts:
            tail |= set(before.tail)
    return tuple(sorted(tail))


def _roles(table: Table) -> tuple[str, str]:
    """The id and the time column of a raw table."""
    assert table.partition_by_day is not None
    return table.key[-1], table.partition_by_day
