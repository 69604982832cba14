"""What a run was and did: the report a verb returns, and its row in `schemahub_runs`."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from typing import Any, Literal
from uuid import uuid4

from schemahub_lib.config import Settings
from schemahub_lib.errors import Interrupted, UsageError, words
from schemahub_lib.http.stats import BreakerState, Stats
from schemahub_lib.logs import event
from schemahub_lib.mapping.spec import MappingSpec
from schemahub_lib.pipeline import lineage, workers
from schemahub_lib.pipeline.workers import Outcome, overall
from schemahub_lib.quality.audits import Finding
from schemahub_lib.schemas import RUNS
from schemahub_lib.tables.lake import Lake
from schemahub_lib.tables.restatement import Sample

log = logging.getLogger(__name__)

Status = Literal["ok", "partial", "failed", "nothing_new", "interrupted", "dry_run"]


def new_run_id() -> str:
    return f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}-{uuid4().hex[:8]}"


@dataclass
class Report:
    """One source's ingest, or one unify. `errors` maps a product (or the job itself) to what went wrong."""

    run_id: str
    job: str
    source: str
    status: Status = "ok"
    started_at: datetime = field(default_factory=lambda: datetime.now(UTC))
    seconds: float = 0.0
    rows: int = 0
    duplicates: int = 0
    quarantined: int = 0
    conflicts: int = 0
    changed: int = 0
    removed: int = 0
    filtered: int = 0
    publish_seconds: float = 0.0
    requests: int = 0
    retries: int = 0
    throttled: int = 0
    bytes: int = 0
    pace: float | None = None
    breaker: BreakerState | None = None
    breaker_opened: int = 0
    lag_seconds: float | None = None
    errors: dict[str, str] = field(default_factory=dict)
    sql: str | None = None  # of a dry run
    samples: list[Sample] = field(default_factory=list)  # of what a restatement changes
    audits: list[Finding] = field(default_factory=list)
    steps: dict[str, float] = field(default_factory=dict)  # seconds of each step of a publish

    def count(self, stats: Stats) -> None:
        """Take over what a client has sent, received and noticed."""
        for figure in ("requests", "retries", "throttled", "bytes", "pace", "breaker", "breaker_opened"):
            setattr(self, figure, getattr(stats, figure))

    def gather(self, outcomes: Sequence[Outcome]) -> None:
        """Take over what was done for each product, and what that makes of a run that was not interrupted."""
        self.rows = sum(outcome.trades for outcome in outcomes)
        self.duplicates = sum(outcome.duplicates for outcome in outcomes)
        self.quarantined = sum(outcome.set_aside for outcome in outcomes)
        self.errors = {outcome.product: outcome.error for outcome in outcomes if outcome.error}
        if self.status == "ok":
            self.status = overall([outcome.status for outcome in outcomes])
        if self.status == "ok" and not self.rows and not self.quarantined:
            self.status = "nothing_new"

    def finish(self, status: Status) -> None:
        self.status = status
        self.seconds = (datetime.now(UTC) - self.started_at).total_seconds()

    def as_row(self) -> dict[str, Any]:
        row = asdict(self)
        for told in ("sql", "samples", "audits", "steps"):
            del row[told]
        errors: dict[str, str] = row.pop("errors")
        return row | {"error": "\n".join(f"{where}: {what}" for where, what in errors.items()) or None}


# In CloudWatch: what a report's figures are called, and their units.
METRICS = {
    "rows": ("Rows", "Count"),
    "requests": ("Requests", "Count"),
    "retries": ("Retries", "Count"),
    "quarantined": ("Quarantined", "Count"),
    "seconds": ("Seconds", "Seconds"),
    "publish_seconds": ("PublishSeconds", "Seconds"),
    "lag_seconds": ("LagSeconds", "Seconds"),
}
NAMESPACE, DIMENSIONS = "SchemaHub", ("Database", "Job", "Source")


def record(lake: Lake, reports: Sequence[Report], specs: Sequence[MappingSpec] = ()) -> None:
    """Append the runs to the ledger, and tell of them. Unifying ones went by `specs`."""
    for report in reports:
        tell(report, lake.settings)
    lake.append(RUNS, [report.as_row() for report in reports])
    lineage.emit(lake, reports, specs)


def tell(report: Report, settings: Settings) -> None:
    """Log what a run came to. In a JSON log the line is also CloudWatch's embedded metric format: its agents, and the
    logs of Glue and Lambda, make metrics of it (AWS, "Specification: embedded metric format")."""
    row = report.as_row()
    metrics = {name: (row[figure], unit) for figure, (name, unit) in METRICS.items() if row[figure] is not None}
    metrics["Failures"] = (len(report.errors), "Count")
    declared = {
        "Namespace": NAMESPACE,
        "Dimensions": [DIMENSIONS],
        "Metrics": [{"Name": name, "Unit": unit} for name, (_, unit) in metrics.items()],
    }
    log.info(
        "%s %s: %s, %s rows",
        *(report.job, report.source, report.status.replace("_", " "), f"{report.rows:,}"),
        extra=event(
            "run_finished",
            **row,
            **dict(zip(DIMENSIONS, (settings.database, report.job, report.source), strict=True)),
            **{name: value for name, (value, _) in metrics.items()},
            _aws={"Timestamp": int(time.time() * 1000), "CloudWatchMetrics": [declared]},
        ),
    )


@contextmanager
def gathering(
    report: Report,
    outcomes: Sequence[Outcome],
    told: Callable[[], None],
    stats: Stats | None = None,
    stopped: str = "stopped; what was published stays, and the same command goes on after it",
) -> Iterator[None]:
    """Fill in the report of a block that works on products, then call `told`, however the block ends: but with a
    UsageError, as nothing was started then. `outcomes` may be filled inside the block. After Ctrl-C the run is
    interrupted, and Interrupted is raised with the message `stopped`."""

    def end(status: Status, failure: str | None = None) -> None:
        report.finish(status)
        if stats is not None:
            report.count(stats)
        report.gather(outcomes)
        if failure is not None:
            report.errors[report.source] = failure
        told()

    try:
        yield
    except UsageError:
        raise
    except (Interrupted, KeyboardInterrupt):
        end("interrupted")
        raise Interrupted(stopped) from None
    except Exception as error:
        end("failed", words(error))
        raise
    else:
        end("ok")


def exit_code(reports: Sequence[Report]) -> int:
    """What runs together end with, by their ingests: a unify that fails raises."""
    return workers.exit_code([report.status for report in reports if report.job == "ingest"])
