"""One read-only SQL query over the lake's tables, by DuckDB over the tables' own files: no JVM, answers in a moment."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from schemahub_lib.aws import refusal
from schemahub_lib.errors import SchemaHubError, UsageError
from schemahub_lib.pipeline.publishes import head_as_of
from schemahub_lib.tables.lake import Lake
from schemahub_lib.tables.named import existing, what_there_is

if TYPE_CHECKING:
    import duckdb
    import pyarrow as pa
    from pyiceberg.manifest import DataFile
    from pyiceberg.table import Table as IcebergTable

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Limits:
    """What a query may take: rows of its answer, seconds once its tables are found, megabytes of memory."""

    rows: int
    seconds: float
    megabytes: int


PAGE = Limits(rows=100_000, seconds=30, megabytes=2048)  # of what a page of `schemahub ui` asks


def query(
    lake: Lake,
    sql: str,
    as_of: datetime | None = None,
    ref: str | None = None,
    parameters: Mapping[str, Any] | None = None,
    *,
    dialect: str = "duckdb",
    limits: Limits | None = None,
) -> pa.Table:
    """Run one SELECT over the tables it names; times are UTC, `parameters` the values of its $names.

    It is written in `dialect`, one of sqlglot's. `"table$files"` and `"table$snapshots"` are what Iceberg knows of a
    table, as in Athena. Tables are read as main is, as readers of main saw them `as_of` a time, or at the branch or tag
    `ref`; a table that has no such ref is read as main is, if another one has it. Raises UsageError when it is not a
    single query, names a table, a time or a ref that is not there, or does not run; SchemaHubError beyond `limits`.
    """
    import duckdb
    from sqlglot import exp

    if as_of is not None and ref is not None:
        raise UsageError("--as-of and --ref each say which state of the tables to read: give one of them")
    tree = _parse(sql, dialect)
    rewritten = dialect != "duckdb"
    common = {cte.alias_or_name for cte in tree.find_all(exp.CTE)}
    tables: dict[str, IcebergTable] = {}
    for node in tree.find_all(exp.Table):
        qualified = bool(node.args.get("db"))
        if not node.name or (node.name in common and not qualified):
            continue
        tables[node.name] = existing(lake, node.name.partition("$")[0])
        if qualified:  # catalog.database.table as in Spark and Athena: the name alone is known below
            node.set("db", None)
            node.set("catalog", None)
            rewritten = True
    if rewritten:
        sql = tree.sql(dialect="duckdb")
    heads = _heads(tables, as_of, ref)
    connection = duckdb.connect(config={"memory_limit": f"{limits.megabytes}MB"} if limits else {})
    for setting in ("TimeZone = 'UTC'", "python_enable_replacements = false", "enable_external_access = false"):
        connection.execute(f"SET {setting}")
    try:
        for name, table in tables.items():
            connection.register(name, _readable(name, table, heads[name]))
        answer = connection.sql(sql, params=parameters)
        return _within(limits, connection, answer) if limits else answer.to_arrow_table()
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
            rows = answer.limit(limits.rows + 1).to_arrow_table()
    except duckdb.InterruptException:
        raise SchemaHubError(f"the query took longer than {limits.seconds:g} s and was stopped") from None
    except duckdb.OutOfMemoryException:
        raise SchemaHubError(f"the query needs more than {limits.megabytes} MB of memory and was stopped") from None
    if rows.num_rows > limits.rows:
        raise SchemaHubError(f"the answer has more than {limits.rows:,} rows")
    return rows


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


def _heads(tables: Mapping[str, IcebergTable], as_of: datetime | None, ref: str | None) -> Mapping[str, int | None]:
    """The snapshot at which each table is read; None for main's head."""
    if as_of is not None:
        return {name: head_as_of(table, as_of) for name, table in tables.items()}
    if ref is None:
        return dict.fromkeys(tables)
    heads = {name: table.refs()[ref].snapshot_id if ref in table.refs() else None for name, table in tables.items()}
    without = [name for name, head in heads.items() if head is None]
    if len(without) == len(tables):
        known = {name for table in tables.values() for name in table.refs()} or {"main"}
        raise UsageError(f"no table of this query has a branch or tag {ref}: {what_there_is(ref, known)}")
    if without:
        log.info("read as on main, for want of a branch or tag %s: %s", ref, ", ".join(without))
    return heads


def _parse(sql: str, dialect: str) -> Any:
    import sqlglot
    from sqlglot import exp
    from sqlglot.errors import SqlglotError

    try:
        statements = sqlglot.parse(sql, dialect=dialect)
    except SqlglotError as error:
        raise UsageError(f"the query cannot be read: {str(error).splitlines()[0]}") from None
    if len(statements) != 1 or not isinstance(statements[0], exp.Query):
        raise UsageError("expected one SELECT: `query` only reads")
    return statements[0]


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
