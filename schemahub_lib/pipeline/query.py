"""One read-only SQL query over the lake's tables: by DuckDB over the tables' own files, or by Athena where the settings
say so. Neither starts a JVM here."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from schemahub_lib.errors import SchemaHubError, UsageError
from schemahub_lib.pipeline import athena, duckdb
from schemahub_lib.pipeline.publishes import head_as_of
from schemahub_lib.tables.lake import Lake
from schemahub_lib.tables.named import existing, what_there_is

if TYPE_CHECKING:
    import pyarrow as pa
    from pyiceberg.table import Table as IcebergTable

log = logging.getLogger(__name__)

Parameter = str | int | float | datetime

# Of the program's own statements: Athena runs them as they are written, DuckDB transpiled.
DIALECT = "athena"


@dataclass(frozen=True)
class Limits:
    """What a query may take: rows of its answer, seconds once its tables are found, megabytes of memory, which Athena
    has no limit of."""

    rows: int
    seconds: float
    megabytes: int

    def too_slow(self) -> SchemaHubError:
        return SchemaHubError(f"the query took longer than {self.seconds:g} s and was stopped")


PAGE = Limits(rows=100_000, seconds=30, megabytes=2048)  # of what a page of `schemahub ui` asks


def query(
    lake: Lake,
    sql: str,
    as_of: datetime | None = None,
    ref: str | None = None,
    parameters: Mapping[str, Parameter] | None = None,
    *,
    dialect: str | None = None,
    limits: Limits | None = None,
) -> pa.Table:
    """Run one SELECT over the tables it names; times are UTC, `parameters` the values of what it calls :name ($name in
    DuckDB's dialect).

    It is written in `dialect`, one of sqlglot's; without one in that of the engine which runs it. `"table$files"` and
    `"table$snapshots"` are what Iceberg knows of a table, as in Athena. Tables are read as main is, as readers of main
    saw them `as_of` a time, or at the branch or tag `ref`; a table that has no such ref is read as main is, if another
    one has it. Raises UsageError when it is not a single query, names a table, a time or a ref that is not there, or
    does not run; SchemaHubError beyond `limits`, and where AWS refuses.
    """
    from sqlglot import exp

    if as_of is not None and ref is not None:
        raise UsageError("--as-of and --ref each say which state of the tables to read: give one of them")
    workgroup = lake.settings.athena_workgroup
    dialect = dialect or ("athena" if workgroup else "duckdb")
    tree = _parse(sql, dialect)
    common = {cte.alias_or_name for cte in tree.find_all(exp.CTE)}
    nodes = [node for node in tree.find_all(exp.Table) if node.name and (node.db or node.name not in common)]
    tables = {node.name: existing(lake, node.name.partition("$")[0]) for node in nodes}
    heads = _heads(tables, as_of, ref)
    if workgroup:
        for node in nodes:
            athena.place(node, lake.settings.database, heads[node.name])
        rows = athena.answer(workgroup, tree, parameters or {}, limits)
    else:
        if dialect != "duckdb" or any(node.db for node in nodes):
            for node in nodes:  # catalog.database.table as in Spark and Athena: DuckDB is told the name alone
                node.set("db", None)
                node.set("catalog", None)
            sql = tree.sql(dialect="duckdb")
        rows = duckdb.answer(sql, {name: (table, heads[name]) for name, table in tables.items()}, parameters, limits)
    if limits and rows.num_rows > limits.rows:
        raise SchemaHubError(f"the answer has more than {limits.rows:,} rows")
    return rows


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
