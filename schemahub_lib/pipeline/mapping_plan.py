"""What a changed mapping would do: the rows it makes of raw, beside those that the mapping in use makes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from sqlglot import exp

from schemahub_lib.errors import UsageError
from schemahub_lib.exchanges import by_raw_table
from schemahub_lib.exchanges.fields import moment
from schemahub_lib.mapping.audits import broken_rows
from schemahub_lib.mapping.compiler import RANK, batch_sql
from schemahub_lib.mapping.restatement import as_present_sql, changed_columns_sql, owners
from schemahub_lib.mapping.spec import MappingSpec
from schemahub_lib.mapping.sql import micros, to_sql
from schemahub_lib.schemas import PRODUCTS, TARGETS, Table
from schemahub_lib.tables.lake import Lake
from schemahub_lib.tables.named import existing
from schemahub_lib.tables.restatement import Changes, changes_between
from schemahub_lib.tables.session import spark_failures_told
from schemahub_lib.tables.unified import kept

SAMPLE = timedelta(days=1)  # before the newest raw row, where no time is named


@dataclass(frozen=True)
class MappingPlan:
    """How the rows of a time range of raw, from `start` to before `end`, differ: `columns` counts the changed rows by
    target column, `notes` say what else to know. `command` restates the whole target accordingly, once the new mapping
    is in use."""

    source: str
    target: str
    start: datetime
    end: datetime
    rows: int
    changes: Changes
    columns: Mapping[str, int]
    notes: tuple[str, ...]
    command: str


def plan_mapping(
    lake: Lake, old: MappingSpec, new: MappingSpec, start: datetime | None, end: datetime | None
) -> MappingPlan:
    """Compare two mappings of one source into one target on its raw rows. Changes nothing.

    Without times on the newest day there is. Raises UsageError without raw rows, SchemaHubError.
    """
    exchange, target = by_raw_table()[new.source], TARGETS[new.target_table]
    raw = exchange.raw_table
    existing(lake, raw.name)
    lake.ensure(PRODUCTS)
    with spark_failures_told():
        rows = lake.spark.table(lake.identifier(raw.name))
        last = rows.selectExpr(to_sql(micros(exp.Max(this=exp.column(raw.time_column)))) + " AS last").first()
        if last is None or last["last"] is None:
            raise UsageError(f"{raw.name} has no rows to compare mappings on: run the pipeline first")
        end = end or moment(last["last"]) + timedelta(microseconds=1)
        start = start or end - SAMPLE
        within = rows.where(rows[raw.time_column].between(start, end - timedelta(microseconds=1)))
        kept(within, "raw_rows")
        now = datetime.now(UTC)
        for spec, view in ((old, "old_rows"), (new, "new_rows")):
            made = batch_sql([(spec, "raw_rows")], target, lake.identifier(PRODUCTS.name), now)
            kept(lake.spark.sql(made).where(f"{RANK} = 1"), view)
        lake.spark.sql(as_present_sql(target, "old_rows")).createOrReplaceTempView("old_present")
        frame, changes = changes_between(lake, target, "new_rows", "old_present")
        frame.createOrReplaceTempView("mapping_changes")
        columns = lake.spark.sql(changed_columns_sql(target, "mapping_changes")).first()
        assert columns is not None
        # Rows that have another owner from now on are nobody's, and go only when all is made anew.
        only = f" --sources {exchange.name}" if owners(target, [old]) == owners(target, [new]) else ""
        command = f"schemahub run unify {target.name}{only} --full-refresh"
        counted = {name: count for name, count in columns.asDict().items() if count}
        notes = tuple(_notes(lake, target, old, new, now))
        return MappingPlan(new.source, target.name, start, end, within.count(), changes, counted, notes, command)


def _notes(lake: Lake, target: Table, old: MappingSpec, new: MappingSpec, now: datetime) -> Iterator[str]:
    conditions = broken_rows(target, now)
    counts = exp.select(*(exp.alias_(exp.CountIf(this=broken), name) for name, broken in conditions.items()))
    broken = lake.spark.sql(to_sql(counts.from_("new_rows"))).first()
    assert broken is not None
    for name, condition in conditions.items():
        severity = new.audits[name].severity
        if broken[name] and severity != "off":
            would = "hold it back" if severity == "block" else "warn"
            yield f"the audit {name} would {would}: {broken[name]:,} rows where {condition.sql('duckdb')}"
    if new.on_conflict != old.on_conflict:
        yield f"on_conflict is {new.on_conflict}, not {old.on_conflict}: of trades told again, other versions stay"
