"""Examples of mappings, run in a Spark on this machine: no table is read or written."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from sqlglot import exp

from schemahub_lib.config import Settings
from schemahub_lib.exchanges import raw_tables
from schemahub_lib.exchanges.fields import moment
from schemahub_lib.mapping.compiler import increment_select
from schemahub_lib.mapping.examples import Example, Value
from schemahub_lib.mapping.spec import MappingSpec
from schemahub_lib.mapping.sql import micros, to_sql
from schemahub_lib.schemas import PRODUCTS, TARGETS, Table
from schemahub_lib.tables.session import start_spark

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

_NUMBER = "_example"  # a column: which example a row is of


@dataclass(frozen=True)
class Outcome:
    """What became of an example: how it differs from what was expected, in words; nothing when it does not."""

    example: Example
    differences: tuple[str, ...]


def run_examples(parts: Sequence[tuple[MappingSpec, Sequence[Example]]]) -> list[Outcome]:
    """Each example of each mapping, in order."""
    with tempfile.TemporaryDirectory() as folder:
        spark = start_spark(Settings.load(warehouse=folder, environment={}))
        _view(spark, PRODUCTS, "products", [])
        return [outcome for spec, examples in parts for outcome in _run(spark, spec, examples)]


def _run(spark: SparkSession, spec: MappingSpec, examples: Sequence[Example]) -> list[Outcome]:
    source, target = raw_tables()[spec.source], TARGETS[spec.target_table]
    _view(spark, source, "given", [example.given for example in examples])
    select = increment_select(spec, target, "given", "products", datetime.now(UTC))
    rows = exp.select(
        _NUMBER,
        *(
            exp.alias_(micros(exp.column(column.name)), column.name) if column.type == "TIMESTAMP" else column.name
            for column in target.columns
        ),
    ).from_(select.select(exp.column(_NUMBER, table="r")).subquery("made"))
    made = {row[_NUMBER]: row.asDict() for row in spark.sql(to_sql(rows)).collect()}
    return [Outcome(example, _differences(example, target, made.get(n))) for n, example in enumerate(examples)]


def _view(spark: SparkSession, table: Table, name: str, rows: Sequence[Any]) -> None:
    columns = ", ".join(f"`{column.name}` {column.type}" for column in table.columns)
    values = [(number, *(row.get(column) for column in table.column_names)) for number, row in enumerate(rows)]
    spark.createDataFrame(values, f"{_NUMBER} INT, {columns}").createOrReplaceTempView(name)


def _differences(example: Example, target: Table, made: dict[str, Any] | None) -> tuple[str, ...]:
    if example.expected is None:
        return () if made is None else ("a row came of it, and nothing was expected",)
    if made is None:
        return ("nothing came of it: a filter left it out",)

    def got(name: str) -> Value:
        value: Value = made[name]
        is_time = target.column(name).type == "TIMESTAMP"
        return moment(value) if is_time and isinstance(value, int) else value

    return tuple(
        f"{name}: expected {_shown(expected)}, got {_shown(got(name))}"
        for name, expected in example.expected.items()
        if got(name) != expected
    )


def _shown(value: Value) -> str:
    if isinstance(value, datetime):
        return f"{value:%Y-%m-%dT%H:%M:%S.%fZ}"
    return "null" if value is None else repr(value)
