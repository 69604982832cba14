"""A part of a unified table made anew from raw: only what differs is taken out and put in."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sqlglot import exp

from schemahub_lib.exchanges.fields import moment
from schemahub_lib.mapping.restatement import (
    CHANGE,
    FIRST_TS,
    INSERT,
    LAST_TS,
    OP,
    REMOVE,
    changes_sql,
    elsewhere_sql,
    present_sql,
    touched_sql,
)
from schemahub_lib.mapping.statements import Bounds, Range, delete_sql, joined
from schemahub_lib.schemas import Table
from schemahub_lib.tables.lake import Lake
from schemahub_lib.tables.publish import Branch
from schemahub_lib.tables.unified import NEAR, ROWS, in_utc, kept

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

SAMPLES = 5  # of each kind of change, for a preview
KEYS = "elsewhere"  # a view
_TOUCHED, _PRESENT, _REPLACED = "touched", "present", "replaced"  # others


@dataclass(frozen=True)
class Sample:
    """One row that comes, changes or goes: its key, and what the exchange told of it, before and after."""

    change: str
    key: Mapping[str, Any]
    before: Mapping[str, Any] | None
    after: Mapping[str, Any] | None


@dataclass(frozen=True)
class Changes:
    """How many rows come, change and go, with samples of each."""

    inserted: int = 0
    changed: int = 0
    removed: int = 0
    samples: tuple[Sample, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.inserted or self.changed or self.removed)


def changes_between(lake: Lake, target: Table, rows_view: str, present_view: str) -> tuple[DataFrame, Changes]:
    """What must change where `present_view` (see `present_sql`) is, so that it is as `rows_view`; the rows themselves
    are as `changes_sql` gives them."""
    frame = kept(lake.spark.sql(changes_sql(target, rows_view, present_view)), "changes")
    counted = {row[OP]: row["count"] for row in frame.groupBy(OP).count().collect()}
    samples = [
        _sample(target, row.asDict())
        for op in (INSERT, CHANGE, REMOVE)
        if op in counted
        for row in frame.where(frame[OP] == op).limit(SAMPLES).collect()
    ]
    return frame, Changes(counted.get(INSERT, 0), counted.get(CHANGE, 0), counted.get(REMOVE, 0), tuple(samples))


def _sample(target: Table, row: Mapping[str, Any]) -> Sample:
    told = [column.name for column in target.compared]
    return Sample(
        row[OP],
        {name: row[name] for name in target.key},
        None if row[OP] == INSERT else {name: in_utc(row[f"old_{name}"]) for name in told},
        None if row[OP] == REMOVE else {name: in_utc(row[name]) for name in told},
    )


class Restatement:
    """What must change on a branch so that it has of some keys what raw has. The rows that raw has are those of the
    batch under way."""

    def __init__(self, lake: Lake, target: Table, branch: Branch) -> None:
        self._lake, self._target, self._branch = lake, target, branch
        self._frame: DataFrame | None = None

    def find_elsewhere(self, region: exp.Expr) -> bool:
        """Note which keys the batch, read in the region alone, may not tell the whole of: their rows are elsewhere, or
        were. They are in the view KEYS then. False when there are none."""
        spark = self._lake.spark
        kept(spark.sql(touched_sql(self._target, self._branch.identifier, ROWS, region)), _TOUCHED)
        self._see_present(_TOUCHED)
        return kept(spark.sql(elsewhere_sql(self._target, _PRESENT, ROWS, region)), KEYS).head(1) != []

    def _see_present(self, keys_view: str) -> None:
        kept(self._lake.spark.sql(present_sql(self._target, self._branch.identifier, keys_view)), _PRESENT)

    def compare(self, keys_view: str | None = None) -> Changes:
        """What must change: of the keys in a view, or of those that `find_elsewhere` has seen."""
        if keys_view is not None:
            self._see_present(keys_view)
        self._frame, changes = changes_between(self._lake, self._target, ROWS, _PRESENT)
        return changes

    def seen(self, columns: Sequence[str]) -> set[str]:
        """The values of some columns in the rows that raw has and in those that are there."""
        from pyspark.sql import functions as f

        each = f.explode(f.array(*columns)).alias("value")
        tables = (self._lake.spark.table(view) for view in (ROWS, _PRESENT))
        return {row["value"] for rows in tables for row in rows.select(each).distinct().collect()}

    def apply(self) -> None:
        """Delete by key what changes or goes, wherever it is, then append what changes or comes."""
        assert self._frame is not None, "compare first"
        frame, op = self._frame, self._frame[OP]
        gone = frame.where(op != INSERT)
        if bounds := self._bounds(gone):
            gone.createOrReplaceTempView(_REPLACED)
            self._lake.spark.sql(delete_sql(self._target, self._branch.identifier, _REPLACED, bounds))
        come = frame.where(op != REMOVE)
        if come.head(1):
            come.select(*self._target.column_names).writeTo(self._branch.identifier).append()

    def _bounds(self, rows: DataFrame) -> Bounds | None:
        """Where the rows to delete are; None when there are none."""
        from pyspark.sql import functions as f

        identifier = self._target.key[-1]
        days = rows.groupBy(f.date_trunc("DAY", FIRST_TS)).agg(
            f.unix_micros(f.min(FIRST_TS)).alias("first"),
            f.unix_micros(f.max(LAST_TS)).alias("last"),
            f.min(identifier).alias("min_id"),
            f.max(identifier).alias("max_id"),
        )
        found = days.collect()
        if not found:
            return None
        if any(day["first"] is None for day in found):
            ranges: tuple[Range, ...] = ()  # rows without a time may be anywhere
        else:
            ranges = joined(((moment(day["first"]), moment(day["last"])) for day in found), NEAR)
        return Bounds(ranges, min(day["min_id"] for day in found), max(day["max_id"] for day in found))
