"""Which side took, by the same mapping that fills `trades_unified`."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from itertools import product

from sqlglot import exp

from schemahub_lib.exchanges.base import Exchange
from schemahub_lib.http.messages import Record, Value
from schemahub_lib.mapping.compiler import increment_select
from schemahub_lib.mapping.spec import MappingSpec
from schemahub_lib.schemas import TARGETS


def taker_side(spec: MappingSpec, exchange: Exchange) -> Callable[[Record], str | None]:
    """What the mapping makes of a raw trade's side: BUY, SELL, or None where it tells none.

    The columns that tell a side have few values, so the mapping's own expression is worked out once for all of them. A
    mapping that takes it from other columns than these tells none here.
    """
    import duckdb

    select = increment_select(spec, TARGETS[spec.target_table], "given", "products", datetime.now(UTC))
    value = next(found.this for found in select.selects if found.alias == "side").copy()
    columns = sorted({column.name for column in value.find_all(exp.Column)})
    domains = {field.column: set((field.kind.values or {}).values()) for field in exchange.fields}
    given = list(product(*(domains.get(name, set()) for name in columns)))
    if not columns or not given:
        return lambda record: None
    rows = exp.values([tuple(map(exp.convert, values)) for values in given], alias="r", columns=columns)
    statement = exp.select(*columns, exp.alias_(value, "_side")).from_(rows)
    with duckdb.connect() as connection:
        found = connection.execute(statement.sql("duckdb")).fetchall()
    sides: dict[tuple[Value, ...], str | None] = {tuple(told): side for *told, side in found}
    return lambda record: sides.get(tuple(record[name] for name in columns))
