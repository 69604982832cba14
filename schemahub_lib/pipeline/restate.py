"""Restate: a part of a unified table made anew from raw, or all of it, in one publish."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from datetime import UTC, datetime

from sqlglot import exp

from schemahub_lib.errors import UsageError
from schemahub_lib.mapping.compiler import batch_sql
from schemahub_lib.mapping.restatement import SYMBOL_COLUMNS, Region, owned, owners
from schemahub_lib.mapping.spec import MappingSpec
from schemahub_lib.mapping.statements import clear_sql
from schemahub_lib.pipeline.increments import reading
from schemahub_lib.pipeline.progress import Progress
from schemahub_lib.pipeline.reports import Report
from schemahub_lib.pipeline.unify import Outcome, audited, filtered_rows, finish, heads, mappings_for, views
from schemahub_lib.schemas import PRODUCTS, TARGETS, Table
from schemahub_lib.tables.lake import Lake
from schemahub_lib.tables.named import loaded
from schemahub_lib.tables.publish import Branch, Draft, publish
from schemahub_lib.tables.restatement import KEYS, Restatement
from schemahub_lib.tables.snapshots import figure
from schemahub_lib.tables.state import State
from schemahub_lib.tables.unified import ROWS, Batch

log = logging.getLogger(__name__)


def restate(
    lake: Lake,
    target: str,
    specs: Sequence[MappingSpec],
    region: Region | None,
    run_id: str,
    progress: Progress,
    *,
    dry_run: bool = False,
) -> Report:
    """Give a region of `target`, or all of it, exactly the rows that raw and the mappings make, wherever its keys are.

    Rows that are right already stay untouched. A dry run tells what would come, change and go, with samples. Raises
    UsageError without raw tables, AuditFailed, PublishRefused and SchemaHubError; main is untouched then.
    """
    table = TARGETS[target]
    report = Report(run_id, "restate" if region is not None else "refresh", target)
    condition, specs = _condition(lake, table, specs, region)
    lake.ensure(PRODUCTS)
    lake.ensure(table)
    progress.say(f"restate {target}")

    def write(state: State, branch: Branch) -> Draft[Outcome]:
        now = datetime.now(UTC)
        snapshots = _snapshots(lake, specs)
        with reading(lake, {source: [snapshot] for source, snapshot in snapshots.items()}):
            outcome = _region(lake, table, branch, specs, snapshots, condition, now, region.symbols if region else ())
        changed = outcome.inserted or outcome.changed or outcome.removed
        return _draft(outcome, State(sources=state.sources) if changed else None, dry_run=dry_run)

    return finish(lake, table, specs, report, publish(lake, target, run_id, write, if_lost=State()), dry_run=dry_run)


def refresh(lake: Lake, target: str, specs: Sequence[MappingSpec], run_id: str, progress: Progress) -> Report:
    """Make all of `target`, or what it has of some sources, anew beside the live table, then put it in its place.

    Raises UsageError without raw tables, AuditFailed, PublishRefused and SchemaHubError; main is untouched then.
    """
    table = TARGETS[target]
    report = Report(run_id, "refresh", target)
    condition, specs = _condition(lake, table, specs)
    lake.ensure(PRODUCTS)
    lake.ensure(table)
    progress.say(f"rebuild {target}")

    def write(state: State, branch: Branch) -> Draft[Outcome]:
        now = datetime.now(UTC)
        snapshots = _snapshots(lake, specs)
        with reading(lake, {source: [snapshot] for source, snapshot in snapshots.items()}):
            lake.spark.sql(clear_sql(branch.identifier, condition))
            _tell_of_strays(lake, table, branch)
            parts = _parts(lake, specs, snapshots)
            filtered = filtered_rows(lake, parts)
            with Batch(lake, table, batch_sql(parts, table, lake.identifier(PRODUCTS.name), now), now) as batch:
                lake.spark.table(ROWS).select(*table.column_names).writeTo(branch.identifier).append()
                outcome = _audited(lake, table, branch, specs, batch, now, _rows(lake, snapshots), filtered)
            outcome.filtered = filtered.total()
        return _draft(outcome, State(sources={**state.sources, **snapshots}), dry_run=False)

    return finish(lake, table, specs, report, publish(lake, target, run_id, write, if_lost=State()), dry_run=False)


def _tell_of_strays(lake: Lake, table: Table, branch: Branch) -> None:
    """Warn of rows that no mapping makes any more: a refresh of some sources leaves them where they are."""
    owner, every = table.key[0], mappings_for(lake, table.name)
    found = {row[owner] for row in lake.spark.table(branch.identifier).select(owner).distinct().collect()}
    if strays := found - owners(table, every):
        log.warning(
            "%s: no mapping makes the rows of %s any more; they go with a `--full-refresh` of all sources",
            *(table.name, ", ".join(sorted(map(str, strays)))),
        )


def _condition(
    lake: Lake, table: Table, specs: Sequence[MappingSpec], region: Region | None = None
) -> tuple[exp.Expr, list[MappingSpec]]:
    """Which rows of the table are made anew, and by which mappings: those whose raw table is there.

    Where all mappings are asked for and no region, also rows go that no mapping makes any more. Raises UsageError.
    """
    raw = heads(lake, specs)
    if not raw:
        raise UsageError("there is no raw table to make anything from: run the pipeline first")
    there = [spec for spec in specs if spec.source in raw]
    lacking = [spec for spec in specs if spec.source not in raw]
    for spec in lacking:
        log.warning("there is no %s: the rows that came from it stay as they are", spec.source)
    condition = (region or Region()).condition(table, there)
    if region is None and len(specs) == len(mappings_for(lake, table.name)):
        condition = exp.not_(owned(table, lacking)) if lacking else exp.true()
    return condition, there


def _draft(outcome: Outcome, state: State | None, *, dry_run: bool) -> Draft[Outcome]:
    return Draft(outcome, None if dry_run else state, blocked=outcome.blocked and not dry_run)


def _snapshots(lake: Lake, specs: Sequence[MappingSpec]) -> dict[str, int]:
    """The newest snapshot of each raw table there is."""
    found = {source: raw.metadata.current_snapshot_id for source, raw in heads(lake, specs).items()}
    return {source: snapshot for source, snapshot in found.items() if snapshot is not None}


def _rows(lake: Lake, snapshots: Mapping[str, int]) -> dict[str, int]:
    """How many rows raw tables have by their own account."""
    return {
        source: figure(loaded(lake, source).snapshot_by_id(snapshot), "total-records")
        for source, snapshot in snapshots.items()
    }


def _parts(lake: Lake, specs: Sequence[MappingSpec], snapshots: Mapping[str, int]) -> list[tuple[MappingSpec, str]]:
    """Each mapping with a view of all rows of its raw table."""
    return views(lake, [(spec, None, snapshots[spec.source]) for spec in specs if spec.source in snapshots])


def _region(
    lake: Lake,
    table: Table,
    branch: Branch,
    specs: Sequence[MappingSpec],
    snapshots: dict[str, int],
    region: exp.Expr,
    ingest_ts: datetime,
    symbols: Sequence[str],
) -> Outcome:
    restatement = Restatement(lake, table, branch)
    parts, products = _parts(lake, specs, snapshots), lake.identifier(PRODUCTS.name)
    with ExitStack() as batches:
        select = batch_sql(parts, table, products, ingest_ts, where=region)
        batch = batches.enter_context(Batch(lake, table, select, ingest_ts))
        if restatement.find_elsewhere(region):  # a change of a mapping moves rows into the region, or out of it
            select = batch_sql(parts, table, products, ingest_ts, where=region, keys_view=KEYS)
            batch = batches.enter_context(Batch(lake, table, select, ingest_ts))
        changes = restatement.compare()
        if symbols and (unseen := set(symbols) - restatement.seen(SYMBOL_COLUMNS)):
            log.warning(
                "neither raw nor %s has trades of %s there; a symbol is spelled as its venue does, or BASE-QUOTE",
                *(table.name, ", ".join(sorted(unseen))),
            )
        if changes:
            restatement.apply()
            outcome = _audited(lake, table, branch, specs, batch, ingest_ts)
        else:
            outcome = Outcome(newest=batch.newest)
    outcome.inserted, outcome.changed, outcome.removed = changes.inserted, changes.changed, changes.removed
    outcome.read, outcome.samples = changes.inserted, changes.samples
    return outcome


def _audited(
    lake: Lake,
    table: Table,
    branch: Branch,
    specs: Sequence[MappingSpec],
    batch: Batch,
    ingest_ts: datetime,
    gained: Mapping[str, int] | None = None,
    filtered: Mapping[str, int] | None = None,
) -> Outcome:
    found, findings = audited(lake, table, branch, specs, batch, ingest_ts, gained, filtered)
    return Outcome(
        read=sum(figures.read for figures in batch.sources.values()),
        inserted=sum(there.inserted for there in found.values()),
        newest=batch.newest,
        findings=findings,
    )
