"""The pipeline: ingest every source at once, then unify what arrived, in one Spark start (or none)."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, wait

from schemahub_lib.errors import Interrupted, UsageError, sentence
from schemahub_lib.exchanges.base import Exchange
from schemahub_lib.mapping.restatement import Region
from schemahub_lib.mapping.spec import MappingSpec
from schemahub_lib.pipeline.books import books_of, ingest_books
from schemahub_lib.pipeline.ingest import IngestOptions, ingest
from schemahub_lib.pipeline.progress import Progress
from schemahub_lib.pipeline.reports import Report
from schemahub_lib.pipeline.restate import refresh, restate
from schemahub_lib.pipeline.runs import record
from schemahub_lib.pipeline.unify import unify
from schemahub_lib.tables.lake import Lake

log = logging.getLogger(__name__)

Fetch = Callable[[Exchange, Report, threading.Event], None]


def run_ingest(
    lake: Lake,
    exchanges: Sequence[Exchange],
    options: IngestOptions,
    run_id: str,
    progress: Progress,
    when_new: Callable[[], None] = lambda: None,
) -> list[Report]:
    """Ingest several exchanges side by side and record the runs. One exchange's failure does not stop the others.

    On Ctrl-C every publish under way is finished, the runs are recorded as interrupted, and Interrupted is raised.
    Raises UsageError when every exchange was refused before it was asked anything.
    """

    def fetch(exchange: Exchange, report: Report, stop: threading.Event) -> None:
        ingest(lake, exchange, options, report, progress, stop, when_new)

    return _side_by_side(lake, {exchange: Report(run_id, "ingest", exchange.name) for exchange in exchanges}, fetch)


def run_books(
    lake: Lake, exchanges: Sequence[Exchange], options: IngestOptions, run_id: str, progress: Progress
) -> list[Report]:
    """Take snapshots of several exchanges' order books side by side and record the runs, as `run_ingest` does."""

    def fetch(exchange: Exchange, report: Report, stop: threading.Event) -> None:
        ingest_books(lake, exchange, options, report, progress, stop)

    return _side_by_side(
        lake, {exchange: Report(run_id, "ingest", books_of(exchange).name) for exchange in exchanges}, fetch
    )


def _side_by_side(lake: Lake, runs: Mapping[Exchange, Report], fetch: Fetch) -> list[Report]:
    stops = [threading.Event() for _ in runs]
    interrupted = False
    with ThreadPoolExecutor(len(runs), "ingest") as pool:
        futures = [
            pool.submit(_reported, exchange, report, stop, fetch)
            for (exchange, report), stop in zip(runs.items(), stops, strict=True)
        ]
        try:
            wait(futures)
        except KeyboardInterrupt:
            interrupted = True
            for stop in stops:
                stop.set()
    refusals = [refusal for future in futures if (refusal := future.result()) is not None]
    if len(refusals) == len(runs):
        raise refusals[0]
    reports = list(runs.values())
    record(lake, reports)
    if interrupted:
        raise Interrupted("stopped; everything published so far is safe and the next run continues after it")
    return reports


def run_unify(
    lake: Lake,
    target: str,
    specs: Sequence[MappingSpec],
    run_id: str,
    progress: Progress,
    *,
    dry_run: bool = False,
) -> Report:
    """Unify and record the run; a failure is recorded and raised. A dry run leaves no trace."""
    if dry_run:
        return unify(lake, target, specs, run_id, progress, dry_run=True)
    report = Report(run_id, "unify", target)
    return _recorded(lake, report, specs, lambda: unify(lake, target, specs, run_id, progress))


def run_restate(
    lake: Lake,
    target: str,
    specs: Sequence[MappingSpec],
    region: Region | None,
    run_id: str,
    progress: Progress,
    *,
    dry_run: bool = False,
) -> Report:
    """Restate a region and record the run, as `run_unify` does."""
    if dry_run:
        return restate(lake, target, specs, region, run_id, progress, dry_run=True)
    report = Report(run_id, "restate", target)
    return _recorded(lake, report, specs, lambda: restate(lake, target, specs, region, run_id, progress))


def run_refresh(lake: Lake, target: str, specs: Sequence[MappingSpec], run_id: str, progress: Progress) -> Report:
    """Rebuild all and record the run, as `run_unify` does."""
    report = Report(run_id, "refresh", target)
    return _recorded(lake, report, specs, lambda: refresh(lake, target, specs, run_id, progress))


def _recorded(lake: Lake, report: Report, specs: Sequence[MappingSpec], publish: Callable[[], Report]) -> Report:
    """`report` stands for a run that fails."""
    try:
        report = publish()
    except KeyboardInterrupt:
        report.finish("interrupted")
        raise
    except BaseException as error:
        report.errors[report.source] = sentence(error)
        report.finish("failed")
        raise
    finally:
        record(lake, [report], specs)
    return report


def run_pipeline(
    lake: Lake,
    exchanges: Sequence[Exchange],
    target: str,
    specs: Sequence[MappingSpec],
    options: IngestOptions,
    run_id: str,
    progress: Progress,
) -> Iterator[Report]:
    """Ingest all, then unify all in one publish; each report as soon as it is there."""
    # Spark takes seconds to start: it does so while the next pages are on their way.
    yield from run_ingest(lake, exchanges, options, run_id, progress, when_new=lake.warm_up)
    yield run_unify(lake, target, specs, run_id, progress)


def _reported(exchange: Exchange, report: Report, stop: threading.Event, fetch: Fetch) -> UsageError | None:
    """Fill in an ingest's report, also when the exchange as a whole failed; the error where nothing was even tried."""
    try:
        fetch(exchange, report, stop)
        return None
    except UsageError as error:
        refusal, message = error, str(error)
    except Exception as error:  # a bug in one connector must not cost the other exchanges their run
        refusal, message = None, sentence(error)
        where = "" if message.startswith(exchange.name) else f"{exchange.name}: "
        log.error("%s%s", where, message, exc_info=log.isEnabledFor(logging.DEBUG))
    report.errors[exchange.name] = message
    report.finish("partial" if report.rows else "failed")
    return refusal
