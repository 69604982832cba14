"""Runs as they are told of: rows of `schemahub_runs`, lines of the log, metrics, lineage, and an exit code."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from schemahub_lib.config import Settings
from schemahub_lib.errors import Interrupted, UsageError, words
from schemahub_lib.http.stats import Stats
from schemahub_lib.logs import event
from schemahub_lib.mapping.spec import MappingSpec
from schemahub_lib.pipeline import lineage, workers
from schemahub_lib.pipeline.reports import Report, Status
from schemahub_lib.pipeline.workers import Outcome
from schemahub_lib.schemas import RUNS
from schemahub_lib.tables.lake import Lake

log = logging.getLogger(__name__)

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
