"""What every statement is built from: syntax trees (sqlglot), printed as Spark SQL once, at the end."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta

from sqlglot import exp

from schemahub_lib.schemas import Column

# The coarsest trade time any source has. The same trade read from two feeds (one in ms, one in µs) may differ by as
# much: a batch's time range is widened by it on both ends before it bounds a MERGE, and within it times are the same.
TIME_RESOLUTION = timedelta(seconds=1)

_KEYS = "k"  # a table alias


# Text that holds one of these cannot be stored: NUL, and halves of surrogate pairs.
UNSTORABLE = re.compile("[\0\ud800-\udfff]")


def to_sql(statement: exp.Expr) -> str:
    """`statement` as indented Spark SQL."""
    return statement.sql(dialect="spark", pretty=True)


def try_cast(value: exp.Expr, sql_type: str | exp.DataType) -> exp.Expr:
    """A cast that gives NULL for what it cannot read: a plain CAST (without safe=True) fails the whole batch where
    ANSI mode is on (the default of Spark 4)."""
    return exp.TryCast(this=value, to=exp.DataType.build(sql_type, dialect="spark"), safe=True)


def timestamp(moment: datetime) -> exp.Expr:
    """A literal that means the same instant in every session time zone. Raises ValueError for a naive `moment`."""
    if moment.tzinfo is None:
        raise ValueError(f"{moment} has no time zone")
    text = moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    return exp.cast(exp.Literal.string(text), exp.DataType.build("TIMESTAMP", dialect="spark"))


def aliased(identifier: str, alias: str) -> exp.Expr:
    """`a.b.c.branch_x`, quoted or not, with the parts quoted that need it (a database may be called `my-db`)."""
    parts = [exp.to_identifier(part.strip("`")) for part in identifier.split(".")]
    table = exp.Table(this=exp.Dot.build(parts) if len(parts) > 1 else parts[0])
    return exp.alias_(table, alias, table=True)


def known(key: Sequence[str], outer: str, keys_view: str) -> exp.Expr:
    """Whether a row of `outer` has a key that is in a view of keys. Not an IN: within an OR, or negated, Spark compares
    each row with every key of an IN."""
    same = [exp.column(name, table=outer).eq(exp.column(name, table=_KEYS)) for name in key]
    return exp.Exists(this=exp.select("1").from_(aliased(keys_view, _KEYS)).where(*same))


def differing(
    columns: Sequence[Column],
    one: Callable[[str], exp.Expr],
    other: Callable[[str], exp.Expr],
    tolerance: timedelta = TIME_RESOLUTION,
) -> exp.Expr:
    """Whether two rows contradict each other; times may be apart by `tolerance`, and two nulls are equal."""
    found: list[exp.Expr] = []
    for column in columns:
        a, b = one(column.name), other(column.name)
        if column.type == "TIMESTAMP" and tolerance:
            apart = exp.Sub(this=micros(a), expression=micros(b))
            limit = exp.Literal.number(tolerance // timedelta(microseconds=1))
            found.append(exp.func("COALESCE", exp.GT(this=exp.Abs(this=apart), expression=limit), exp.true()))
        else:
            found.append(exp.NullSafeNEQ(this=a, expression=b))
    return exp.or_(*found)


def micros(value: exp.Expr) -> exp.Expr:
    """Microseconds since 1970 of a time: Spark hands times out in the session's zone, where some come twice a year."""
    return exp.func("UNIX_MICROS", value, dialect="spark")
