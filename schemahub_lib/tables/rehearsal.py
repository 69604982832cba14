"""A stand-in for a table, to try on what must not be done to the table itself.

Iceberg keeps branches of a table's rows, but one schema for all of them: a column cannot be added on a branch alone.
So a second table is registered over the same files, with a folder of its own for whatever is written to it.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from schemahub_lib.errors import SchemaHubError
from schemahub_lib.tables.lake import Lake
from schemahub_lib.tables.lock import publish_lock
from schemahub_lib.tables.named import loaded

if TYPE_CHECKING:
    from pyiceberg.table.metadata import TableMetadata

SUFFIX = "_rehearsal"
BRANCH = "rehearsal"


@contextmanager
def rehearsal(lake: Lake, name: str, run_id: str) -> Iterator[str]:
    """For the block, a table with the rows that `name` has now and a branch BRANCH; gives its name. One at a time.

    Nothing done to it touches `name`, and nothing of it stays. What a killed one left is replaced by the next. Raises
    SchemaHubError when another one takes too long.
    """
    from pyiceberg.serializers import ToOutputFile

    stand_in = f"{name}{SUFFIX}"
    with publish_lock(lake.settings, stand_in, run_id) as held:
        if not held:
            raise SchemaHubError(f"something is being tried on {name} already; nothing was done, run again later")
        _drop(lake, stand_in)
        found = loaded(lake, name)
        metadata = _apart(found.metadata)
        file = f"{metadata.location}/metadata/00000-{metadata.table_uuid}.metadata.json"
        ToOutputFile.table_metadata(metadata, found.io.new_output(file))
        try:
            registered = lake.catalog.register_table((lake.settings.database, stand_in), file)
            snapshot = registered.metadata.current_snapshot_id
            assert snapshot is not None
            with registered.manage_snapshots() as changes:
                changes.create_branch(snapshot, BRANCH)
            yield stand_in
        finally:
            _drop(lake, stand_in)
            _delete(found.io, metadata.location)


def _apart(metadata: TableMetadata) -> TableMetadata:
    """The table's present state alone, in another place, and told never to delete a file: they are not its own."""
    snapshot = metadata.current_snapshot()
    return metadata.model_copy(
        update={
            "table_uuid": uuid4(),
            "location": f"{metadata.location}{SUFFIX}",
            "properties": {**metadata.properties, "gc.enabled": "false"},
            "snapshots": [snapshot],
            "refs": {name: ref for name, ref in metadata.refs.items() if name == "main"},
            "snapshot_log": [],
            "metadata_log": [],
            "statistics": [],
            "partition_statistics": [],
        }
    )


def _drop(lake: Lake, stand_in: str) -> None:
    from pyiceberg.exceptions import NoSuchTableError

    with suppress(NoSuchTableError):
        lake.catalog.drop_table((lake.settings.database, stand_in))


def _delete(io: Any, location: str) -> None:
    from pyiceberg.io.pyarrow import PyArrowFileIO

    scheme, netloc, path = PyArrowFileIO.parse_location(location)
    io.fs_by_scheme(scheme, netloc).delete_dir(path)
