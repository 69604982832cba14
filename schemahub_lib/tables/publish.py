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
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Generic, TypeVar
from uuid import uuid4

from schemahub_lib.errors import PublishRefused, SchemaHubError, StateCorrupt
from schemahub_lib.tables.lake import Lake
from schemahub_lib.tables.lock import publish_lock
from schemahub_lib.tables.state import RUN_ID, State, read_state, write_state

log = logging.getLogger(__name__)

ATTEMPTS = 10
BRANCH_LIFETIME = timedelta(hours=48)  # longer than any job may run; a branch older than this was left behind
_RUN_BRANCH = re.compile(r"run_(\d{8}T\d{6})_[0-9a-f]{8}")

R = TypeVar("R")


@dataclass(frozen=True)
class Draft(Generic[R]):
    """What a writer did on the branch. Without a new state there is nothing to publish, and the branch is dropped."""

    result: R
    state: State | None


@dataclass(frozen=True)
class Published(Generic[R]):
    """`snapshot_id` is main's new head, or None when there was nothing to publish."""

    result: R
    state: State | None
    snapshot_id: int | None


def publish(
    lake: Lake, table: str, run_id: str, write: Callable[[State, Branch], Draft[R]], *, if_lost: State | None = None
) -> Published[R]:
    """Publish what `write` puts on a branch, atomically and exactly once.

    `write` is called with the state of the branch's base and the branch; it must leave out what that
    state covers. It is called again, on a new branch, each time another writer came first, so it must not fetch.
    `if_lost` is handed to it where the state cannot be read. Raises PublishRefused after `ATTEMPTS` lost races, and
    StateCorrupt when there is no `if_lost`.
    """
    with publish_lock(lake.settings, table, run_id):
        for attempt in range(ATTEMPTS):
            branch = Branch(lake, table)
            try:
                draft = write(branch.base_state(if_lost), branch)
                if draft.state is None:
                    branch.drop()
                    return Published(draft.result, None, None)
                branch.mark(run_id, draft.state)
                if branch.fast_forward():
                    return Published(draft.result, draft.state, branch.head)
            except BaseException:
                branch.drop_quietly()
                raise
            log.info("%s: another run published first; writing again on its result", table)
            branch.drop()
            time.sleep(random.uniform(0, min(5.0, 0.2 * 2**attempt)))
    raise PublishRefused(f"{table}: {ATTEMPTS} publishes lost against other writers; nothing was written, run again")


class Branch:
    """A branch of one table from main's present head, with the Iceberg calls a publish needs.

    Branches are handled through Iceberg's Java API: one commit each, and fast-forward and drop in a single one.
    """

    def __init__(self, lake: Lake, table: str) -> None:
        self._lake, self._table = lake, table
        self.name = f"run_{datetime.now(UTC):%Y%m%dT%H%M%S}_{uuid4().hex[:8]}"
        self.identifier = lake.identifier(table, self.name)
        self.head: int | None = None
        self.base = self._retrying(self._create)

    def base_state(self, if_lost: State | None = None) -> State:
        """The state of the snapshot this branch was made from. Raises StateCorrupt, unless there is an `if_lost`."""
        table = self._lake.find(self._table)
        if table is None:
            raise SchemaHubError(f"the table {self._table} was dropped while a run was writing to it")
        try:
            return read_state(table, self.base)
        except StateCorrupt:
            if if_lost is None:
                raise
            return if_lost

    def added_records(self) -> int:
        """Rows added by the last write to this branch."""
        added = self._load().snapshot(self.name).summary().get("added-records")
        return int(added or 0)

    def mark(self, run_id: str, state: State) -> None:
        """End the branch with an empty snapshot that carries the state."""
        table = self._lake.find(self._table)
        assert table is not None
        properties = {RUN_ID: run_id, **write_state(table, state)}

        def commit() -> int:
            java = self._load()
            append = java.newFastAppend().toBranch(self.name)
            for key, value in properties.items():
                append = append.set(key, value)
            append.commit()
            java.refresh()
            return int(java.snapshot(self.name).snapshotId())

        self.head = self._retrying(commit)

    def fast_forward(self) -> bool:
        """Make the branch main's head and drop it, in one commit. False when another writer moved main."""
        for attempt in range(ATTEMPTS):
            try:
                self._load().manageSnapshots().fastForwardBranch("main", self.name).removeBranch(self.name).commit()
                return True
            except _java_errors() as error:
                # The answer may have been lost after the commit went through, so ask the table, not the error.
                java = self._load()
                ancestors = _ancestors(java, java.currentSnapshot().snapshotId())
                if self.head in ancestors:
                    return True
                if java.currentSnapshot().snapshotId() != self.base:
                    return False
                log.debug("fast-forward of %s: %s", self.identifier, error)
                last = error
            time.sleep(random.uniform(0, 0.05 * 2**attempt))
        raise SchemaHubError(f"{self._table}: the publish could not be committed ({last}); run again") from last

    def drop(self) -> None:
        def remove() -> None:
            java = self._load()
            if java.refs().containsKey(self.name):
                java.manageSnapshots().removeBranch(self.name).commit()

        self._retrying(remove)

    def drop_quietly(self) -> None:
        """Drop while another error is on its way: that one matters, and old branches are swept anyway."""
        try:
            self.drop()
        except Exception as error:  # noqa: BLE001 - see above
            log.debug("branch %s is left for the sweep: %s", self.name, error)

    def _create(self) -> int:
        java = self._load()
        base = int(java.currentSnapshot().snapshotId())
        changes = java.manageSnapshots().createBranch(self.name, base)
        changes = changes.setMaxRefAgeMs(self.name, int(BRANCH_LIFETIME.total_seconds() * 1000))
        for old in _left_behind(list(java.refs())):
            changes = changes.removeBranch(old)
        changes.commit()
        return base

    def _load(self) -> Any:
        return load_java_table(self._lake, self._table)

    def _retrying(self, action: Callable[[], Any]) -> Any:
        """Creating, marking and dropping a branch can lose against any other commit; that is no lost race."""
        for attempt in range(ATTEMPTS):
            try:
                return action()
            except _java_errors() as error:
                if "CommitFailedException" not in str(error):
                    raise
                last = error
                time.sleep(random.uniform(0, 0.05 * 2**attempt))
        raise SchemaHubError(f"{self._table}: {ATTEMPTS} commits lost against other writers; run again") from last


def load_java_table(lake: Lake, table: str) -> Any:
    """Iceberg's own Java table object, read afresh from the catalog."""
    spark: Any = lake.spark
    # Catalogs are looked up in the calling thread's active session, not in the one handed over.
    spark._jvm.org.apache.spark.sql.SparkSession.setActiveSession(spark._jsparkSession)
    return spark._jvm.org.apache.iceberg.spark.Spark3Util.loadIcebergTable(
        spark._jsparkSession, f"{lake.settings.catalog}.{lake.settings.database}.{table}"
    )


def tag(lake: Lake, table: str, name: str, snapshot_id: int) -> None:
    """Point the tag `name` of a table at a snapshot, so that expiry keeps it."""
    for attempt in range(ATTEMPTS):
        java = load_java_table(lake, table)
        changes = java.manageSnapshots()
        tagged = java.refs().containsKey(name)
        try:
            (changes.replaceTag if tagged else changes.createTag)(name, snapshot_id).commit()
            return
        except _java_errors() as error:
            log.debug("tag %s of %s: %s", name, table, error)
            time.sleep(random.uniform(0, 0.05 * 2**attempt))
    log.warning("%s: the tag %s could not be moved; the next run moves it", table, name)


def _left_behind(refs: list[str]) -> list[str]:
    oldest = datetime.now(UTC) - BRANCH_LIFETIME
    return [
        name
        for name in refs
        if (match := _RUN_BRANCH.fullmatch(name))
        and datetime.strptime(match[1], "%Y%m%dT%H%M%S").replace(tzinfo=UTC) < oldest
    ]


def _ancestors(java: Any, snapshot_id: int) -> set[int]:
    found: set[int] = set()
    snapshot = java.snapshot(snapshot_id)
    while snapshot is not None:
        found.add(int(snapshot.snapshotId()))
        parent = snapshot.parentId()
        snapshot = java.snapshot(parent) if parent is not None else None
    return found


def _java_errors() -> tuple[type[Exception], ...]:
    from py4j.protocol import Py4JJavaError
    from pyspark.errors.exceptions.captured import CapturedException

    return Py4JJavaError, CapturedException
