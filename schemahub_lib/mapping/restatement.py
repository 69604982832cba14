"""The statements by which a part of a unified table is made anew from raw: what has it now, and what must change."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlglot import exp

from schemahub_lib.errors import UsageError
from schemahub_lib.mapping.spec import Constant, MappingSpec
from schemahub_lib.mapping.sql import aliased, differing, known, timestamp, to_sql
from schemahub_lib.schemas import BY_THE_RUN, Table

OP, FIRST_TS, LAST_TS = "_op", "_first_ts", "_last_ts"
INSERT, CHANGE, REMOVE = "insert", "change", "remove"
SYMBOL_COLUMNS = ("symbol", "canonical_symbol")  # as the venue spells it, and BASE-QUOTE
_NEW, _OLD = "s", "t"
_COPIES, _NUMBER = "_copies", "_number"


@dataclass(frozen=True)
class Region:
    """The part of a unified table to restate: from `start` to before `end`, some symbols; None or empty: all."""

    start: datetime | None = None
    end: datetime | None = None
    symbols: tuple[str, ...] = ()

    def condition(self, target: Table, specs: Sequence[MappingSpec]) -> exp.Expr:
        """On the target's columns, for the rows of these mappings alone. Raises UsageError when they do not tell
        theirs apart."""
        conditions: list[exp.Expr] = [owned(target, specs)]
        when = exp.column(target.time_column)
        if self.start is not None:
            conditions.append(when.copy() >= timestamp(self.start))
        if self.end is not None:
            conditions.append(when.copy() < timestamp(self.end))
        if self.symbols:
            spelled = [name for name in SYMBOL_COLUMNS if name in target.column_names]
            if not spelled:
                raise UsageError(f"{target.name} has no symbols: leave out --symbols")
            conditions.append(exp.paren(exp.or_(*(exp.column(name).isin(*self.symbols) for name in spelled))))
        return exp.and_(*conditions)


def owned(target: Table, specs: Sequence[MappingSpec]) -> exp.Expr:
    """The rows of these mappings. Raises UsageError where they do not tell theirs apart."""
    return exp.column(target.key[0]).isin(*sorted(owners(target, specs)))


def owners(target: Table, specs: Sequence[MappingSpec]) -> set[str]:
    """The constants in the key's first column by which mappings tell their rows apart. Raises UsageError without."""
    first = target.key[0]
    origins = [spec.by_target[first].origin for spec in specs]
    if not all(isinstance(origin, Constant) for origin in origins):
        raise UsageError(f"{first} is no constant of every mapping, so a part of {target.name} cannot be restated")
    return {str(origin.value) for origin in origins if isinstance(origin, Constant)}


def touched_sql(target: Table, identifier: str, rows_view: str, region: exp.Expr) -> str:
    """The keys of the rows that raw has, and of those that are in the region now."""
    new = exp.select(*target.key).from_(rows_view)
    old = exp.select(*target.key).from_(aliased(identifier, _OLD)).where(region)
    return to_sql(exp.union(new, old, distinct=True))


def present_sql(target: Table, identifier: str, keys_view: str) -> str:
    """The rows of some keys as they are now, one a key, with how many copies there are and from when to when."""
    keys = [exp.column(name) for name in target.key]
    when = exp.column(target.time_column)

    def over(function: exp.Expr, **order: exp.Expr) -> exp.Window:
        return exp.Window(this=function, partition_by=[key.copy() for key in keys], **order)

    order = exp.Order(expressions=[exp.Ordered(this=exp.column(name)) for name in target.column_names])
    rows = (
        exp.select(
            *target.column_names,
            exp.alias_(over(exp.Count(this=exp.Star())), _COPIES),
            exp.alias_(over(exp.Min(this=when.copy())), FIRST_TS),
            exp.alias_(over(exp.Max(this=when.copy())), LAST_TS),
            exp.alias_(over(exp.RowNumber(), order=order), _NUMBER),
        )
        .from_(aliased(identifier, _OLD))
        .where(known(target.key, _OLD, keys_view))
    )
    return to_sql(exp.select("*").from_(rows.subquery("present")).where(exp.column(_NUMBER).eq(1)))


def as_present_sql(target: Table, rows_view: str) -> str:
    """Rows of a view that repeats no key, as `present_sql` gives them."""
    when = exp.column(target.time_column)
    return to_sql(
        exp.select(
            *target.column_names,
            exp.alias_(exp.Literal.number(1), _COPIES),
            exp.alias_(when, FIRST_TS),
            exp.alias_(when.copy(), LAST_TS),
        ).from_(rows_view)
    )


def changed_columns_sql(target: Table, changes_view: str) -> str:
    """How many of the rows of a view of changes (see `changes_sql`) have another value in each column."""

    def differs(name: str) -> exp.Expr:
        return exp.and_(
            exp.column(OP).eq(exp.Literal.string(CHANGE)),
            exp.NullSafeNEQ(this=exp.column(name), expression=exp.column(f"old_{name}")),
        )

    counts = (exp.alias_(exp.CountIf(this=differs(column.name)), column.name) for column in target.compared)
    return to_sql(exp.select(*counts).from_(changes_view))


def elsewhere_sql(target: Table, present_view: str, rows_view: str, region: exp.Expr) -> str:
    """The keys of which raw may have more than the region shows: those that are there now and raw has none of in the
    region, and those that are now outside of it."""
    outside = exp.not_(exp.func("COALESCE", exp.paren(region), exp.false()))
    lost = exp.not_(known(target.key, _OLD, rows_view))
    return to_sql(exp.select(*target.key).from_(aliased(present_view, _OLD)).where(exp.or_(lost, outside)))


def changes_sql(target: Table, rows_view: str, present_view: str) -> str:
    """What must change, by key: OP, the row as it will be (its key alone where it goes), `old_<column>` of the columns
    that the exchange told, and the times between which its present copies are."""

    def new(name: str) -> exp.Expr:
        return exp.column(name, table=_NEW)

    def old(name: str) -> exp.Expr:
        return exp.column(name, table=_OLD)

    rebuilt = [column for column in target.columns if column.name not in target.key and column.filled != BY_THE_RUN]
    last = target.key[-1]
    differs = exp.or_(old(_COPIES) > 1, differing(rebuilt, new, old, timedelta(0)))
    op = (
        exp.Case()
        .when(old(last).is_(exp.null()), exp.Literal.string(INSERT))
        .when(new(last).is_(exp.null()), exp.Literal.string(REMOVE))
        .when(differs, exp.Literal.string(CHANGE))
    )
    columns = [
        exp.alias_(exp.func("COALESCE", new(name), old(name)), name) if name in target.key else new(name)
        for name in target.column_names
    ]
    select = (
        exp.select(
            exp.alias_(op, OP),
            *columns,
            *(exp.alias_(old(column.name), f"old_{column.name}") for column in target.compared),
            old(FIRST_TS),
            old(LAST_TS),
        )
        .from_(aliased(rows_view, _NEW))
        .join(
            aliased(present_view, _OLD),
            on=exp.and_(*(old(name).eq(new(name)) for name in target.key)),
            join_type="full outer",
        )
    )
    return to_sql(exp.select("*").from_(select.subquery("changes")).where(exp.not_(exp.column(OP).is_(exp.null()))))
