"""Backfill from an exchange's official bulk files, straight into its raw table."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from schemahub_lib.errors import Interrupted, SchemaHubError
from schemahub_lib.exchanges.base import Exchange
from schemahub_lib.http.messages import Rejected
from schemahub_lib.pipeline.products import note
from schemahub_lib.pipeline.progress import Progress
from schemahub_lib.pipeline.reports import Report
from schemahub_lib.pipeline.runs import gathering, record
from schemahub_lib.pipeline.workers import Outcome
from schemahub_lib.quality.quarantine import quarantine
from schemahub_lib.tables.archives import ArchiveFile, open_archive, read_archive
from schemahub_lib.tables.lake import Lake
from schemahub_lib.tables.raw import History, append_history, positions
from schemahub_lib.tables.rebuild import current_state

if TYPE_CHECKING:
    import pyarrow as pa

BATCH_ROWS = 500_000  # rows in one publish
SECOND = 1_000_000  # microseconds: how exactly bulk files without ids tell the time


def load_archives(
    lake: Lake,
    exchange: Exchange,
    paths: Sequence[Path],
    products: Sequence[str],
    run_id: str,
    progress: Progress,
    stop: threading.Event,
    *,
    keep_payload: bool,
) -> list[Outcome]:
    """Publish the trades of bulk files that the raw table does not cover yet, and record the run.

    Every file is verified before the first is read. Loading a file again changes nothing; where an exchange's files
    have no ids, only seconds are loaded of which nothing is there. One file's failure is in its outcome, and what was
    published of it stays. Raises UsageError, Interrupted.
    """
    report, outcomes = Report(run_id, "backfill", exchange.name), list[Outcome]()
    with gathering(report, outcomes, lambda: record(lake, [report])):
        files = [file for path in paths for file in open_archive(exchange, path, products)]
        current_state(lake, exchange)
        note(lake, exchange, [file.product for file in files])
        outcomes += [Outcome(file.origin) for file in files]
        for file, outcome in zip(files, outcomes, strict=True):
            try:
                _load(lake, exchange, file, run_id, outcome, progress, stop, keep_payload)
            except Interrupted:
                raise
            except SchemaHubError as error:
                outcome.status, outcome.error = "failed", str(error)
    return outcomes


def _load(
    lake: Lake,
    exchange: Exchange,
    file: ArchiveFile,
    run_id: str,
    outcome: Outcome,
    progress: Progress,
    stop: threading.Event,
    keep_payload: bool,
) -> None:
    table = exchange.raw_table
    grain = 1 if table.position == "id" else SECOND
    next_low: int | None = None
    for rows, rejected in _whole_moments(exchange, file, keep_payload, grain):
        if stop.is_set():
            raise Interrupted("stopped")
        if rejected:
            quarantine(lake, exchange.name, file.product, run_id, rejected)
            outcome.set_aside += len(rejected)
        if not rows.num_rows:
            continue
        places = positions(table, rows)
        low = places[0].as_py() // grain * grain if next_low is None else next_low
        next_low = (places[-1].as_py() // grain + 1) * grain
        # An official file is whole: ids that it skips do not exist.
        part = History(rows, ((low, next_low - 1),), grain)
        published = append_history(lake, table, run_id, {file.product: part})
        outcome.trades += published.result.rows
        outcome.duplicates += published.result.duplicates
        outcome.last_trade_id = rows[exchange.id_column][-1].as_py()
        progress.add(exchange.name, file.origin, rows.num_rows)
    outcome.status = "complete" if outcome.trades else "nothing new"


def _whole_moments(
    exchange: Exchange, file: ArchiveFile, keep_payload: bool, grain: int
) -> Iterator[tuple[pa.Table, list[Rejected]]]:
    """A file's batches, cut so that no two of them have rows of one grain."""
    import pyarrow as pa
    import pyarrow.compute as pc

    held: pa.Table | None = None
    for batch in read_archive(
        exchange, file, fetched_at=datetime.now(UTC), keep_payload=keep_payload, batch_rows=BATCH_ROWS
    ):
        rows = batch.rows if held is None else pa.concat_tables([held, batch.rows])
        if grain == 1 or not rows.num_rows:
            yield rows, batch.rejected
            continue
        moments = pc.divide(positions(exchange.raw_table, rows), grain)
        complete = pc.sum(pc.less(moments, moments[-1])).as_py()
        held = rows.slice(complete)
        yield rows.slice(0, complete), batch.rejected
    if held is not None:
        yield held, []
