"""What proposals would do, tried on a stand-in for the raw table: the ALTERs, and the payloads that are there."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import PurePath

from schemahub_lib.exchanges.base import Exchange
from schemahub_lib.mapping.compiler import RANK, batch_sql
from schemahub_lib.mapping.drift import (
    FILLED,
    PAYLOAD_VALUE,
    ROWS,
    SHOWN,
    Addition,
    add_column_sql,
    fetched_sql,
    fill_sql,
    filled_sql,
    values_sql,
)
from schemahub_lib.mapping.parser import parse_mapping
from schemahub_lib.mapping.registry import read_mapping
from schemahub_lib.mapping.spec import MappingSpec
from schemahub_lib.pipeline.drift import Proposal, since_when
from schemahub_lib.pipeline.patches import mapped, unified_columns, with_columns
from schemahub_lib.schemas import PRODUCTS, TARGETS
from schemahub_lib.tables.lake import Lake
from schemahub_lib.tables.rehearsal import BRANCH, rehearsal
from schemahub_lib.tables.unified import in_utc

MOST_VALUES = 5
_REPLAYED = "replayed"  # a view


@dataclass(frozen=True)
class Value:
    """A value that some rows would get: what their payloads have, and what would stand in the column."""

    payload: str
    column: str | None
    rows: int


@dataclass(frozen=True)
class Trial:
    """Of the rows fetched since `since`: how many there are, how many payloads have the field, how many would have a
    value in the raw table's new column, how many trades in the target's. `values` are the most frequent ones."""

    table: str
    column: str
    since: datetime
    rows: int
    shown: int
    filled: int
    unified: int
    values: tuple[Value, ...]


def try_out(
    lake: Lake, exchange: Exchange, spec: MappingSpec | None, proposals: Sequence[Proposal], run_id: str
) -> list[Trial]:
    """Try the columns that are proposed, all at once. The raw table and the target are only read."""
    wanted = [(one.addition, since_when(one)) for one in proposals if one.addition is not None]
    if not wanted:
        return []
    additions = [addition for addition, _ in wanted]
    first = min(since for _, since in wanted)
    spark = lake.spark
    with rehearsal(lake, exchange.raw_table.name, run_id) as stand_in:
        for addition in additions:
            spark.sql(add_column_sql(lake.identifier(stand_in), addition.column))
        branch = lake.identifier(stand_in, BRANCH)
        spark.sql(fill_sql(branch, additions, first))
        unified = {} if spec is None else _unified(lake, exchange, spec, additions, fetched_sql(branch, first))
        return [_trial(lake, exchange, branch, addition, since, unified) for addition, since in wanted]


def _trial(
    lake: Lake, exchange: Exchange, branch: str, addition: Addition, since: datetime, unified: Mapping[str, int]
) -> Trial:
    (counts,) = lake.spark.sql(filled_sql(branch, addition, since)).collect()
    name = addition.column.name
    values = tuple(
        Value(row[PAYLOAD_VALUE], None if row[name] is None else str(in_utc(row[name])), row[ROWS])
        for row in lake.spark.sql(values_sql(branch, addition, since, MOST_VALUES)).collect()
    )
    table = exchange.raw_table.name
    return Trial(table, name, since, counts[ROWS], counts[SHOWN], counts[FILLED], unified.get(name, 0), values)


def _unified(
    lake: Lake, exchange: Exchange, spec: MappingSpec, additions: Sequence[Addition], replayed: str
) -> dict[str, int]:
    """How many trades would have a value in each of the target's new columns, by name."""
    added = [addition.column for addition in additions]
    going = unified_columns(spec, added)
    raw, target = with_columns(exchange.raw_table, added), with_columns(TARGETS[spec.target_table], going)
    text = mapped(read_mapping(lake.settings.mappings, spec.file), going)
    changed = parse_mapping(text, PurePath(spec.file).name, {raw.name: raw}, {target.name: target})
    lake.ensure(PRODUCTS)
    lake.spark.sql(replayed).createOrReplaceTempView(_REPLAYED)
    select = batch_sql([(changed, _REPLAYED)], target, lake.identifier(PRODUCTS.name), datetime.now(UTC))
    trades = lake.spark.sql(select).where(f"{RANK} = 1")
    (counts,) = trades.selectExpr("0", *(f"count(`{column.name}`) AS `{column.name}`" for column in going)).collect()
    return counts.asDict()
