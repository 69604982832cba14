"""Maintain: what the tables' own metadata says is due, done beside their writers, and what that changed."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from schemahub_lib.errors import SchemaHubError, StateCorrupt, UsageError
from schemahub_lib.exchanges import book_tables, raw_tables
from schemahub_lib.pipeline.progress import Progress
from schemahub_lib.pipeline.reports import Report
from schemahub_lib.pipeline.runs import record
from schemahub_lib.quality.uniqueness import is_proved, repeated_keys
from schemahub_lib.schemas import LEDGERS, TARGETS
from schemahub_lib.tables.due import Due, Figures, due, figures
from schemahub_lib.tables.lake import Lake
from schemahub_lib.tables.maintenance import (
    drop_branches,
    expire_snapshots,
    remove_orphans,
    rewrite_manifests,
    rewrite_partition,
)
from schemahub_lib.tables.named import loaded
from schemahub_lib.tables.state import read_state

log = logging.getLogger(__name__)


@dataclass
class Upkeep:
    """One table's maintenance: what was due, its size before and after, what was done, left undone and went wrong."""

    table: str
    due: list[str]
    before: Figures
    after: Figures
    done: list[str] = field(default_factory=list)
    left: list[str] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)

    @contextmanager
    def trying(self) -> Iterator[None]:
        """A step whose failure is noted, and does not keep the next steps from being tried."""
        try:
            yield
        except SchemaHubError as error:
            log.error("%s", error)
            self.errors.append(str(error))


def maintain(
    lake: Lake, names: Sequence[str], keep: timedelta, run_id: str, progress: Progress, *, dry_run: bool = False
) -> list[Upkeep]:
    """Maintain the tables named, or all there are, and record it. One table's failure does not stop the others.

    Snapshots are kept for `keep`, and longer where a reader needs them. Starts no JVM when nothing is due. A dry run
    only tells what is. Raises UsageError for a table that is not ours or not there.
    """
    done: list[Upkeep] = []
    reports: list[Report] = []
    try:
        for name in _tables(lake, names):
            report = Report(run_id, "maintain", name)
            upkeep = _maintain(lake, name, keep, run_id, progress, dry_run)
            report.errors = {name: "\n".join(upkeep.errors)} if upkeep.errors else {}
            report.finish("failed" if upkeep.errors else "ok" if upkeep.done else "nothing_new")
            done.append(upkeep)
            reports.append(report)
    finally:
        if not dry_run:
            record(lake, reports)
    return done


def our_tables() -> list[str]:
    """The names of all tables that SchemaHub makes: raw, books, unified, ledgers."""
    return [*raw_tables(), *book_tables(), *TARGETS, *(ledger.name for ledger in LEDGERS)]


def _tables(lake: Lake, names: Sequence[str]) -> list[str]:
    ours = our_tables()
    present = lake.table_names()
    for name in names:
        if name not in ours:
            raise UsageError(f"{name!r} is not a table of SchemaHub: choose among {', '.join(ours)}")
        if name not in present:
            raise UsageError(f"there is no table {name} in {lake.settings.warehouse} yet")
    return [name for name in ours if name in (names or present)]


def _maintain(lake: Lake, name: str, keep: timedelta, run_id: str, progress: Progress, dry_run: bool) -> Upkeep:
    wanted = last_unified(lake, name)  # read first: what is unified meanwhile only needs less
    table, now = loaded(lake, name), datetime.now(UTC)
    todo = due(table, keep=keep, now=now, wanted=wanted)
    unproved = name in TARGETS and not is_proved(table)
    upkeep = Upkeep(name, todo.reasons, figures(table), figures(table))
    if unproved:
        upkeep.due.append("audit the keys: rows came since they were last found unique")
    if dry_run or not upkeep.due:
        return upkeep
    progress.say(f"maintain {name}")
    with upkeep.trying():
        if todo.branches:
            drop_branches(lake, name, todo.branches)
            upkeep.done.append(f"dropped the branches {', '.join(todo.branches)}")
    _rewrite(lake, todo, upkeep, run_id, progress)
    with upkeep.trying():
        if todo.expired:
            deleted = expire_snapshots(lake, name, todo.expire_before)
            upkeep.done.append(f"expired {todo.expired} snapshots, and {deleted} data files with them")
    with upkeep.trying():
        if todo.sweep:
            orphans, states = remove_orphans(lake, name, now)
            upkeep.done.append(f"looked for orphans: deleted {orphans} files and {states} state files")
    with upkeep.trying():
        if unproved:
            if repeated := repeated_keys(lake, TARGETS[name]):
                raise SchemaHubError(str(repeated))
            upkeep.done.append("audited the keys: each is there once")
    upkeep.after = figures(loaded(lake, name))
    return upkeep


def _rewrite(lake: Lake, todo: Due, upkeep: Upkeep, run_id: str, progress: Progress) -> None:
    """Rewrite partitions and manifests, until a writer holds the lock for longer than we wait: each rewrite then costs
    it one publish, so it is asked for one a run, that neither is starved."""
    for partition in todo.partitions:
        progress.say(f"maintain {upkeep.table}: {partition}")
        with upkeep.trying():
            rewritten = rewrite_partition(lake, upkeep.table, partition, run_id)
            upkeep.done.append(f"{partition}: {rewritten.before} files became {rewritten.after}")
            if not rewritten.locked:
                upkeep.left.append("further rewrites, since another writer holds the lock of this table for long")
                return
    with upkeep.trying():
        if todo.manifests:
            rewritten = rewrite_manifests(lake, upkeep.table, run_id)
            upkeep.done.append(f"rewrote {rewritten.before} manifests into {rewritten.after}")


def last_unified(lake: Lake, name: str) -> set[int]:
    """The snapshots of a raw table that unified tables go on from: increments are read from there on."""
    last: set[int] = set()
    for target in TARGETS:
        found = lake.find(target) if name in raw_tables() else None
        if found is None:
            continue
        try:
            sources = read_state(found).sources
        except StateCorrupt as error:
            log.warning("%s; the next unify compares all rows by key", error)
            continue
        last |= {sources[name]} if name in sources else set()
    return last
