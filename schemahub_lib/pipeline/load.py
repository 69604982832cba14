"""`run load`: landed objects into a raw table, each exactly once."""

from __future__ import annotations

import logging
import threading
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from schemahub_lib.errors import Interrupted, SchemaHubError, UsageError
from schemahub_lib.exchanges.base import Exchange
from schemahub_lib.http.messages import Rejected
from schemahub_lib.landing.names import ObjectName
from schemahub_lib.landing.store import Entry, Store
from schemahub_lib.pipeline.landed import batches, layout_of, objects
from schemahub_lib.pipeline.products import note
from schemahub_lib.pipeline.progress import Progress
from schemahub_lib.pipeline.reports import Report
from schemahub_lib.pipeline.runs import gathering, record
from schemahub_lib.pipeline.workers import Outcome
from schemahub_lib.quality.drift import Watch
from schemahub_lib.quality.quarantine import quarantine
from schemahub_lib.schemas import RAW_PAYLOAD
from schemahub_lib.tables.batches import to_arrow
from schemahub_lib.tables.lake import Lake
from schemahub_lib.tables.raw import History, append_history, positions
from schemahub_lib.tables.rebuild import current_state, spans
from schemahub_lib.tables.state import Intervals, read_loaded

if TYPE_CHECKING:
    import pyarrow as pa

log = logging.getLogger(__name__)

BATCH_ROWS = 500_000  # rows in one publish


def load(
    lake: Lake,
    exchange: Exchange,
    store: Store,
    prefix: str,
    products: Sequence[str],
    run_id: str,
    progress: Progress,
    stop: threading.Event,
) -> list[Outcome]:
    """Publish the objects under a prefix that were not loaded before, or were written anew since, and record the run.

    Which objects are loaded is noted in the publish that brings their last trades in. Trades that the raw table has
    already are left out. One object's failure is in the outcome of its product, which is 'failed' when none of its
    objects could be loaded, else 'partial'. Raises UsageError where there is no landed object at all or none of the
    products named, Interrupted.
    """
    report, outcomes = Report(run_id, "load", exchange.name), list[Outcome]()
    watch = Watch(exchange)
    with gathering(report, outcomes, lambda: record(lake, [report])):
        found = _wanted(exchange, store, prefix, products)
        table = lake.ensure(exchange.raw_table)
        done = read_loaded(table, current_state(lake, exchange))
        of_product = {name.product: Outcome(name.product, "nothing new") for _, name in found}
        note(lake, exchange, list(of_product))
        outcomes += of_product.values()
        there, failed = Counter(name.product for _, name in found), Counter[str]()
        for entry, name in found:
            if done.get(f"{store.uri}/{entry.key}") == entry.version:
                continue
            if stop.is_set():
                raise Interrupted("stopped")
            outcome = of_product[name.product]
            try:
                _load(lake, exchange, store, entry, name, run_id, outcome, progress, watch)
                outcome.status = "partial" if outcome.error else "ok"
            except SchemaHubError as error:
                log.error("%s", error)
                outcome.error = f"{outcome.error}\n{error}" if outcome.error else str(error)
                failed[name.product] += 1
                outcome.status = "failed" if failed[name.product] == there[name.product] else "partial"
        watch.settle(lake)
    return outcomes


def _wanted(exchange: Exchange, store: Store, prefix: str, products: Sequence[str]) -> list[tuple[Entry, ObjectName]]:
    """The objects under a prefix of the products named, or of all. Raises UsageError where there are none."""
    found = list(objects(store, prefix, exchange.name))
    if not found:
        raise UsageError(
            f"{store.uri}/{prefix}: no landed objects of {exchange.name} are there; they are called "
            f"raw_{exchange.name}_trades_<product>_<time>_<trade id>.jsonl, .jsonl.gz, .jsonl.zst or .parquet"
        )
    there = {name.product for _, name in found}
    if missing := [product for product in products if product not in there]:
        told = f"{store.uri}/{prefix}: no landed objects of {', '.join(missing)} are there, but of "
        told += ", ".join(sorted(there))
        if len(missing) == len(products):
            raise UsageError(f"{told}: name some of these, or leave --products out")
        log.warning("%s", told)
    return [(entry, name) for entry, name in found if not products or name.product in products]


def _load(
    lake: Lake,
    exchange: Exchange,
    store: Store,
    entry: Entry,
    name: ObjectName,
    run_id: str,
    outcome: Outcome,
    progress: Progress,
    watch: Watch,
) -> None:
    """Publish an object in parts; the last one notes that it is loaded."""
    parts = _parts(exchange, store, entry, name)
    part = next(parts, None)
    while part is not None:
        following = next(parts, None)
        rows, rejected = part
        watch.rows(name.product, rows)
        told = rows.num_rows
        rows = _once(exchange, rows)
        if rejected:
            quarantine(lake, exchange.name, name.product, run_id, rejected)
            outcome.set_aside += len(rejected)
        loaded = {f"{store.uri}/{entry.key}": entry.version} if following is None else None
        history = {name.product: History(rows, _covered(exchange, rows))}
        published = append_history(lake, exchange.raw_table, run_id, history, loaded)
        outcome.trades += published.result.rows
        outcome.duplicates += published.result.duplicates + told - rows.num_rows
        progress.add(exchange.name, name.product, rows.num_rows)
        part = following
    outcome.objects += 1
    outcome.bytes += entry.size


def _parts(
    exchange: Exchange, store: Store, entry: Entry, name: ObjectName
) -> Iterator[tuple[pa.Table, list[Rejected]]]:
    """An object's rows by `BATCH_ROWS`; all at once where positions are times, so that no moment is parted."""
    import pyarrow as pa

    by_id = exchange.raw_table.position == "id"
    waiting: list[pa.Table] = []
    rejected: list[Rejected] = []
    for batch in batches(store, entry, name, layout_of(exchange)):
        rows, unfit = to_arrow(exchange.raw_table, batch.columns, source=exchange.name, fetched_at=batch.fetched_at)
        rows, strange = _without_strangers(exchange, name, rows)
        waiting.append(rows)
        rejected += batch.bad + unfit + strange
        if by_id and sum(rows.num_rows for rows in waiting) >= BATCH_ROWS:
            yield pa.concat_tables(waiting), rejected
            waiting, rejected = [], []
    if waiting or rejected:
        yield pa.concat_tables(waiting or [rows.slice(0, 0)]), rejected


def _once(exchange: Exchange, rows: pa.Table) -> pa.Table:
    """Rows without repeated ids: objects may have been joined by hand."""
    import numpy as np
    import pyarrow.compute as pc

    ids = rows[exchange.id_column]
    if pc.count_distinct(ids).as_py() == rows.num_rows:
        return rows
    _, first = np.unique(ids.to_numpy().astype(str), return_index=True)
    return rows.take(np.sort(first))


def _without_strangers(exchange: Exchange, name: ObjectName, rows: pa.Table) -> tuple[pa.Table, list[Rejected]]:
    """Rows without those of another product than the object's, and without ids that are none."""
    import pyarrow.compute as pc

    own = pc.equal(rows[exchange.symbol_column], name.product)
    if exchange.raw_table.position == "id":
        own = pc.and_(own, pc.match_substring_regex(rows[exchange.id_column], r"^\d{1,18}$"))
    strange = [
        Rejected(
            f"{exchange.symbol_column} {row[exchange.symbol_column]}, {exchange.id_column} {row[exchange.id_column]}: "
            f"no trade of {name.product}, after which its object is called",
            str(row[RAW_PAYLOAD.name]),
        )
        for row in rows.filter(pc.invert(own)).to_pylist()
    ]
    return rows.filter(own) if strange else rows, strange


def _covered(exchange: Exchange, rows: pa.Table) -> Intervals:
    """What an object shows to be whole: ids that follow each other; the time between its first trade and its last, in
    whose own microseconds there may be more."""
    import numpy as np

    if not rows.num_rows:
        return ()
    if exchange.raw_table.position == "time":
        # Of the first and the last microsecond another object may hold a part.
        found = spans(rows[exchange.time_column], rows[exchange.id_column].to_pylist())
        return tuple((low + 1, high) for low, high in found if low < high)
    places = np.sort(positions(exchange.raw_table, rows).to_numpy())
    ends = np.flatnonzero(np.diff(places) > 1)
    lows, highs = places[np.r_[0, ends + 1]], places[np.r_[ends, len(places) - 1]]
    return tuple(zip(lows.tolist(), highs.tolist(), strict=True))
