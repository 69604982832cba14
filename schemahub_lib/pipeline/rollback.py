"""Rollback: an earlier published head of a table becomes main's head again, once it is shown what that means.

The state of a table travels with its snapshots and so goes back with them: what was published since is not lost but
done again by the runs that come next.
"""

from __future__ import annotations

import difflib
import logging
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from schemahub_lib.config import parse_time
from schemahub_lib.errors import SchemaHubError, StateCorrupt, UsageError, sentence
from schemahub_lib.exchanges import book_tables, by_raw_table
from schemahub_lib.pipeline.ingest import sync_watermarks
from schemahub_lib.pipeline.publishes import Publish, head_as_of, publishes
from schemahub_lib.pipeline.reports import Report
from schemahub_lib.pipeline.runs import record
from schemahub_lib.schemas import LEDGERS, TARGETS, Position
from schemahub_lib.tables.lake import Lake
from schemahub_lib.tables.named import existing
from schemahub_lib.tables.publish import move_main, tag
from schemahub_lib.tables.snapshots import added_rows, ancestors, beyond, figure, fork, is_ancestor, removed_rows
from schemahub_lib.tables.state import Intervals, State, Stream, read_loaded, read_state
from schemahub_lib.watermark import Watermark

if TYPE_CHECKING:
    from pyiceberg.table import Table as IcebergTable

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class StreamBack:
    """A stream of a raw table whose state changes, and the positions of which it then no longer has every trade."""

    product: str
    before: Watermark | None
    after: Watermark | None
    uncovered: Intervals


@dataclass(frozen=True)
class RawAgain:
    """What the next `run unify` reads of a raw table: `snapshots` that added `rows`, after the snapshot `since` up to
    which it was merged (None: nothing was). Where raw was rolled back, after what both have come from; all of it, where
    that is expired."""

    source: str
    since: int | None
    since_is: Literal["there", "expired", "rolled back"]
    snapshots: int
    rows: int


@dataclass(frozen=True)
class Merged:
    """How far a unified table has merged a raw one, and how many of the rows that vanish from raw that includes: None
    where the snapshot is not in raw's history."""

    target: str
    snapshot_id: int
    rows: int | None


@dataclass(frozen=True)
class Rollback:
    """What a rollback from the head `before` to the head `after` does, for people to agree to.

    Publishes and rows that vanish from the table, and those that come back to it where an earlier rollback is undone.
    `streams`, `objects` (landed ones that no longer count as loaded) and `merged` are told of a raw table, `sources`
    of a unified one.
    """

    table: str
    before: Publish
    after: Publish
    vanish_publishes: int
    vanish_rows: int
    return_publishes: int
    return_rows: int
    position: Position
    streams: tuple[StreamBack, ...]
    objects: int
    merged: tuple[Merged, ...]
    sources: tuple[RawAgain, ...]
    warnings: tuple[str, ...]


def plan_rollback(lake: Lake, name: str, to: str) -> Rollback:
    """What it means to go back to the published head `to`, a snapshot id or a time. Changes nothing.

    Raises UsageError for a table that cannot be rolled back and for what never was main's head, and StateCorrupt when
    the state of that head cannot be read.
    """
    if name in {ledger.name for ledger in LEDGERS}:
        raise UsageError(
            f"{name} is a ledger and is not rolled back: it tells of runs and of what the other tables hold, and what "
            "happened does not change; roll the raw or unified table back, its ledgers follow"
        )
    table = existing(lake, name)
    if name not in (ours := {**by_raw_table(), **book_tables(), **TARGETS}):
        raise UsageError(f"{name} is not a table of SchemaHub's: choose one of {', '.join(ours)}")
    told = publishes(table)
    if not told:
        raise UsageError(f"{name} has no snapshot yet, so there is nothing to go back to")
    before, after = told[0], _published_head(table, told, to)
    if after.snapshot_id == before.snapshot_id:
        raise UsageError(f"{name} is at snapshot {after.snapshot_id} already")
    warnings: list[str] = []
    state = read_state(table, after.snapshot_id)
    try:
        state_before = read_state(table, before.snapshot_id)
    except StateCorrupt as error:
        warnings.append(f"what goes back with the state cannot be told: {error}")
        state_before = State()
    gone = beyond(table, before.snapshot_id, after.snapshot_id)
    back = beyond(table, after.snapshot_id, before.snapshot_id)
    heads = {publish.snapshot_id for publish in told}
    if redone := removed_rows(gone):
        warnings.append(
            f"{redone:,} rows that were taken out, or replaced by others, come back, and `run unify` goes on from "
            f"there: what restated or corrected them must be run again, such as `run unify {name} --from … --to …`"
        )
    exchange = by_raw_table().get(name)
    return Rollback(
        name,
        before,
        after,
        sum(snapshot.snapshot_id in heads for snapshot in gone),
        _gained(table, before, after),
        sum(snapshot.snapshot_id in heads for snapshot in back),
        _gained(table, after, before),
        exchange.raw_table.position if exchange else "id",
        tuple(_streams(state_before, state)),
        len(read_loaded(table, state_before).keys() - read_loaded(table, state).keys()),
        tuple(_merged(lake, table, after.snapshot_id, {snapshot.snapshot_id for snapshot in gone}, warnings)),
        tuple(_raw_again(lake, state_before, state)),
        tuple(warnings),
    )


def roll_back(lake: Lake, plan: Rollback, run_id: str) -> Report:
    """Do what was planned, bring in line what follows the table, and record the run.

    Raises PublishRefused, and changes nothing, when main is no longer the head that the plan is about.
    """
    report = Report(run_id, "rollback", plan.table)
    try:
        move_main(lake, plan.table, run_id, plan.before.snapshot_id, plan.after.snapshot_id)
        report.rows = plan.return_rows - plan.vanish_rows
        report.finish("ok")
    except BaseException as error:
        report.errors[plan.table] = sentence(error)
        report.finish("failed")
        raise
    finally:
        record(lake, [report])
    if exchange := by_raw_table().get(plan.table):
        try:
            sync_watermarks(lake, exchange, run_id)
        except SchemaHubError as error:
            log.warning(
                "%s is rolled back; the next ingest brings the watermark ledger in line (%s)", plan.table, error
            )
    for source in plan.sources:
        if source.since is not None and source.since_is != "expired":
            tag(lake, source.source, f"unified_{plan.table}", source.since)
    return report


def _gained(table: IcebergTable, head: Publish, other: Publish) -> int:
    """The rows that a head has more than what it and another have both come from."""
    common = fork(table, head.snapshot_id, other.snapshot_id)
    return head.total_rows - figure(table.snapshot_by_id(common) if common else None, "total-records")


def _published_head(table: IcebergTable, told: list[Publish], to: str) -> Publish:
    """The publish that made a snapshot main's head, or whose head main was at a time. Raises UsageError."""
    if not to.isdecimal():
        snapshot_id = head_as_of(table, parse_time(to))
        return next(publish for publish in told if publish.snapshot_id == snapshot_id)
    made = [publish for publish in told if publish.snapshot_id == int(to)]
    if made:
        return made[-1]  # the first time, which is no rollback
    snapshot = table.snapshot_by_id(int(to))
    heads = {str(publish.snapshot_id): publish for publish in told}
    if snapshot is not None:
        what = "is a snapshot that main never was at"
        near = sorted(heads.values(), key=lambda p: abs(p.published_at.timestamp() * 1000 - snapshot.timestamp_ms))[:2]
    else:
        what = "is not there, or expired"
        near = [heads[text] for text in difflib.get_close_matches(to, heads, n=2, cutoff=0)]
    listed = ", ".join(
        f"{publish.snapshot_id} (published {publish.published_at:%Y-%m-%d %H:%M:%S})" for publish in near
    )
    raise UsageError(
        f"{table.name()[-1]} cannot be rolled back to {to}: it {what}; nearest are {listed}; "
        f"`schemahub tables history {table.name()[-1]}` lists all"
    )


def _streams(before: State, after: State) -> Iterator[StreamBack]:
    for name in sorted({*before.streams, *after.streams}):
        old, new = (state.streams.get(name, Stream(None)) for state in (before, after))
        if old != new:
            uncovered = tuple(part for low, high in old.covered for part in new.missing(low, high))
            yield StreamBack(name, old.watermark, new.watermark, uncovered)


def _raw_again(lake: Lake, before: State, after: State) -> Iterator[RawAgain]:
    for source in sorted({*before.sources, *after.sources}):
        raw = lake.find(source)
        head = raw.metadata.current_snapshot_id if raw is not None else None
        if raw is None or head is None:
            continue
        since = after.sources.get(source)
        history = {snapshot.snapshot_id: snapshot for snapshot in ancestors(raw, head)}
        common = fork(raw, since, head) if since is not None else None
        since_is: Literal["there", "expired", "rolled back"] = "there"
        if since is not None and common != since:
            since_is = "expired" if common is None else "rolled back"
        new = history.values() if common is None else beyond(raw, head, common)
        adding = [snapshot for snapshot in new if added_rows([snapshot]) > 0]
        if adding or since_is == "rolled back":
            yield RawAgain(source, since, since_is, len(adding), added_rows(adding))


def _merged(lake: Lake, raw: IcebergTable, after: int, gone: Collection[int], warnings: list[str]) -> Iterator[Merged]:
    for target in TARGETS:
        unified = lake.find(target)
        try:
            last = read_state(unified).sources.get(raw.name()[-1]) if unified is not None else None
        except StateCorrupt as error:
            warnings.append(f"how far {target} has merged this table cannot be told: {error}")
            continue
        if last is None:
            continue
        if last in gone:
            yield Merged(target, last, added_rows(beyond(raw, last, after)))
        else:
            yield Merged(target, last, 0 if is_ancestor(raw, last, of=after) else None)
