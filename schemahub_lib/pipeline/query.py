"""One read-only SQL query over the lake's tables, by DuckDB over the tables' own files: no JVM, answers in a moment."""

from __future__ import annotations

import difflib
from datetime import datetime
from typing import TYPE_CHECKING, Any

from schemahub_lib.errors import UsageError
from schemahub_lib.tables.lake import Lake

if TYPE_CHECKING:
    import pyarrow as pa
    from pyiceberg.table import Table as IcebergTable


def query(lake: Lake, sql: str, as_of: datetime | None = None) -> pa.Table:
    """Run one SELECT (DuckDB's SQL) over the tables it names, as they are or as they were; times are UTC.

    Raises UsageError when it is not a single query, names a table that is not there, or does not run.
    """
    import duckdb
    from sqlglot import exp

    tree = _parse(sql)
    common = {cte.alias_or_name for cte in tree.find_all(exp.CTE)}
    connection = duckdb.connect()
    for setting in ("TimeZone = 'UTC'", "python_enable_replacements = false", "enable_external_access = false"):
        connection.execute(f"SET {setting}")
    try:
        for node in tree.find_all(exp.Table):
            qualified = bool(node.args.get("db"))
            if not node.name or (node.name in common and not qualified):
                continue
            table = lake.find(node.name)
            if table is None:
                raise UsageError(_no_such_table(lake, node.name))
            connection.register(node.name, dataset(table, as_of))
            if qualified:  # catalog.database.table as in Spark and Athena: the name alone is known here
                node.set("db", None)
                node.set("catalog", None)
                sql = tree.sql(dialect="duckdb")
        return connection.sql(sql).to_arrow_table()
    except duckdb.Error as error:
        raise UsageError(f"the query does not run: {error}") from None
    finally:
        connection.close()


def _parse(sql: str) -> Any:
    import sqlglot
    from sqlglot import exp
    from sqlglot.errors import SqlglotError

    try:
        statements = sqlglot.parse(sql, dialect="duckdb")
    except SqlglotError as error:
        raise UsageError(f"the query cannot be read: {str(error).splitlines()[0]}") from None
    if len(statements) != 1 or not isinstance(statements[0], exp.Query):
        raise UsageError("expected one SELECT: `query` only reads")
    return statements[0]


def _no_such_table(lake: Lake, name: str) -> str:
    present = lake.table_names()
    if not present:
        return (
            f"there is no table {name}: the warehouse {lake.settings.warehouse} holds none yet; run the pipeline first"
        )
    near = difflib.get_close_matches(name, present, n=1)
    hint = f"did you mean {near[0]}? " if near else ""
    return f"there is no table {name}: {hint}there are {', '.join(sorted(present))}"


def dataset(table: IcebergTable, as_of: datetime | None = None) -> Any:
    """The table's rows for DuckDB or Arrow: files read lazily, so that columns and filters are pushed down."""
    import pyarrow.dataset as ds
    from pyiceberg.io.pyarrow import PyArrowFileIO, schema_to_pyarrow

    snapshot_id = None
    if as_of is not None:
        then = table.snapshot_as_of_timestamp(int(as_of.timestamp() * 1000))
        if then is None:
            raise UsageError(f"{table.name()[-1]} did not exist at {as_of:%Y-%m-%d %H:%M:%S} UTC, or that is expired")
        snapshot_id = then.snapshot_id
    scan = table.scan(snapshot_id=snapshot_id)
    tasks = list(scan.plan_files())
    if any(task.delete_files for task in tasks):
        return scan.to_arrow()
    schema = schema_to_pyarrow(table.schema(), include_field_ids=False)
    if not tasks:
        return schema.empty_table()
    io = PyArrowFileIO(table.io.properties)
    scheme, bucket, _ = PyArrowFileIO.parse_location(tasks[0].file.file_path)
    paths = [PyArrowFileIO.parse_location(task.file.file_path)[2] for task in tasks]
    return ds.dataset(paths, schema=schema, format="parquet", filesystem=io.fs_by_scheme(scheme, bucket))
