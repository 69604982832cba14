"""The statements that bring a batch into a unified table, look at what came of it, and take rows out again.

A batch view has the columns of `compiler.batch_sql`; one called `rows` or `keys` those of the target, or its key alone.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import pairwise

from sqlglot import exp

from schemahub_lib.mapping.audits import broken_rows
from schemahub_lib.mapping.compiler import DIFFERS, FROM_SOURCE, RANK
from schemahub_lib.mapping.sql import TIME_RESOLUTION, aliased, differing, micros, timestamp, to_sql
from schemahub_lib.schemas import BY_THE_RUN, Table

MOST_RANGES = 64  # in one statement

_TARGET, _OTHER = "t", "s"  # table aliases

Range = tuple[datetime, datetime]


@dataclass(frozen=True)
class Bounds:
    """What some rows span: closed ranges of times in UTC, ascending, and their ids (the key's last column) as text.

    They are written as literals, so that Iceberg can skip files. Without ranges all times are meant.
    """

    ranges: tuple[Range, ...]
    min_id: str
    max_id: str

    def on_whole_days(self) -> Bounds:
        """The UTC days that the ranges touch, or would if they were an hour longer at each end."""
        days = [(_midnight(start - _HOUR), _midnight(end + _HOUR) + _TO_THE_LAST) for start, end in self.ranges]
        return Bounds(joined(days, TIME_RESOLUTION), self.min_id, self.max_id)


_HOUR = timedelta(hours=1)
_TO_THE_LAST = timedelta(days=1) - timedelta(microseconds=1)


def _midnight(moment: datetime) -> datetime:
    return moment.replace(hour=0, minute=0, second=0, microsecond=0)


def joined(ranges: Iterable[Range], apart: timedelta = timedelta(0), most: int = MOST_RANGES) -> tuple[Range, ...]:
    """Ranges of which those less than `apart` from each other are one, and of those left the nearest, until they are
    `most`. So a batch that mixes today with last year does not have the range of a year."""
    found = sorted(ranges)
    gaps = sorted((later[0] - earlier[1] for earlier, later in pairwise(found)), reverse=True)
    if len(gaps) >= most:
        apart = max(apart, gaps[most - 1])
    result: list[Range] = []
    for start, end in found:
        if result and start - result[-1][1] <= apart:
            result[-1] = (result[-1][0], max(result[-1][1], end))
        else:
            result.append((start, end))
    return tuple(result)


def figures_sql(target: Table, batch_view: str, now: datetime) -> str:
    """By raw table and day, of a batch: rows `read`, `rows` of their own key, `versions` that differ from theirs, the
    first and last time and id, and for each audit of single rows how many break it."""
    when = target.time_column
    is_trade = exp.column(RANK).eq(1)
    counted = {
        "rows": is_trade,
        "versions": exp.and_(exp.column(RANK) > 1, exp.column(DIFFERS)),
        **{name: exp.and_(is_trade, broken) for name, broken in broken_rows(target, now).items()},
    }
    days = exp.func("DATE_TRUNC", exp.Literal.string("DAY"), exp.column(when), dialect="spark")
    select = exp.select(
        FROM_SOURCE,
        exp.alias_(exp.Count(this=exp.Star()), "read"),
        *(exp.alias_(exp.CountIf(this=condition), name) for name, condition in counted.items()),
        exp.alias_(micros(exp.Min(this=exp.column(when))), "min_ts"),
        exp.alias_(micros(exp.Max(this=exp.column(when))), "max_ts"),
        exp.alias_(exp.Min(this=exp.column(target.key[-1])), "min_id"),
        exp.alias_(exp.Max(this=exp.column(target.key[-1])), "max_id"),
    )
    return to_sql(select.from_(batch_view).group_by(exp.column(FROM_SOURCE), days))


def merge_sql(target: Table, identifier: str, rows_view: str, bounds: Bounds) -> str:
    """An insert-only MERGE into the table or branch `identifier`.

    The bounds of the ids are implied by the key; those of the times are sound as long as a row's time never moves by
    more than TIME_RESOLUTION, by which they must be widened.
    """
    insert = exp.Insert(
        this=exp.Tuple(expressions=[exp.column(name) for name in target.column_names]),
        expression=exp.Tuple(expressions=[exp.column(name, table=_OTHER) for name in target.column_names]),
    )
    return _merge(target, identifier, rows_view, bounds, exp.When(matched=False, then=insert))


def delete_sql(
    target: Table, identifier: str, keys_view: str, bounds: Bounds, inserted_at: datetime | None = None
) -> str:
    """Takes the rows of some keys out of `identifier`: all that there are of each, or those of one run."""
    condition = _inserted(target, inserted_at) if inserted_at else None
    return _merge(
        target, identifier, keys_view, bounds, exp.When(matched=True, condition=condition, then=exp.var("DELETE"))
    )


def clear_sql(identifier: str, condition: exp.Expr) -> str:
    """Takes all rows out of `identifier` that meet a condition on its columns."""
    return to_sql(exp.delete(aliased(identifier, _TARGET), where=condition))


def repeated_sql(target: Table, identifier: str, bounds: Bounds, ingest_ts: datetime | None = None) -> str:
    """The keys that are in `identifier` more than once, and how many `copies` of each; with `ingest_ts` only those of
    which one was inserted then."""
    keys = [exp.column(name, table=_TARGET) for name in target.key]
    select = exp.select(*keys, exp.alias_(exp.Count(this=exp.Star()), "copies")).from_(aliased(identifier, _TARGET))
    select = select.where(*_within(target, bounds)).group_by(*(key.copy() for key in keys))
    select = select.having(exp.Count(this=exp.Star()) > 1)
    if ingest_ts is not None:
        select = select.having(exp.CountIf(this=_inserted(target, ingest_ts)) > 0)
    return to_sql(select)


def _merge(target: Table, identifier: str, view: str, bounds: Bounds, when: exp.When) -> str:
    merge = exp.Merge(
        this=aliased(identifier, _TARGET),
        using=aliased(view, _OTHER),
        on=exp.and_(*_same_key(target), *_within(target, bounds)),
        whens=exp.Whens(expressions=[when]),
    )
    return to_sql(merge)


def found_sql(target: Table, identifier: str, batch_view: str, bounds: Bounds, ingest_ts: datetime) -> str:
    """By raw table, of a batch view that repeats no key: rows `found` in `identifier`, keys `missing` there, and
    rows `inserted` at `ingest_ts`."""
    there = exp.column(target.key[-1], table=_TARGET)
    select = (
        exp.select(
            exp.column(FROM_SOURCE, table=_OTHER),
            exp.alias_(exp.Count(this=there), "found"),
            exp.alias_(exp.CountIf(this=there.copy().is_(exp.null())), "missing"),
            exp.alias_(exp.CountIf(this=_inserted(target, ingest_ts)), "inserted"),
        )
        .from_(aliased(batch_view, _OTHER))
        .join(aliased(identifier, _TARGET), on=exp.and_(*_same_key(target), *_within(target, bounds)), join_type="left")
        .group_by(exp.column(FROM_SOURCE, table=_OTHER))
    )
    return to_sql(select)


def contradicting_sql(target: Table, identifier: str, batch_view: str, bounds: Bounds, sources: Sequence[str]) -> str:
    """The rows of a batch from some raw tables whose key is in `identifier` with other values, with FROM_SOURCE and
    RANK."""
    select = (
        exp.select(*(exp.column(name, table=_OTHER) for name in (*target.column_names, FROM_SOURCE, RANK)))
        .from_(aliased(batch_view, _OTHER))
        .join(
            aliased(identifier, _TARGET),
            on=exp.and_(*_same_key(target), *_within(target, bounds), _contradict(target)),
            join_type="left semi",
        )
        .where(exp.column(FROM_SOURCE, table=_OTHER).isin(*sources))
    )
    return to_sql(select)


def averages_sql(target: Table, identifier: str, first: datetime, start: datetime, end: datetime) -> str:
    """By symbol, of the rows from `first` to `end`: how many there are `before` the time `start` and `since` then, the
    averages `price_before` and `price_since` of the first column audited to be positive, and the first time."""
    when = target.time_column
    (price, *_) = (column.name for column in target.columns if column.positive)
    since = exp.column(when) >= timestamp(start)
    before = exp.column(when) < timestamp(start)
    keys = [exp.column(name) for name in target.key[:-1]]

    def average(condition: exp.Expr) -> exp.Expr:
        return exp.cast(exp.Avg(this=exp.Case().when(condition, exp.column(price))), "DOUBLE")

    select = exp.select(
        *keys,
        exp.alias_(exp.CountIf(this=before), "before"),
        exp.alias_(exp.CountIf(this=since), "since"),
        exp.alias_(average(before.copy()), "price_before"),
        exp.alias_(average(since.copy()), "price_since"),
        exp.alias_(micros(exp.Min(this=exp.column(when))), "first_ts"),
    )
    within = exp.column(when).between(timestamp(first), timestamp(end))
    return to_sql(select.from_(aliased(identifier, _TARGET)).where(within).group_by(*(key.copy() for key in keys)))


def _same_key(target: Table) -> list[exp.Expr]:
    return [exp.column(name, table=_TARGET).eq(exp.column(name, table=_OTHER)) for name in target.key]


def _inserted(target: Table, ingest_ts: datetime) -> exp.Expr:
    (by_the_run,) = (column.name for column in target.columns if column.filled == BY_THE_RUN)
    return exp.column(by_the_run, table=_TARGET).eq(timestamp(ingest_ts))


def _within(target: Table, bounds: Bounds) -> list[exp.Expr]:
    found: list[exp.Expr] = []
    if bounds.ranges:
        when = exp.column(target.time_column, table=_TARGET)
        ranges = [when.copy().between(timestamp(start), timestamp(end)) for start, end in bounds.ranges]
        found.append(exp.paren(exp.or_(*ranges)) if len(ranges) > 1 else ranges[0])
    last = exp.column(target.key[-1], table=_TARGET)
    return [*found, last.between(exp.Literal.string(bounds.min_id), exp.Literal.string(bounds.max_id))]


def _contradict(target: Table, tolerance: timedelta = TIME_RESOLUTION) -> exp.Expr:
    return exp.paren(
        differing(
            target.compared,
            lambda name: exp.column(name, table=_OTHER),
            lambda name: exp.column(name, table=_TARGET),
            tolerance,
        )
    )
