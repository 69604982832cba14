"""Unify: what the raw tables gained since last time, through the mappings, into the target in one publish."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from schemahub_lib.errors import SchemaHubError, StateCorrupt, UsageError
from schemahub_lib.exchanges import EXCHANGES
from schemahub_lib.mapping.compiler import TIME_RESOLUTION, Bounds, batch_sql, merge_sql
from schemahub_lib.mapping.registry import load_mappings
from schemahub_lib.mapping.spec import MappingSpec
from schemahub_lib.pipeline.progress import Progress
from schemahub_lib.pipeline.runs import Report
from schemahub_lib.schemas import PRODUCTS, TARGETS, Column, Table
from schemahub_lib.tables.lake import Lake
from schemahub_lib.tables.publish import Branch, Draft, publish, tag
from schemahub_lib.tables.state import State, read_state

if TYPE_CHECKING:
    from pyiceberg.table import Table as IcebergTable
    from pyspark.sql import DataFrame

log = logging.getLogger(__name__)


def raw_tables() -> dict[str, Table]:
    """Every exchange's raw table, by name: what mappings may read."""
    return {exchange.raw_table.name: exchange.raw_table for exchange in EXCHANGES.values()}


def mappings_for(lake: Lake, target: str, sources: Sequence[str] = ()) -> tuple[MappingSpec, ...]:
    """The mappings into `target`, all or those of the exchanges named. Raises UsageError and MappingError."""
    if target not in TARGETS:
        raise UsageError(f"{target!r} is not a unified table: choose one of {', '.join(TARGETS)}")
    specs = load_mappings(lake.settings.mappings, raw_tables()).get(target, ())
    for source in sources:
        if source not in EXCHANGES:
            raise UsageError(f"{source!r} is not an exchange: choose among {', '.join(EXCHANGES)}")
        if EXCHANGES[source].raw_table.name not in {spec.source for spec in specs}:
            raise UsageError(f"no mapping leads from {source} to {target}")
    wanted = {EXCHANGES[source].raw_table.name for source in sources}
    return tuple(spec for spec in specs if not wanted or spec.source in wanted)


@dataclass(frozen=True)
class Increment:
    """What one raw table gained: `rows` rows in the snapshots after `start` (None: all of it) up to `end`."""

    spec: MappingSpec
    start: int | None
    end: int
    rows: int


def unify(
    lake: Lake,
    target: str,
    specs: Sequence[MappingSpec],
    run_id: str,
    progress: Progress,
    *,
    dry_run: bool = False,
) -> Report:
    """Publish every source's increment into `target` with one MERGE, all sources or none.

    Starts no JVM when there is nothing new. A dry run does it all on a branch, drops that, and puts the SQL into the
    report. Raises PublishRefused and SchemaHubError; main is untouched then.
    """
    table = TARGETS[target]
    report = Report(run_id, "unify", target)
    unified = lake.ensure(table)
    if not increments(specs, _heads(lake, specs), _state(unified)):
        report.finish("nothing_new")
        return report
    lake.ensure(PRODUCTS)
    progress.say(f"unify into {target}")
    started = datetime.now(UTC)

    def write(state: State, branch: Branch) -> Draft[_Merged]:
        # Read after the branch was made: no state it can carry is ahead of these.
        news = increments(specs, _heads(lake, specs), state)
        merged = _merge(lake, table, branch, news, started) if news else _Merged()
        moved = {**state.sources, **{increment.spec.source: increment.end for increment in news}}
        return Draft(merged, State(sources=moved) if news and not dry_run else None)

    published = publish(lake, target, run_id, write, if_lost=State())
    report.rows = published.result.inserted
    report.sql = published.result.sql if dry_run else None
    report.duplicates = published.result.read - published.result.inserted
    if published.state is not None:
        for spec in specs:
            if spec.source in published.state.sources:
                tag(lake, spec.source, f"unified_{target}", published.state.sources[spec.source])
    if published.result.newest is not None:
        report.lag_seconds = (datetime.now(UTC) - published.result.newest).total_seconds()
    report.finish("ok" if published.state is not None or dry_run else "nothing_new")
    return report


def _heads(lake: Lake, specs: Sequence[MappingSpec]) -> dict[str, IcebergTable]:
    """The raw tables there are, as they are now."""
    return {spec.source: found for spec in specs if (found := lake.find(spec.source)) is not None}


def _state(unified: IcebergTable) -> State:
    try:
        return read_state(unified)
    except StateCorrupt as error:
        # Reading all of raw again is right as well: the MERGE leaves out every key that is there.
        log.warning("%s; reading the raw tables from their beginning", error)
        return State()


def increments(specs: Sequence[MappingSpec], heads: Mapping[str, IcebergTable], state: State) -> list[Increment]:
    """The sources whose raw table gained rows since `state`."""
    found = []
    for spec in specs:
        if spec.source not in heads:
            continue
        raw = heads[spec.source]
        head, start = raw.metadata.current_snapshot_id, state.sources.get(spec.source)
        if head is None or head == start:
            continue
        rows = appended_rows(raw, start, head)
        if rows is None:
            log.warning("%s: the last unified snapshot %s is gone; comparing all rows by key", spec.source, start)
            start, rows = None, total_records(raw, head)
        if rows:
            found.append(Increment(spec, start, head, rows))
    return found


def appended_rows(raw: IcebergTable, start: int | None, end: int) -> int | None:
    """Rows appended after snapshot `start` up to `end`; None when `start` is not among the ancestors of `end`."""
    from pyiceberg.table.snapshots import Operation

    if start is None:
        return total_records(raw, end)
    rows = 0
    snapshot = raw.snapshot_by_id(end)
    while snapshot is not None and snapshot.snapshot_id != start:
        if snapshot.summary is not None and snapshot.summary.operation == Operation.APPEND:
            rows += int(snapshot.summary.get("added-records") or 0)
        parent = snapshot.parent_snapshot_id
        snapshot = raw.snapshot_by_id(parent) if parent is not None else None
    return rows if snapshot is not None else None


def total_records(table: IcebergTable, snapshot_id: int) -> int:
    """The rows of the table at a snapshot, from its summary."""
    snapshot = table.snapshot_by_id(snapshot_id)
    return int((snapshot.summary.get("total-records") if snapshot and snapshot.summary else None) or 0)


@dataclass(frozen=True)
class _Merged:
    read: int = 0
    inserted: int = 0
    newest: datetime | None = None
    sql: str | None = None


def _merge(lake: Lake, target: Table, branch: Branch, news: Sequence[Increment], ingest_ts: datetime) -> _Merged:
    """MERGE the increments into the branch; rows read from raw and rows inserted."""
    from pyspark import StorageLevel
    from pyspark.sql import functions as f

    spark = lake.spark
    views = []
    for number, increment in enumerate(news):
        view = f"increment_{number}"
        _read(lake, increment).createOrReplaceTempView(view)
        views.append((increment.spec, view))
    select = batch_sql(views, target, lake.identifier(PRODUCTS.name), ingest_ts)
    batch = spark.sql(select).persist(StorageLevel.MEMORY_AND_DISK)  # read once, and the same rows in every step below
    try:
        batch.createOrReplaceTempView("batch")
        edges = batch.agg(
            f.min("trade_ts").alias("min_ts"),
            f.max("trade_ts").alias("max_ts"),
            f.min("trade_id").alias("min_id"),
            f.max("trade_id").alias("max_id"),
            *(f.count_if(f.col(column.name).isNull()).alias(f"no_{column.name}") for column in _required(target)),
        ).first()
        assert edges is not None
        for column in _required(target):
            if missing := edges[f"no_{column.name}"]:
                raise SchemaHubError(
                    f"{missing} rows have no {column.name} after the mapping, so nothing was published: "
                    "check that column's transform with `schemahub mappings show`"
                )
        # Spark hands out local times without a zone; astimezone reads them as such.
        first, last = edges.min_ts.astimezone(UTC), edges.max_ts.astimezone(UTC)
        bounds = Bounds(first - TIME_RESOLUTION, last + TIME_RESOLUTION, edges.min_id, edges.max_id)
        merge = merge_sql(target, branch.identifier, "batch", bounds)
        spark.sql(merge)
    finally:
        batch.unpersist()
    sql = f"-- batch\n{select};\n\n{merge};"
    return _Merged(sum(increment.rows for increment in news), branch.added_records(), last, sql)


def _required(target: Table) -> list[Column]:
    return [column for column in target.columns if column.required]


def _read(lake: Lake, increment: Increment) -> DataFrame:
    reader = lake.spark.read.format("iceberg")
    if increment.start is None:
        reader = reader.option("snapshot-id", increment.end)
    else:
        reader = reader.option("start-snapshot-id", increment.start).option("end-snapshot-id", increment.end)
    return reader.load(lake.identifier(increment.spec.source))
