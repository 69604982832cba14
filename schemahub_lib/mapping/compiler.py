"""Mappings to Spark SQL. Every statement is built as a syntax tree (sqlglot) and printed once, at the end."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from sqlglot import exp

from schemahub_lib.mapping.spec import FROM_PRODUCTS, INGEST_TS, ColumnMapping, Constant, MappingSpec
from schemahub_lib.schemas import SOURCE, Column, Table

# The coarsest trade time any source has. The same trade read from two feeds (one in ms, one in µs) may differ by as
# much, so a batch's time range is widened by it on both ends before it bounds a MERGE.
TIME_RESOLUTION = timedelta(seconds=1)

_RAW, _PRODUCTS, _TARGET, _BATCH = "r", "p", "t", "s"  # table aliases
_RANK = "_rank"


@dataclass(frozen=True)
class Bounds:
    """What a batch spans: aware times, already widened by TIME_RESOLUTION, and trade ids in text order."""

    min_ts: datetime
    max_ts: datetime
    min_id: str
    max_id: str


@dataclass(frozen=True)
class ColumnLineage:
    """Where a target column comes from, for people: `origin` in words, `sql` as compiled."""

    target: str
    type: str
    origin: str
    transform: str
    sql: str


def increment_select(
    spec: MappingSpec, target: Table, source_view: str, products_table: str, ingest_ts: datetime
) -> exp.Select:
    """The rows of one raw increment in the target's columns, by name and in target order.

    `source_view` has the columns of the spec's raw table; `products_table` those of schemas.PRODUCTS.
    """
    columns = _columns(spec, target, _timestamp(ingest_ts))
    is_product = exp.and_(
        exp.column("source", table=_PRODUCTS).eq(exp.column(SOURCE.name, table=_RAW)),
        exp.column("symbol", table=_PRODUCTS).eq(_origin(spec.by_target["symbol"])),
    )
    return (
        exp.select(*(exp.alias_(value, column.name) for column, value in columns))
        .from_(_table(source_view, _RAW))
        .join(_table(products_table, _PRODUCTS), on=is_product, join_type="left")
    )


def batch_sql(
    specs_with_views: Sequence[tuple[MappingSpec, str]], target: Table, products_table: str, ingest_ts: datetime
) -> str:
    """One SELECT over the increments of all sources, each key once.

    Of rows with equal keys the earliest stays, and among those the first in the order of the other columns: the same
    rows give the same batch, however Spark distributes them.
    """
    increments = [increment_select(spec, target, view, products_table, ingest_ts) for spec, view in specs_with_views]
    union: exp.Query = increments[0]
    for increment in increments[1:]:
        union = exp.union(union, increment, distinct=False)
    first = [target.partition_by_day] if target.partition_by_day else []
    rest = [name for name in target.column_names if name not in (*target.key, *first, INGEST_TS)]
    rank = exp.Window(
        this=exp.RowNumber(),
        partition_by=[exp.column(name) for name in target.key],
        order=exp.Order(
            expressions=[exp.Ordered(this=exp.column(name), nulls_first=False) for name in (*first, *rest)]
        ),
    )
    ranked = exp.select(*target.column_names, exp.alias_(rank, _RANK)).from_(union.subquery("increments"))
    batch = exp.select(*target.column_names).from_(ranked.subquery("ranked"))
    return to_sql(batch.where(exp.column(_RANK).eq(1)))


def merge_sql(target: Table, identifier: str, batch_view: str, bounds: Bounds) -> str:
    """An insert-only MERGE of `batch_view` into the table or branch `identifier`.

    The literal bounds let Iceberg skip files; `bounds.min_id/max_id` are implied by the key, and the time range is
    sound as long as a trade's time never moves by more than TIME_RESOLUTION.
    """
    same_key = [exp.column(name, table=_TARGET).eq(exp.column(name, table=_BATCH)) for name in target.key]
    in_reach = [
        exp.column("trade_ts", table=_TARGET).between(_timestamp(bounds.min_ts), _timestamp(bounds.max_ts)),
        exp.column("trade_id", table=_TARGET).between(
            exp.Literal.string(bounds.min_id), exp.Literal.string(bounds.max_id)
        ),
    ]
    insert = exp.Insert(
        this=exp.Tuple(expressions=[exp.column(name) for name in target.column_names]),
        expression=exp.Tuple(expressions=[exp.column(name, table=_BATCH) for name in target.column_names]),
    )
    merge = exp.Merge(
        this=_table(identifier, _TARGET),
        using=_table(batch_view, _BATCH),
        on=exp.and_(*same_key, *in_reach),
        whens=exp.Whens(expressions=[exp.When(matched=False, then=insert)]),
    )
    return to_sql(merge)


def explain_columns(spec: MappingSpec, target: Table) -> tuple[ColumnLineage, ...]:
    """The lineage of every target column, in target order; the time of the run shows as `:ingest_ts`."""
    lineage = []
    for column, value in _columns(spec, target, exp.Placeholder(this=INGEST_TS)):
        mapping = spec.by_target.get(column.name)
        transform = ""
        if mapping is not None and mapping.transform is not None and isinstance(mapping.origin, Column):
            satisfied = mapping.transform.satisfied_by(mapping.origin.type)
            transform = mapping.transform.name + (f" (is {column.type} already)" if satisfied else "")
        origin = _describe_origin(spec, column, mapping)
        lineage.append(ColumnLineage(column.name, column.type, origin, transform, value.sql(dialect="spark")))
    return tuple(lineage)


def to_sql(statement: exp.Expr) -> str:
    """`statement` as indented Spark SQL."""
    return statement.sql(dialect="spark", pretty=True)


def _columns(spec: MappingSpec, target: Table, ingest_ts: exp.Expr) -> Iterator[tuple[Column, exp.Expr]]:
    """Each target column with the expression that fills it."""
    by_target = spec.by_target
    for column in target.columns:
        mapping = by_target.get(column.name)
        if mapping is not None:
            yield column, _value(mapping, column)
        elif column.name == INGEST_TS:
            yield column, ingest_ts
        elif column.name in FROM_PRODUCTS:
            yield column, exp.column(column.name, table=_PRODUCTS)
        else:
            yield column, _cast(exp.null(), column)


def _value(mapping: ColumnMapping, target: Column) -> exp.Expr:
    value = _origin(mapping)
    if isinstance(mapping.origin, Constant):
        # An unadorned 0.5 would be a DECIMAL in Spark and widen the column's type in the union.
        return value if target.type == "STRING" else _cast(value, target)
    return mapping.transform.apply(value, mapping.origin.type) if mapping.transform else value


def _origin(mapping: ColumnMapping) -> exp.Expr:
    if isinstance(mapping.origin, Constant):
        return exp.convert(mapping.origin.value)
    return exp.column(mapping.origin.name, table=_RAW)


def _describe_origin(spec: MappingSpec, column: Column, mapping: ColumnMapping | None) -> str:
    if mapping is not None:
        return "constant" if isinstance(mapping.origin, Constant) else f"{spec.source}.{mapping.origin.name}"
    if column.name == INGEST_TS:
        return "time of the run"
    return "product list" if column.name in FROM_PRODUCTS else "not mapped"


def _cast(value: exp.Expr, column: Column) -> exp.Expr:
    return exp.cast(value, exp.DataType.build(column.type, dialect="spark"))


def _timestamp(moment: datetime) -> exp.Expr:
    """A literal that means the same instant in every session time zone. Raises ValueError for a naive `moment`."""
    if moment.tzinfo is None:
        raise ValueError(f"{moment} has no time zone")
    text = moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    return exp.cast(exp.Literal.string(text), exp.DataType.build("TIMESTAMP", dialect="spark"))


def _table(identifier: str, alias: str) -> exp.Expr:
    """`a.b.c.branch_x`, quoted or not, with the parts quoted that need it (a database may be called `my-db`)."""
    parts = [exp.to_identifier(part.strip("`")) for part in identifier.split(".")]
    table = exp.Table(this=exp.Dot.build(parts) if len(parts) > 1 else parts[0])
    return exp.alias_(table, alias, table=True)
