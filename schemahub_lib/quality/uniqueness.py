"""Whether every key of a unified table is there once: asked of the whole table, not only of the days just written."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, timedelta
from typing import TYPE_CHECKING

from schemahub_lib.schemas import Table
from schemahub_lib.tables.lake import Lake
from schemahub_lib.tables.maintenance import set_property

if TYPE_CHECKING:
    from pyiceberg.table import Table as IcebergTable

SAMPLES = 3
UNIQUE_AT = "schemahub.unique-at-snapshot"


@dataclass(frozen=True)
class Repeated:
    """Keys that are there more than once: how many, a few of them, and the days (the last one not counted in) their
    rows lie in."""

    table: str
    keys: int
    samples: tuple[str, ...]
    start: date
    end: date

    def __str__(self) -> str:
        return (
            f"{self.keys} keys of {self.table} are there more than once, such as {', '.join(self.samples)}; "
            f"mend it with `schemahub run unify {self.table} --from {self.start} --to {self.end}`"
        )


def is_proved(table: IcebergTable) -> bool:
    """Whether no row was added since the keys were last found to be unique."""
    from pyiceberg.table.snapshots import Operation

    proved = table.properties.get(UNIQUE_AT)
    snapshot = table.current_snapshot()
    while snapshot is not None and str(snapshot.snapshot_id) != proved:
        summary = snapshot.summary
        if summary and summary.operation != Operation.REPLACE and int(summary.get("added-records") or 0):
            return False
        parent = snapshot.parent_snapshot_id
        if parent is not None and table.snapshot_by_id(parent) is None:
            return False  # expired, and with it perhaps the one that is looked for
        snapshot = table.snapshot_by_id(parent) if parent is not None else None
    return True


def repeated_keys(lake: Lake, table: Table) -> Repeated | None:
    """The keys there are more than once; None when there are none, which is noted in the table's metadata."""
    from pyspark import StorageLevel
    from pyspark.sql import functions as f

    found, time_column = lake.ensure(table), table.partition_by_day
    head = found.metadata.current_snapshot_id
    assert time_column is not None
    rows = lake.spark.read.format("iceberg").option("snapshot-id", head).load(lake.identifier(table.name))
    counted = rows.groupBy(*table.key).agg(
        f.count("*").alias("rows"), f.min(time_column).alias("first"), f.max(time_column).alias("last")
    )
    repeated = counted.filter("rows > 1").persist(StorageLevel.MEMORY_AND_DISK)
    try:
        whole = repeated.agg(f.count("*").alias("keys"), f.min("first").alias("first"), f.max("last").alias("last"))
        told = whole.first()
        assert told is not None
        if not told["keys"]:
            set_property(lake, table.name, UNIQUE_AT, str(head))
            return None
        samples = tuple(" ".join(row[name] for name in table.key) for row in repeated.sort(*table.key).take(SAMPLES))
        # Spark hands out local times without a zone; astimezone reads them as such.
        start, last = (told[name].astimezone(UTC).date() for name in ("first", "last"))
        return Repeated(table.name, told["keys"], samples, start, last + timedelta(days=1))
    finally:
        repeated.unpersist()
