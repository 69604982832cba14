"""The fenced publish: the only way rows get into a raw or unified table.

    branch from main's head -> read the state of the branch's base -> write to the branch -> mark -> fast-forward main

Two insert-only writers that commit at once both succeed in Iceberg and so write duplicates. Here the second one's
fast-forward is refused, because main is no longer an ancestor of its branch: it reads the new state, trims, and writes
to a new branch. Reading the state before the branch is made would be the bug to avoid.
"""

from __future__ import annotations

import logging
import random
import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Generic, TypeVar
from uuid import uuid4

from schemahub_lib.errors import PublishRefused, SchemaHubError, StateCorrupt
from schemahub_lib.logs import event
from schemahub_lib.tables.commits import ATTEMPTS, retrying
from schemahub_lib.tables.lake import Lake
from schemahub_lib.tables.lock import publish_lock
from schemahub_lib.tables.named import loaded
from schemahub_lib.tables.session import spark_failures_told
from schemahub_lib.tables.snapshots import is_ancestor
from schemahub_lib.tables.state import RUN_ID, State, read_state, write_state
from schemahub_lib.tables.stopwatch import Stopwatch

if TYPE_CHECKING:
    import pyarrow as pa
    from pyiceberg.table import Table as IcebergTable

log = logging.getLogger(__name__)

BRANCH_LIFETIME = timedelta(hours=48)  # longer than any job may run; a branch older than this was left behind
BLOCKED = "blocked_"  # begins the name of a branch that an audit kept from being published
BLOCKED_LIFETIME = timedelta(days=14)  # time enough to look at it
BLOCKED_KEPT = 3  # branches of a table: each run that is blocked makes another, with all that waits
_RUN_BRANCH = re.compile(r"run_(\d{8}T\d{6})_[0-9a-f]{8}")

R = TypeVar("R")


class Outdated(Exception):
    """Raised by a writer: what it read was expired while it read. Not an error of its own, the publish begins anew."""


@dataclass(frozen=True)
class Draft(Generic[R]):
    """What a writer made. Without a new state there is nothing to publish, and the branch is dropped.

    `rows` are added with the mark, for a writer that did not put its rows on the branch by itself. A draft that is
    `blocked` is not published either, but its branch stays, to be looked at.
    """

    result: R
    state: State | None
    rows: pa.Table | None = None
    blocked: bool = False


@dataclass(frozen=True)
class Published(Generic[R]):
    """`snapshot_id` is main's new head, or None when nothing was published; `blocked` the branch that stayed.

    `seconds` are those spent on the steps of the publish, by name.
    """

    result: R
    state: State | None
    snapshot_id: int | None
    blocked: str | None = None
    seconds: Mapping[str, float] = field(default_factory=dict)


def publish(
    lake: Lake, table: str, run_id: str, write: Callable[[State, Branch], Draft[R]], *, if_lost: State | None = None
) -> Published[R]:
    """Publish what `write` puts on a branch, atomically and exactly once.

    `write` is called with the state of the branch's base and the branch; it must leave out what that
    state covers. It is called again, on a new branch, each time another writer came first or it raised Outdated, so it
    must not fetch.
    `if_lost` is handed to it where the state cannot be read. Raises PublishRefused after `ATTEMPTS` lost races, and
    StateCorrupt when there is no `if_lost`.
    """
    with publish_lock(lake.settings, table, run_id):
        for attempt in range(ATTEMPTS):
            watch = Stopwatch()
            branch = Branch(lake, table)
            watch.lap("branch")
            try:
                state = branch.base_state(if_lost)
                with spark_failures_told():
                    draft = write(state, branch)
                watch.lap("write")
                if draft.blocked:
                    return Published(draft.result, None, None, blocked=branch.keep())
                if draft.state is None:
                    branch.drop()
                    return Published(draft.result, None, None)
                branch.mark(run_id, draft.state, draft.rows)
                watch.lap("mark")
                if branch.fast_forward():
                    watch.lap("fast-forward")
                    return Published(draft.result, draft.state, branch.head, seconds=watch.laps)
                raced = "another run published first; writing again on its result"
            except Outdated as outdated:
                raced = f"{outdated}; writing again"
            except BaseException:
                branch.drop_quietly()
                raise
            log.info("%s: %s", table, raced, extra=event("publish_raced", table=table, run_id=run_id))
            branch.drop()
            time.sleep(random.uniform(0, min(5.0, 0.2 * 2**attempt)))
    raise PublishRefused(f"{table}: {ATTEMPTS} publishes lost against other writers; nothing was written, run again")


class Branch:
    """A branch of one table from main's present head, with the steps of a publish. Each step is one commit.

    Spark writes to it by `identifier`; everything else goes through pyiceberg and needs no JVM.
    """

    def __init__(self, lake: Lake, table: str) -> None:
        self._lake, self._table = lake, table
        self.name = f"run_{datetime.now(UTC):%Y%m%dT%H%M%S}_{uuid4().hex[:8]}"
        self.identifier = lake.identifier(table, self.name)
        self.head: int | None = None
        self.base = self._create()

    def base_state(self, if_lost: State | None = None) -> State:
        """The state of the snapshot this branch was made from. Raises StateCorrupt, unless there is an `if_lost`."""
        try:
            return read_state(self._load(), self.base)
        except StateCorrupt:
            if if_lost is None:
                raise
            return if_lost

    def mark(self, run_id: str, state: State, rows: pa.Table | None = None) -> None:
        """End the branch with a snapshot that carries the state, and `rows` where there are any."""
        table, tip = self._load(), self._tip()
        properties = {RUN_ID: run_id, **write_state(table, state)}

        def add(table: IcebergTable) -> None:
            if table.refs()[self.name].snapshot_id == tip:  # or else an earlier try went through
                added = table.schema().as_arrow().empty_table() if rows is None else rows
                table.append(added, properties, branch=self.name)

        self._retrying(add)
        self.head = self._tip()

    def fast_forward(self) -> bool:
        """Make the branch main's head and drop it, in one commit. False when another writer moved main."""

        def settle(table: IcebergTable) -> bool:
            if is_ancestor(table, self.head, of=table.metadata.current_snapshot_id):
                return True  # an answer was lost after the commit went through: ask the table, not the error
            if table.metadata.current_snapshot_id != self.base:
                return False
            if self.head is None or not is_ancestor(table, self.base, of=self.head):
                # pyiceberg makes a branch that is gone anew, from nothing: main would lose all that it holds.
                raise SchemaHubError(f"the branch {self.name} of {self._table} does not continue main; run again")
            with table.manage_snapshots() as changes:
                changes.set_current_snapshot(self.head)
                if self.name in table.refs():
                    changes.remove_branch(self.name)
            return True

        return self._retrying(settle)

    def keep(self) -> str:
        """Rename the branch to what says that it was blocked, so that no sweep takes it, and drop the oldest of those
        that are more than `BLOCKED_KEPT` with it. Returns the name."""
        kept = self.name.replace("run_", BLOCKED, 1)

        def rename(table: IcebergTable) -> None:
            if kept not in table.refs():
                earlier = sorted(name for name in table.refs() if name.startswith(BLOCKED))  # a name begins with a time
                with table.manage_snapshots() as changes:
                    changes.create_branch(table.refs()[self.name].snapshot_id, kept)
                    for name in (self.name, *earlier[: 1 - BLOCKED_KEPT]):
                        changes.remove_branch(name)

        self._retrying(rename)
        return kept

    def drop(self) -> None:
        def remove(table: IcebergTable) -> None:
            if self.name in table.refs():
                with table.manage_snapshots() as changes:
                    changes.remove_branch(self.name)

        self._retrying(remove)

    def drop_quietly(self) -> None:
        """Drop while another error is on its way: that one matters, and old branches are swept anyway."""
        try:
            self.drop()
        except Exception as error:  # noqa: BLE001 - see above
            log.debug("branch %s is left for the sweep: %s", self.name, error)

    def _create(self) -> int:
        def create(table: IcebergTable) -> int:
            base = table.metadata.current_snapshot_id
            assert base is not None, "every table begins with an empty snapshot"
            with table.manage_snapshots() as changes:
                # Without a maximum age: Iceberg counts it from the branch's head, so an expiry would drop at once the
                # new branch of a table that was idle for longer.
                changes.create_branch(base, self.name)
                for old in left_behind(table, datetime.now(UTC)):
                    changes.remove_branch(old)
            return base

        return self._retrying(create)

    def _tip(self) -> int:
        ref = self._load().refs().get(self.name)
        if ref is None:
            raise SchemaHubError(
                f"the branch {self.name} of {self._table} was dropped while a run was writing to it; nothing of it was "
                "published, run again"
            )
        return ref.snapshot_id

    def _load(self) -> IcebergTable:
        return loaded(self._lake, self._table)

    def _retrying(self, action: Callable[[IcebergTable], R]) -> R:
        """Do `action` on the table as it is now, again after each commit of others that comes between."""
        return retrying(self._load, action)


def tag(lake: Lake, table: str, name: str, snapshot_id: int) -> None:
    """Point the tag `name` of a table at a snapshot, so that expiry keeps it."""

    def move(found: IcebergTable) -> None:
        ref = found.refs().get(name)
        if ref is None or ref.snapshot_id != snapshot_id:
            if found.snapshot_by_id(snapshot_id) is None:
                raise SchemaHubError(f"snapshot {snapshot_id} is expired")
            with found.manage_snapshots() as changes:
                changes.create_tag(snapshot_id, name)

    try:
        retrying(lambda: loaded(lake, table), move)
    except SchemaHubError as error:
        log.warning("%s: the tag %s could not be moved; the next run moves it (%s)", table, name, error)


def left_behind(table: IcebergTable, now: datetime) -> list[str]:
    """Branches of runs that ended long ago without dropping them, and blocked ones that nobody looked at in time."""

    def old(name: str, snapshot_id: int) -> bool:
        if match := _RUN_BRANCH.fullmatch(name):
            return datetime.strptime(match[1], "%Y%m%dT%H%M%S").replace(tzinfo=UTC) < now - BRANCH_LIFETIME
        blocked = table.snapshot_by_id(snapshot_id) if name.startswith(BLOCKED) else None
        return blocked is not None and blocked.timestamp_ms < (now - BLOCKED_LIFETIME).timestamp() * 1000

    return [name for name, ref in table.refs().items() if old(name, ref.snapshot_id)]


def move_main(lake: Lake, table: str, run_id: str, expected: int, target: int) -> None:
    """Make a snapshot that was main's head before main's head again, in one commit that requires main to be `expected`.

    A publish under way is refused by its own fence then and writes again. Raises PublishRefused when main is another.
    """

    def move(found: IcebergTable) -> None:
        head = found.metadata.current_snapshot_id
        if head == target:  # an earlier try went through
            return
        if head != expected:
            raise PublishRefused(f"{table}: another run published meanwhile; nothing was changed, look again")
        with found.manage_snapshots() as changes:
            changes.set_current_snapshot(target)

    with publish_lock(lake.settings, table, run_id):
        retrying(lambda: loaded(lake, table), move)
