"""The SQL of a drift: columns added to a table, and filled from the payloads that are there."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlglot import exp

from schemahub_lib.mapping.sql import aliased, timestamp, to_sql, try_cast
from schemahub_lib.mapping.transforms import TRANSFORMS
from schemahub_lib.schemas import INGEST_TS, RAW_PAYLOAD, Column, SqlType

PAYLOAD_VALUE, ROWS, SHOWN, FILLED = "payload_value", "rows", "shown", "filled"
_T = "t"


@dataclass(frozen=True)
class Addition:
    """A column to add, and where its value stands in a payload: `$.key`, or `$[7]` in an array."""

    column: Column
    path: str

    @property
    def shown(self) -> exp.Expr:
        """What the payload has there, as text; null where it has nothing."""
        payload = exp.column(RAW_PAYLOAD.name)
        return exp.Anonymous(this="GET_JSON_OBJECT", expressions=[payload, exp.Literal.string(self.path)])

    @property
    def value(self) -> exp.Expr:
        """What stands in the column; null where the payload's value is of another type."""
        if self.column.time_encoding == "iso8601":
            return TRANSFORMS["iso8601"].apply(self.shown, "STRING")
        if self.column.type == "STRING":
            return self.shown
        return try_cast(self.shown, self.column.type)


def add_column_sql(identifier: str, column: Column) -> str:
    """An additive ALTER: no file of the table is rewritten, and old rows have null there."""
    definition = exp.ColumnDef(this=exp.to_identifier(column.name), kind=_type(column.type))
    if column.comment:
        comment = exp.CommentColumnConstraint(this=exp.Literal.string(column.comment))
        definition.set("constraints", [exp.ColumnConstraint(kind=comment)])
    return to_sql(exp.Alter(this=_table(identifier), kind="TABLE", actions=[definition]))


def fill_sql(identifier: str, additions: Sequence[Addition], since: datetime) -> str:
    """Fill added columns of the rows fetched since a time."""
    values = [exp.EQ(this=exp.column(one.column.name), expression=one.value) for one in additions]
    return to_sql(exp.Update(this=_table(identifier), expressions=values, where=exp.Where(this=_fetched(since))))


def filled_sql(identifier: str, addition: Addition, since: datetime) -> str:
    """Of the rows fetched since a time: how many there are, how many payloads have the field, how many got a value."""
    counts = {ROWS: exp.Star(), SHOWN: addition.shown, FILLED: exp.column(addition.column.name)}
    return to_sql(
        exp.select(*(exp.alias_(exp.Count(this=counted), name) for name, counted in counts.items()))
        .from_(aliased(identifier, _T))
        .where(_fetched(since))
    )


def values_sql(identifier: str, addition: Addition, since: datetime, most: int) -> str:
    """The most frequent values of an added column beside what the payloads have, with the number of rows of each."""
    value = exp.column(addition.column.name)
    return to_sql(
        exp.select(exp.alias_(addition.shown, PAYLOAD_VALUE), value, exp.alias_(exp.Count(this=exp.Star()), ROWS))
        .from_(aliased(identifier, _T))
        .where(exp.and_(_fetched(since), addition.shown.is_(exp.null()).not_()))
        .group_by(exp.column(PAYLOAD_VALUE), value.copy())
        .order_by(exp.column(ROWS).desc(), exp.column(PAYLOAD_VALUE))
        .limit(most)
    )


def fetched_sql(identifier: str, since: datetime) -> str:
    """The rows fetched since a time."""
    return to_sql(exp.select("*").from_(aliased(identifier, _T)).where(_fetched(since)))


def _fetched(since: datetime) -> exp.Expr:
    return exp.GTE(this=exp.column(INGEST_TS.name), expression=timestamp(since))


def _type(sql_type: SqlType) -> exp.DataType:
    return exp.DataType.build(sql_type, dialect="spark")


def _table(identifier: str) -> exp.Expr:
    table = aliased(identifier, _T)
    table.set("alias", None)
    return table
