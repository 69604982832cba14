"""Upkeep of a table beside its writers: rewriting its files, expiring snapshots, removing what nobody refers to.

A change of main between a writer's branch and its fast-forward makes that writer write again. So what changes main, a
rewrite, holds the table's publish lock, for one partition at a time: a writer waits for one at most.
"""

from __future__ import annotations

import logging
import random
import time
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from schemahub_lib.errors import SchemaHubError
from schemahub_lib.tables.commits import ATTEMPTS, retrying
from schemahub_lib.tables.due import SMALL_FILES, SWEPT_AT, Partition, small_below
from schemahub_lib.tables.lake import Lake
from schemahub_lib.tables.lock import TURN, publish_lock
from schemahub_lib.tables.named import loaded
from schemahub_lib.tables.state import state_folder, unreferenced

if TYPE_CHECKING:
    from pyiceberg.table import Table as IcebergTable
    from pyspark.sql import Row

log = logging.getLogger(__name__)

SAFE_AGE = timedelta(days=3)  # a younger file may belong to a publish that is still under way
# What Iceberg raises when another commit came between. The last: an expiry that tries again by itself insists on what
# it chose at first, though a tag has moved there since.
_CONFLICTS = (
    "CommitFailedException",
    "ValidationException",
    "CommitStateUnknownException",
    "Still referenced by refs",
)


@dataclass(frozen=True)
class Rewritten:
    """How many files became how many. Without `locked` somebody held the table's lock for all of our patience."""

    before: int
    after: int
    locked: bool


def drop_branches(lake: Lake, name: str, branches: Collection[str]) -> None:
    """Drop branches, as far as they are still there."""

    def drop(table: IcebergTable) -> None:
        with table.manage_snapshots() as changes:
            for branch in table.refs().keys() & set(branches):
                changes.remove_branch(branch)

    retrying(lambda: loaded(lake, name), drop)


def rewrite_partition(lake: Lake, name: str, partition: Partition, owner: str) -> Rewritten:
    """Rewrite one partition's small files into fewer, or all of its files. Raises SchemaHubError.

    Both in the table's sort order, if it has one: packed as they come, without a sort, a symbol's trades would lie in
    every row group.
    """
    table = loaded(lake, name)
    options = {"rewrite-all": "true"}
    if not partition.whole:
        options = {"min-input-files": str(SMALL_FILES), "min-file-size-bytes": str(small_below(table))}
    strategy = "binpack" if table.sort_order().is_unsorted else "sort"
    arguments: dict[str, Any] = {"strategy": strategy, "options": options}
    if partition.where:
        arguments["where"] = partition.where
    with _turn(lake, name, owner) as locked:
        (row,) = _call(lake, "rewrite_data_files", name, **arguments)
    return Rewritten(row.rewritten_data_files_count, row.added_data_files_count, locked)


def rewrite_manifests(lake: Lake, name: str, owner: str) -> Rewritten:
    """Rewrite a table's manifests into fewer. Raises SchemaHubError."""
    with _turn(lake, name, owner) as locked:
        (row,) = _call(lake, "rewrite_manifests", name)
    return Rewritten(row.rewritten_manifests_count, row.added_manifests_count, locked)


def expire_snapshots(lake: Lake, name: str, before: datetime) -> int:
    """Expire the snapshots from before a time and delete the files only they had; how many data files. Heads of
    branches and tags stay, and main as it is, so no writer is in its way. Raises SchemaHubError."""
    (row,) = _call(lake, "expire_snapshots", name, older_than=before)
    deleted: int = row.deleted_data_files_count
    return deleted


def remove_orphans(lake: Lake, name: str, now: datetime) -> tuple[int, int]:
    """Delete files under the table's folder that no metadata refers to, and state files that no snapshot points at,
    directly or through another; only those older than `SAFE_AGE`. How many of each. Raises SchemaHubError."""
    table, before = loaded(lake, name), now - SAFE_AGE
    old = _files(table, before)
    states = unreferenced(table, [file for file in old if file.startswith(f"{state_folder(table)}/")])
    for file in states:
        table.io.delete(file)
    seen = [(file, age) for file, age in old.items() if not _is_hidden(file.removeprefix(table.location()))]
    orphans: list[Row] = []
    if seen:
        view = f"files_of_{name}"
        lake.spark.createDataFrame(seen, "file_path STRING, last_modified TIMESTAMP").createOrReplaceTempView(view)
        orphans = _call(lake, "remove_orphan_files", name, older_than=before, file_list_view=view)
    set_property(lake, name, SWEPT_AT, now.isoformat())
    return len(orphans), len(states)


def _files(table: IcebergTable, before: datetime) -> dict[str, datetime]:
    """The files under a table's folder last changed before a time, and that time of each.

    Not listed by Iceberg: Hadoop's local file system fails on a file that a writer deletes meanwhile, and where Spark
    has no Hadoop for S3 there is none to list with.
    """
    from pyarrow.fs import FileSelector
    from pyiceberg.io.pyarrow import PyArrowFileIO

    scheme, bucket, folder = PyArrowFileIO.parse_location(table.location())
    store = PyArrowFileIO(table.io.properties).fs_by_scheme(scheme, bucket)
    return {
        table.location() + info.path.removeprefix(folder): info.mtime
        for info in store.get_file_info(FileSelector(folder, recursive=True, allow_not_found=True))
        if info.is_file and info.mtime < before
    }


def _is_hidden(path: str) -> bool:
    return any(part.startswith(("_", ".")) for part in path.split("/"))


def set_property(lake: Lake, name: str, key: str, value: str) -> None:
    """Note something in a table's own metadata."""

    def note(table: IcebergTable) -> None:
        with table.transaction() as transaction:
            transaction.set_properties({key: value})

    retrying(lambda: loaded(lake, name), note)


@contextmanager
def _turn(lake: Lake, name: str, owner: str) -> Iterator[bool]:
    """Hold the table's publish lock for the block, after those who wait for it already; tells whether it is held."""
    _ = lake.spark  # it takes seconds to start, for which no writer should wait
    time.sleep(TURN)
    with publish_lock(lake.settings, name, owner) as locked:
        yield locked


def _call(lake: Lake, procedure: str, name: str, **arguments: Any) -> list[Row]:
    """Call one of Iceberg's Spark procedures on a table; again when another commit came between."""
    from py4j.protocol import Py4JJavaError
    from pyspark.errors import PySparkException

    catalog, database = lake.settings.catalog, lake.settings.database
    told = {"table": f"{catalog}.{database}.{name}", **arguments}
    listed = ", ".join(f"{key} => {_literal(value)}" for key, value in told.items())
    for attempt in range(ATTEMPTS):
        try:
            return lake.spark.sql(f"CALL `{catalog}`.system.{procedure}({listed})").collect()
        except (Py4JJavaError, PySparkException) as error:
            last = str(getattr(error, "java_exception", error))
            if not any(conflict in last for conflict in _CONFLICTS):
                break
            log.info("%s: another commit came during %s; trying again", name, procedure)
        time.sleep(random.uniform(0, 0.1 * 2**attempt))
    raise SchemaHubError(f"{name}: {procedure} failed: {last}; run `schemahub tables maintain {name}` again")


def _literal(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, datetime):
        return f"TIMESTAMP '{value.astimezone(UTC):%Y-%m-%d %H:%M:%S.%f}Z'"
    if isinstance(value, Mapping):
        return f"map({', '.join(_literal(part) for pair in value.items() for part in pair)})"
    from sqlglot import exp

    return exp.Literal.string(value).sql(dialect="spark")
