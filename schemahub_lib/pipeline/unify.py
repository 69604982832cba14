"""Unify: what the raw tables gained since last time, through the mappings, into the target in one publish."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from schemahub_lib.errors import AuditFailed, SchemaHubError, StateCorrupt, UsageError, words
from schemahub_lib.exchanges import EXCHANGES, by_raw_table, raw_tables
from schemahub_lib.http.messages import Rejected
from schemahub_lib.logs import event
from schemahub_lib.mapping.compiler import FROM_SOURCE, batch_sql, filtered_sql
from schemahub_lib.mapping.registry import load_mappings
from schemahub_lib.mapping.spec import MappingSpec
from schemahub_lib.pipeline.increments import Increment, increments, read_increment, reading
from schemahub_lib.pipeline.progress import Progress
from schemahub_lib.pipeline.reports import Report
from schemahub_lib.quality import audits
from schemahub_lib.quality.quarantine import quarantine
from schemahub_lib.schemas import PRODUCTS, TARGETS, Table
from schemahub_lib.tables.lake import Lake
from schemahub_lib.tables.publish import Branch, Draft, Published, publish, tag
from schemahub_lib.tables.restatement import KEYS, Restatement, Sample
from schemahub_lib.tables.state import State, read_state
from schemahub_lib.tables.stopwatch import Stopwatch
from schemahub_lib.tables.unified import Batch, Found, kept

if TYPE_CHECKING:
    from pyiceberg.table import Table as IcebergTable
    from pyspark.sql import DataFrame

log = logging.getLogger(__name__)

_LOST = State()  # stands for a state that cannot be read
MOST_SET_ASIDE = 100_000  # conflicting rows of one publish: more mean another mapping, not corrections


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


@dataclass
class Outcome:
    """What was done on the branch."""

    read: int = 0
    filtered: int = 0
    inserted: int = 0
    conflicts: int = 0
    set_aside: int = 0
    changed: int = 0
    removed: int = 0
    newest: datetime | None = None
    sql: str | None = None
    samples: tuple[Sample, ...] = ()
    findings: list[audits.Finding] = field(default_factory=list)
    steps: dict[str, float] = field(default_factory=dict)

    @property
    def blocked(self) -> bool:
        return any(finding.status == "blocked" for finding in self.findings)


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
    report. Raises AuditFailed, PublishRefused and SchemaHubError; main is untouched then.
    """
    table = TARGETS[target]
    report = Report(run_id, "unify", target)
    raw = heads(lake, specs)
    if others := [name for name in raw_tables().keys() - {spec.source for spec in specs} if lake.find(name)]:
        loaded = load_mappings(lake.settings.mappings, raw_tables())
        for name in set(others) - {spec.source for several in loaded.values() for spec in several}:
            log.warning("%s has no mapping in %s, so its rows are not unified", name, lake.settings.mappings or "use")
    if not raw:
        log.warning("there is no raw table in %s yet: run `ingest` first", lake.settings.warehouse)
        report.finish("nothing_new")
        return report
    unified = lake.ensure(table)
    if not increments(specs, raw, _state(unified)):
        report.finish("nothing_new")
        return report
    lake.ensure(PRODUCTS)
    progress.say(f"unify into {target}")

    def write(state: State, branch: Branch) -> Draft[Outcome]:
        now = datetime.now(UTC)
        # Read after the branch was made: no state it can carry is ahead of these.
        news = increments(specs, heads(lake, specs), state)
        anywhere = state is _LOST or any(one.start is None and one.spec.source in state.sources for one in news)
        with reading(lake, {increment.spec.source: increment.snapshots for increment in news}):
            recorded = None if dry_run else run_id
            outcome = _merge(lake, table, branch, news, now, recorded, anywhere=anywhere) if news else Outcome()
        moved = {**state.sources, **{increment.spec.source: increment.end for increment in news}}
        return Draft(
            outcome, State(sources=moved) if news and not dry_run else None, blocked=outcome.blocked and not dry_run
        )

    return finish(lake, table, specs, report, publish(lake, target, run_id, write, if_lost=_LOST), dry_run=dry_run)


def finish(
    lake: Lake,
    table: Table,
    specs: Sequence[MappingSpec],
    report: Report,
    published: Published[Outcome],
    *,
    dry_run: bool,
) -> Report:
    """The report of a publish; its audits in the ledger, the raw snapshots it read tagged. Raises AuditFailed."""
    outcome = published.result
    report.rows, report.duplicates = outcome.inserted, max(outcome.read - outcome.inserted, 0)
    report.conflicts, report.quarantined = outcome.conflicts, outcome.set_aside
    report.filtered = outcome.filtered
    report.changed, report.removed = outcome.changed, outcome.removed
    report.audits, report.samples = outcome.findings, list(outcome.samples)
    report.sql = outcome.sql if dry_run else None
    report.steps, report.publish_seconds = {**published.seconds, **outcome.steps}, sum(published.seconds.values())
    for finding in outcome.findings:
        if finding.status == "warned" or (finding.status == "blocked" and dry_run):
            found = {"source": finding.source, "audit": finding.audit, "rows": finding.rows}
            log.warning(
                "%s%s",
                *("would hold the publish back: " if finding.status == "blocked" else "", finding),
                extra=event("audit_warned", table=table.name, **found, run_id=report.run_id),
            )
    if published.state is not None:
        for spec in specs:
            if spec.source in published.state.sources:
                tag(lake, spec.source, f"unified_{table.name}", published.state.sources[spec.source])
    if not dry_run:
        try:
            audits.record(lake, table, report.run_id, outcome.findings, published.blocked)
        except Exception as error:  # noqa: BLE001 - what was published is, whatever becomes of the ledger
            log.warning("the audits of this run could not be recorded: %s", words(error))
    if published.blocked is not None:
        raise AuditFailed(audits.blocked_message(table, outcome.findings, published.blocked))
    if outcome.newest is not None and report.job == "unify":  # a restatement is not late, however old its trades
        report.lag_seconds = (datetime.now(UTC) - outcome.newest).total_seconds()
    report.finish("dry_run" if dry_run else "ok" if published.state is not None else "nothing_new")
    return report


def heads(lake: Lake, specs: Sequence[MappingSpec]) -> dict[str, IcebergTable]:
    """The raw tables there are, as they are now."""
    return {spec.source: found for spec in specs if (found := lake.find(spec.source)) is not None}


def _state(unified: IcebergTable) -> State:
    try:
        return read_state(unified)
    except StateCorrupt as error:
        # Reading all of raw again is right as well: the MERGE leaves out every key that is there.
        log.warning("%s; reading the raw tables from their beginning", error)
        return State()


def views(lake: Lake, parts: Sequence[tuple[MappingSpec, int | None, int]]) -> list[tuple[MappingSpec, str]]:
    """Each mapping with a view of its raw table's rows between two snapshots."""
    named = []
    for number, (spec, start, end) in enumerate(parts):
        view = f"increment_{number}"
        read_increment(lake, spec.source, start, end).createOrReplaceTempView(view)
        named.append((spec, view))
    return named


def _merge(
    lake: Lake,
    target: Table,
    branch: Branch,
    news: Sequence[Increment],
    ingest_ts: datetime,
    run_id: str | None,
    *,
    anywhere: bool,
) -> Outcome:
    """MERGE the increments into the branch, see to what contradicts, and audit."""
    watch = Stopwatch()
    specs = [increment.spec for increment in news]
    products = lake.identifier(PRODUCTS.name)
    parts = views(lake, [(increment.spec, increment.start, increment.end) for increment in news])
    gained = {increment.spec.source: increment.rows for increment in news}
    filtered = filtered_rows(lake, parts)
    select = batch_sql(parts, target, products, ingest_ts)
    with Batch(lake, target, select, ingest_ts, anywhere=anywhere) as batch:
        watch.lap("read")
        batch.merge(branch)
        watch.lap("merge")
        found, findings = audited(lake, target, branch, specs, batch, ingest_ts, gained, filtered)
        outcome = Outcome(
            read=sum(figures.read for figures in batch.sources.values()),
            filtered=filtered.total(),
            inserted=sum(there.inserted for there in found.values()),
            newest=batch.newest,
            sql=f"-- batch\n{select};\n\n{batch.merge_sql(branch)};",
            findings=findings,
        )
        _resolve(lake, target, branch, batch, specs, found, run_id, outcome)
        watch.lap("audit")
    if any(increment.undone for increment in news):
        _take_back(lake, target, branch, news, ingest_ts, outcome)
        watch.lap("take back")
    outcome.steps = watch.laps
    return outcome


def filtered_rows(lake: Lake, parts: Sequence[tuple[MappingSpec, str]]) -> Counter[str]:
    """How many rows of the raw tables their mappings' filters leave out."""
    filtering = [(spec, view) for spec, view in parts if spec.filters]
    rows = lake.spark.sql(filtered_sql(filtering)).collect() if filtering else []
    for row in rows:
        if row["filtered"] and row["filtered"] == row["read"]:
            log.warning("%s: its mapping's filters leave out all %s rows", row[FROM_SOURCE], f"{row['read']:,}")
    return Counter({row[FROM_SOURCE]: row["filtered"] for row in rows})


def audited(
    lake: Lake,
    target: Table,
    branch: Branch,
    specs: Sequence[MappingSpec],
    batch: Batch,
    ingest_ts: datetime,
    gained: Mapping[str, int] | None = None,
    filtered: Mapping[str, int] | None = None,
) -> tuple[dict[str, Found], list[audits.Finding]]:
    """What is on the branch of a batch that was written to it, and what the audits say (the last two: see `judge`)."""
    with audits.Averages(lake, target, branch, specs, batch) as averages:
        found = batch.found(branch)
        return found, audits.judge(target, specs, batch, found, gained or {}, filtered or {}, averages, ingest_ts)


def _resolve(
    lake: Lake,
    target: Table,
    branch: Branch,
    batch: Batch,
    specs: Sequence[MappingSpec],
    found: Mapping[str, Found],
    run_id: str | None,
    outcome: Outcome,
) -> None:
    """Do what the mappings say with rows of known keys that came with other values; without a run nothing that would
    stay."""
    again = {source: there.differing for source, there in found.items()}
    outcome.conflicts = sum(again.values())
    updating = [spec.source for spec in specs if spec.on_conflict == "update" and again.get(spec.source)]
    outcome.changed = sum(found[source].trades_differing for source in updating)
    if outcome.changed:
        batch.replace(branch, updating)
    setting_aside = [spec.source for spec in specs if spec.on_conflict == "quarantine" and again.get(spec.source)]
    if (rows_aside := sum(again[source] for source in setting_aside)) > MOST_SET_ASIDE:
        raise SchemaHubError(
            f"{rows_aside:,} rows of known keys came with other values, too many to set aside, so "
            "nothing was published: after a change of a mapping, restate with `run unify --from … --to …`"
        )
    if setting_aside and run_id is not None and not outcome.blocked:
        outcome.set_aside = _set_aside(lake, target, batch.contradicting(branch, setting_aside), run_id)


def _set_aside(lake: Lake, target: Table, rows: DataFrame, run_id: str) -> int:
    from pyspark.sql import functions as f

    by_stream: dict[tuple[str, str], list[Rejected]] = {}
    # Not what a run fills in: the same row set aside twice is one finding.
    payload = f.to_json(f.struct(*(column.name for column in target.columns if not column.filled)))
    stream = target.key[-2]
    for row in rows.select(FROM_SOURCE, stream, payload.alias("payload")).collect():
        reason = "its key is in the unified table with other values"
        by_stream.setdefault((row[FROM_SOURCE], row[stream]), []).append(Rejected(reason, row["payload"]))
    exchanges = by_raw_table()
    for (source, stream), rejected in by_stream.items():
        quarantine(lake, exchanges[source].name, stream, run_id, rejected)
    return sum(map(len, by_stream.values()))


def _take_back(
    lake: Lake, target: Table, branch: Branch, news: Sequence[Increment], ingest_ts: datetime, outcome: Outcome
) -> None:
    """Give the keys that raw tables lost, when they were rolled back, what raw still has of them."""
    products = lake.identifier(PRODUCTS.name)
    back = [increment for increment in news if increment.undone is not None]
    lost = views(lake, [(one.spec, one.start, one.undone) for one in back if one.undone is not None])
    kept(lake.spark.sql(batch_sql(lost, target, products, ingest_ts)).select(*target.key).distinct(), KEYS)
    left = views(lake, [(one.spec, None, one.end) for one in back])
    with Batch(lake, target, batch_sql(left, target, products, ingest_ts, keys_view=KEYS), ingest_ts) as batch:
        restatement = Restatement(lake, target, branch)
        changes = restatement.compare(KEYS)
        restatement.apply()
        _, findings = audited(lake, target, branch, [one.spec for one in back], batch, ingest_ts)
    outcome.findings += findings
    outcome.changed += changes.changed
    outcome.removed += changes.removed
