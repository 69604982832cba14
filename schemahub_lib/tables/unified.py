"""A batch on its way into a unified table: read once, merged into a branch, compared with what is there."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from schemahub_lib.exchanges.fields import moment
from schemahub_lib.mapping.audits import broken_rows
from schemahub_lib.mapping.compiler import FROM_SOURCE, RANK
from schemahub_lib.mapping.sql import TIME_RESOLUTION
from schemahub_lib.mapping.statements import (
    Bounds,
    Range,
    contradicting_sql,
    delete_sql,
    figures_sql,
    found_sql,
    joined,
    merge_sql,
    repeated_sql,
)
from schemahub_lib.schemas import Table
from schemahub_lib.tables.lake import Lake
from schemahub_lib.tables.publish import Branch

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
NEAR = timedelta(hours=1)  # ranges no further apart are one
ROWS = "batch_rows"  # a view: the batch without repetitions
_BATCH, _KEYS = "batch", "batch_keys"  # others


@dataclass
class SourceFigures:
    """Of one raw table's rows in a batch: all that were read, those of a key of their own, other versions of these,
    how many of these break each audit of single rows, and the newest time."""

    read: int = 0
    rows: int = 0
    versions: int = 0
    broken: Counter[str] = field(default_factory=Counter)
    newest: datetime = EPOCH


@dataclass(frozen=True)
class Found:
    """Of one raw table's rows in a batch, once merged: how many there are by now, how many keys are not there, how many
    rows were inserted, how many have other values than what is there of their key, and how many of these are the
    batch's trade of the key."""

    found: int = 0
    missing: int = 0
    inserted: int = 0
    differing: int = 0
    trades_differing: int = 0


class Batch:
    """The rows that `select` (see `compiler.batch_sql`) gives, kept for the block so that every step has the same ones.

    `ranges` are the spans of time in which they are, by day: those of neighbouring days are one. They tell where in
    the target a row's key may be, unless it may be `anywhere`.
    """

    def __init__(self, lake: Lake, target: Table, select: str, ingest_ts: datetime, *, anywhere: bool = False) -> None:
        self._lake, self._target, self._select, self._ingest_ts = lake, target, select, ingest_ts
        self._anywhere = anywhere
        self.sources: dict[str, SourceFigures] = {}
        self.ranges: tuple[Range, ...] = ()
        self._ids = ("", "")

    def __enter__(self) -> Self:
        from pyspark import StorageLevel

        spark = self._lake.spark
        self._frame = spark.sql(self._select).persist(StorageLevel.MEMORY_AND_DISK)
        try:
            self._frame.createOrReplaceTempView(_BATCH)
            self._frame.where(f"{RANK} = 1").createOrReplaceTempView(ROWS)
            self._measure()
        except BaseException:
            self._frame.unpersist()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._frame.unpersist()

    def _measure(self) -> None:
        ranges: list[Range] = []
        ids: list[str] = []
        audits = broken_rows(self._target, self._ingest_ts)
        for row in self._lake.spark.sql(figures_sql(self._target, _BATCH, self._ingest_ts)).collect():
            figures = self.sources.setdefault(row[FROM_SOURCE], SourceFigures())
            figures.read += row["read"]
            figures.rows += row["rows"]
            figures.versions += row["versions"]
            figures.broken.update({name: row[name] for name in audits})
            if row["min_ts"] is not None:
                ranges.append((moment(row["min_ts"]), moment(row["max_ts"])))
                figures.newest = max(figures.newest, ranges[-1][1])
            ids += [identifier for identifier in (row["min_id"], row["max_id"]) if identifier is not None]
        self.ranges = joined(ranges, NEAR)
        self._ids = (min(ids, default=""), max(ids, default=""))

    @property
    def bounds(self) -> Bounds:
        """Where a row of the batch must be if it is in the target already."""
        ranges = () if self._anywhere else self.ranges
        widened = [(start - TIME_RESOLUTION, end + TIME_RESOLUTION) for start, end in ranges]
        return Bounds(joined(widened), *self._ids)

    @property
    def newest(self) -> datetime | None:
        return self.ranges[-1][1] if self.ranges else None

    def merge_sql(self, branch: Branch) -> str:
        return merge_sql(self._target, branch.identifier, ROWS, self.bounds)

    def merge(self, branch: Branch) -> None:
        """Insert the rows whose keys are not there."""
        self._lake.spark.sql(self.merge_sql(branch))

    def found(self, branch: Branch) -> dict[str, Found]:
        """What is there by now, by raw table."""
        found = self._find(branch)
        if any(there.found + there.missing > self.sources[source].rows for source, there in found.items()):
            # A trade told again with a time further off than TIME_RESOLUTION is not found where the MERGE looks.
            self._take_out_repetitions(branch)
            found = self._find(branch)
        return found

    def _find(self, branch: Branch) -> dict[str, Found]:
        days = self.bounds.on_whole_days()
        rows = self._lake.spark.sql(found_sql(self._target, branch.identifier, ROWS, days, self._ingest_ts)).collect()
        told_twice = {source for source, figures in self.sources.items() if figures.versions}
        there = told_twice | {row[FROM_SOURCE] for row in rows if row["found"] > row["inserted"]}
        differing, taken = Counter[str](), Counter[str]()
        if there:  # a batch of new trades, the usual one, has nothing to be compared
            contradicting = self.contradicting(branch, sorted(there))
            is_taken = (contradicting[RANK] == 1).alias("is_taken")
            for row in contradicting.groupBy(FROM_SOURCE, is_taken).count().collect():
                differing[row[FROM_SOURCE]] += row["count"]
                taken[row[FROM_SOURCE]] += row["count"] if row["is_taken"] else 0
        return {
            row[FROM_SOURCE]: Found(
                *(row["found"], row["missing"], row["inserted"]),
                *(differing[row[FROM_SOURCE]], taken[row[FROM_SOURCE]]),
            )
            for row in rows
        }

    def _take_out_repetitions(self, branch: Branch) -> None:
        spark, days = self._lake.spark, self.bounds.on_whole_days()
        repeated = spark.sql(repeated_sql(self._target, branch.identifier, days, self._ingest_ts))
        kept(repeated, _KEYS)
        spark.sql(delete_sql(self._target, branch.identifier, _KEYS, days, self._ingest_ts))

    def contradicting(self, branch: Branch, sources: Sequence[str]) -> DataFrame:
        """The rows from some raw tables whose key is there with other values, with FROM_SOURCE and RANK."""
        days = self.bounds.on_whole_days()
        return self._lake.spark.sql(contradicting_sql(self._target, branch.identifier, _BATCH, days, sources))

    def replace(self, branch: Branch, sources: Sequence[str]) -> None:
        """Put the batch's trades in the place of those of the same key with other values."""
        rows = kept(self.contradicting(branch, sources).where(f"{RANK} = 1"), _KEYS)
        days = self.bounds.on_whole_days()
        self._lake.spark.sql(delete_sql(self._target, branch.identifier, _KEYS, days))
        rows.select(*self._target.column_names).writeTo(branch.identifier).append()


def kept(rows: DataFrame, view: str) -> DataFrame:
    """Rows as they are now, also as a view. Not persisted, since Spark reads those anew once their table is written."""
    kept = rows.localCheckpoint()
    kept.createOrReplaceTempView(view)
    return kept


def in_utc(value: Any) -> Any:
    """A value that Spark handed out: its times are local ones without a zone."""
    return value.astimezone(UTC) if isinstance(value, datetime) else value
