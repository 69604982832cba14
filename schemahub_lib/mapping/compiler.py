"""Mappings to Spark SQL. Every statement is built as a syntax tree (sqlglot) and printed once, at the end."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlglot import exp

from schemahub_lib.mapping.expressions import columns_of, over
from schemahub_lib.mapping.spec import ColumnMapping, Constant, Expression, MappingSpec
from schemahub_lib.mapping.sql import aliased, differing, known, timestamp, to_sql
from schemahub_lib.schemas import BY_PRODUCTS, BY_THE_RUN, INGEST_TS, SOURCE, Column, Table

# Columns of a batch beside the target's: the raw table a row came from, its place among rows of its key (1: the trade),
# and whether its values differ from those of that one.
FROM_SOURCE, RANK, DIFFERS = "_from", "_rank", "_differs"

_ORDER, _FIRST = "_order", "_first"
_RAW, _PRODUCTS, _INCREMENTS = "r", "p", "increments"  # table aliases


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
    columns = _columns(spec, target, timestamp(ingest_ts))
    select = exp.select(*(exp.alias_(value, column.name) for column, value in columns)).from_(
        aliased(source_view, _RAW)
    )
    if any(column.filled == BY_PRODUCTS for column in target.columns):
        is_product = exp.and_(
            exp.column("source", table=_PRODUCTS).eq(exp.column(SOURCE.name, table=_RAW)),
            exp.column("symbol", table=_PRODUCTS).eq(_value(spec.by_target["symbol"], target.column("symbol"))),
            exp.column("replaced_at", table=_PRODUCTS).is_(exp.null()),
        )
        select = select.join(aliased(products_table, _PRODUCTS), on=is_product, join_type="left")
    return select.where(*(over(condition.tree, _RAW) for condition in spec.filters))


def batch_sql(
    specs_with_views: Sequence[tuple[MappingSpec, str]],
    target: Table,
    products_table: str,
    ingest_ts: datetime,
    *,
    where: exp.Expr | None = None,
    keys_view: str | None = None,
) -> str:
    """One SELECT over the increments of all sources: the target's columns, and FROM_SOURCE, RANK and DIFFERS.

    With `where`, a condition on the target's columns, or `keys_view`, only of the rows that meet it or have such a key.

    Of rows with equal keys the one with RANK 1 is the trade: the one fetched first (last, where the mapping says
    `on_conflict: update`), and among those the first in the order of the other columns, so that the same rows give the
    same batch however Spark distributes them. DIFFERS tells which of the others have other values.
    """
    increments = []
    for spec, view in specs_with_views:
        fetched = exp.func("UNIX_MICROS", exp.column(INGEST_TS.name, table=_RAW), dialect="spark")
        increments.append(
            increment_select(spec, target, view, products_table, ingest_ts).select(
                exp.alias_(exp.Literal.string(spec.source), FROM_SOURCE),
                exp.alias_(exp.Neg(this=fetched) if spec.on_conflict == "update" else fetched, _ORDER),
            )
        )
    union: exp.Query = increments[0]
    for increment in increments[1:]:
        union = exp.union(union, increment, distinct=False)
    first = [_ORDER, target.time_column]
    rest = [
        name
        for name in target.column_names
        if name not in (*target.key, *first) and target.column(name).filled != BY_THE_RUN
    ]
    window = {
        "partition_by": [exp.column(name) for name in target.key],
        "order": exp.Order(
            expressions=[exp.Ordered(this=exp.column(name), nulls_first=False) for name in (*first, *rest)]
        ),
    }
    values = exp.func("STRUCT", *(exp.column(column.name) for column in target.compared), dialect="spark")
    ranked = exp.select(
        *target.column_names,
        FROM_SOURCE,
        exp.alias_(exp.Window(this=exp.RowNumber(), **window), RANK),
        exp.alias_(exp.Window(this=exp.FirstValue(this=values), **window), _FIRST),
    ).from_(union.subquery(_INCREMENTS))
    wanted = [] if where is None else [where]
    if keys_view is not None:
        wanted.append(known(target.key, _INCREMENTS, keys_view))
    if wanted:
        ranked = ranked.where(exp.or_(*wanted))
    differs = differing(
        target.compared, exp.column, lambda name: exp.Dot(this=exp.column(_FIRST), expression=exp.to_identifier(name))
    )
    batch = exp.select(*target.column_names, FROM_SOURCE, RANK, exp.alias_(differs, DIFFERS))
    return to_sql(batch.from_(ranked.subquery("ranked")))


def filtered_sql(specs_with_views: Sequence[tuple[MappingSpec, str]]) -> str:
    """By FROM_SOURCE, of mappings that have filters, how many rows each view has (`read`) and how many they leave out
    (`filtered`)."""
    counts: list[exp.Query] = []
    for spec, view in specs_with_views:
        met = exp.and_(*(over(condition.tree, _RAW) for condition in spec.filters))
        left_out = exp.CountIf(this=exp.not_(exp.func("COALESCE", met, exp.false())))
        source = exp.alias_(exp.Literal.string(spec.source), FROM_SOURCE)
        read = exp.alias_(exp.Count(this=exp.Star()), "read")
        counts.append(exp.select(source, read, exp.alias_(left_out, "filtered")).from_(aliased(view, _RAW)))
    return to_sql(exp.union(*counts, distinct=False) if len(counts) > 1 else counts[0])


def explain_columns(spec: MappingSpec, target: Table) -> tuple[ColumnLineage, ...]:
    """The lineage of every target column, in target order; the time of the run shows as `:ingest_ts`."""
    lineage = []
    for column, value in _columns(spec, target, exp.Placeholder(this="ingest_ts")):
        mapping = spec.by_target.get(column.name)
        transform = ""
        if mapping is not None and mapping.transform is not None and isinstance(mapping.origin, Column):
            satisfied = mapping.transform.satisfied_by(mapping.origin.type)
            transform = mapping.transform.name + (f" (is {column.type} already)" if satisfied else "")
        origin = _describe_origin(spec, column, mapping)
        lineage.append(ColumnLineage(column.name, column.type, origin, transform, value.sql(dialect="spark")))
    return tuple(lineage)


def _columns(spec: MappingSpec, target: Table, ingest_ts: exp.Expr) -> Iterator[tuple[Column, exp.Expr]]:
    """Each target column with the expression that fills it."""
    by_target = spec.by_target
    for column in target.columns:
        mapping = by_target.get(column.name)
        if mapping is not None:
            yield column, _value(mapping, column)
        elif column.filled == BY_THE_RUN:
            yield column, ingest_ts
        elif column.filled == BY_PRODUCTS:
            yield column, exp.column(column.name, table=_PRODUCTS)
        else:
            yield column, _cast(exp.null(), column)


def _value(mapping: ColumnMapping, target: Column) -> exp.Expr:
    value: exp.Expr
    match mapping.origin:
        case Constant() as constant:
            return _constant(constant, target)
        case Expression(tree=tree):
            value = over(tree, _RAW)
        case Column() as raw:
            value = exp.column(raw.name, table=_RAW)
            value = mapping.transform.apply(value, raw.type) if mapping.transform else value
    return exp.func("COALESCE", value, _constant(mapping.default, target)) if mapping.default else value


def _constant(constant: Constant, target: Column) -> exp.Expr:
    value = exp.convert(constant.value)
    # An unadorned 0.5 would be a DECIMAL in Spark and widen the column's type in the union.
    return value if target.type == "STRING" else _cast(value, target)


def _describe_origin(spec: MappingSpec, column: Column, mapping: ColumnMapping | None) -> str:
    if mapping is not None:
        match mapping.origin:
            case Constant():
                return "constant"
            case Expression(tree=tree):
                return ", ".join(f"{spec.source}.{name}" for name in columns_of(tree)) or "expression"
            case Column(name=name):
                return f"{spec.source}.{name}"
    return {BY_THE_RUN: "time of the run", BY_PRODUCTS: "product list"}.get(column.filled, "not mapped")


def _cast(value: exp.Expr, column: Column) -> exp.Expr:
    return exp.cast(value, exp.DataType.build(column.type, dialect="spark"))
