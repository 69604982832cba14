"""A query run by DuckDB over the tables' own files, in this process."""

from __future__ import annotations

import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from schemahub_lib.aws import refusal
from schemahub_lib.errors import SchemaHubError, UsageError

if TYPE_CHECKING:
    import duckdb
    import pyarrow as pa
    from pyiceberg.manifest import DataFile
    from pyiceberg.table import Table as IcebergTable

    from schemahub_lib.pipeline.query import Limits


def answer(
    sql: str,
    tables: Mapping[str, tuple[IcebergTable, int | None]],
    parameters: Mapping[str, Any] | None,
    limits: Limits | None,
) -> pa.Table:
    """The rows of one SELECT in DuckDB's dialect, at most one more than `limits` allow. It sees these tables alone, by
    these names, each at a snapshot or, with None, as main is. Raises UsageError when it does not run, SchemaHubError
    beyond `limits` and where S3 refuses."""
    import duckdb

    # What memory does not hold DuckDB would lay where the program runs.
    config: dict[str, Any] = {"temp_directory": f"{tempfile.gettempdir()}/schemahub-query"}
    if limits:
        config |= {"memory_limit": f"{limits.megabytes}MB", "max_temp_directory_size": f"{limits.megabytes}MB"}
    connection = duckdb.connect(config=config)
    for setting in ("TimeZone = 'UTC'", "python_enable_replacements = false", "enable_external_access = false"):
        connection.execute(f"SET {setting}")
    try:
        for name, (table, head) in tables.items():
            connection.register(name, _readable(name, table, head))
        found = connection.sql(sql, params=parameters)
        return _within(limits, connection, found) if limits else found.to_arrow_table()
    except duckdb.Error as error:
        if refused := refusal(error):
            raise SchemaHubError(refused) from error
        raise UsageError(f"the query does not run: {error}") from None
    finally:
        connection.close()


def _within(limits: Limits, connection: duckdb.DuckDBPyConnection, answer: duckdb.DuckDBPyRelation) -> pa.Table:
    import duckdb

    try:
        with _interrupting(connection, limits.seconds):
            return answer.limit(limits.rows + 1).to_arrow_table()
    except duckdb.InterruptException:
        raise limits.too_slow() from None
    except duckdb.OutOfMemoryException:
        raise SchemaHubError(f"the query needs more than {limits.megabytes} MB of memory and was stopped") from None


@contextmanager
def _interrupting(connection: duckdb.DuckDBPyConnection, seconds: float) -> Iterator[None]:
    """A block in which what the connection does is interrupted after so many seconds."""
    done = threading.Event()

    def interrupt() -> None:
        wait = seconds
        while not done.wait(wait):
            connection.interrupt()
            wait = 0.1  # again: one that comes before the query begins is lost

    watch = threading.Thread(target=interrupt, name="query-limit", daemon=True)
    watch.start()
    try:
        yield
    finally:
        done.set()
        watch.join()


def _readable(name: str, table: IcebergTable, snapshot_id: int | None) -> Any:
    """What DuckDB reads by this name: the table's rows, or what Iceberg knows of it."""
    _, asked, kind = name.partition("$")
    if not asked:
        return dataset(table, snapshot_id)
    if kind not in METADATA:
        raise UsageError(f"there is no {name}: of a table's metadata there are {', '.join(METADATA)}")
    return METADATA[kind](table, snapshot_id)


def _files(table: IcebergTable, snapshot_id: int | None) -> pa.Table:
    """The files of a snapshot: what kind they are (0: of rows), where they are and how large. pyiceberg's own reading
    fails where there are none, and takes apart every column's bounds."""
    import pyarrow as pa

    snapshot = table.current_snapshot() if snapshot_id is None else table.snapshot_by_id(snapshot_id)
    manifests = snapshot.manifests(table.io) if snapshot is not None else []
    files = [entry.data_file for manifest in manifests for entry in manifest.fetch_manifest_entry(table.io)]
    columns = {
        "content": pa.array([int(file.content) for file in files], pa.int32()),
        "file_path": pa.array([file.file_path for file in files], pa.string()),
        "file_format": pa.array([file.file_format.value for file in files], pa.string()),
        "record_count": pa.array([file.record_count for file in files], pa.int64()),
        "file_size_in_bytes": pa.array([file.file_size_in_bytes for file in files], pa.int64()),
    }
    return pa.table(columns)


def _snapshots(table: IcebergTable, _: int | None) -> pa.Table:
    """All that are kept, whichever is read. pyiceberg tells their times in UTC without saying so."""
    import pyarrow as pa

    found = table.inspect.snapshots()
    at = found.schema.get_field_index("committed_at")
    return found.set_column(at, "committed_at", found["committed_at"].cast(pa.timestamp("us", "UTC")))


# By the names that Athena and Trino have for them.
METADATA: Mapping[str, Callable[[IcebergTable, int | None], pa.Table]] = {"files": _files, "snapshots": _snapshots}


def dataset(table: IcebergTable, snapshot_id: int | None = None) -> Any:
    """The table's rows for DuckDB or Arrow: files read lazily, so that columns and filters are pushed down."""
    from pyiceberg.io.pyarrow import schema_to_pyarrow

    scan = table.scan(snapshot_id=snapshot_id)
    tasks = list(scan.plan_files())
    if any(task.delete_files for task in tasks):
        return scan.to_arrow()
    if not tasks:
        return schema_to_pyarrow(table.schema(), include_field_ids=False).empty_table()
    return parquet(table, [task.file for task in tasks])


def parquet(table: IcebergTable, files: Sequence[DataFile]) -> Any:
    """Some of a table's data files (at least one) as an Arrow dataset with the table's columns. A filter on the columns
    the table is sorted by leaves files alone that hold nothing for it: not even their footers are read."""
    import pyarrow.dataset as ds
    from pyiceberg.io.pyarrow import PyArrowFileIO, schema_to_pyarrow

    scheme, bucket, _ = PyArrowFileIO.parse_location(files[0].file_path)
    store = PyArrowFileIO(table.io.properties).fs_by_scheme(scheme, bucket)
    schema = schema_to_pyarrow(table.schema(), include_field_ids=False)
    kind = ds.ParquetFileFormat()
    fragments = [
        kind.make_fragment(PyArrowFileIO.parse_location(file.file_path)[2], store, _holds(table, file, schema))
        for file in files
    ]
    return ds.FileSystemDataset(fragments, schema, kind, store)


def _holds(table: IcebergTable, file: DataFile, schema: pa.Schema) -> Any:
    """What is true of every row of a file, as its manifest tells: between which values its sort columns are."""
    import pyarrow as pa
    import pyarrow.dataset as ds
    from pyiceberg.conversions import from_bytes

    true = ds.scalar(True)
    lows, highs, nulls = file.lower_bounds or {}, file.upper_bounds or {}, file.null_value_counts or {}
    for field in (sorting.source_id for sorting in table.sort_order().fields):
        if field in lows and field in highs and nulls.get(field) == 0:
            column = schema.field(table.schema().find_column_name(field))
            kind: Any = table.schema().find_type(field)
            low, high = (pa.scalar(from_bytes(kind, bounds[field]), column.type) for bounds in (lows, highs))
            true = true & (ds.field(column.name) >= low) & (ds.field(column.name) <= high)
    return true
