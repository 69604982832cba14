"""The lake: one catalog, its tables, and a Spark session that starts only when somebody writes.

Tables, ledgers and raw rows go through pyiceberg, without a JVM; Spark merges into the unified tables. Both speak to
the same catalog with the same settings.
"""

from __future__ import annotations

import logging
import sqlite3
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import closing
from datetime import UTC, datetime, timedelta
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from schemahub_lib.config import Settings
from schemahub_lib.errors import UsageError, words
from schemahub_lib.schemas import TARGETS, Table
from schemahub_lib.tables.commits import retrying
from schemahub_lib.tables.session import catalog_properties, start_spark
from schemahub_lib.tables.types import arrow_schema, iceberg_schema, partition_spec, sort_order

if TYPE_CHECKING:
    import pyarrow as pa
    from pyiceberg.catalog import Catalog
    from pyiceberg.table import Table as IcebergTable
    from pyspark.sql import SparkSession

log = logging.getLogger(__name__)

TABLE_PROPERTIES = {
    "format-version": "2",
    "write.parquet.compression-codec": "zstd",
    # Spark's own level; pyiceberg's is 1. These and the next were measured: docs/storage.md.
    "write.parquet.compression-level": "3",
    # For 2 MiB: ids, times and prices seldom come again, and a small dictionary is given up for them soon. A day of a
    # million trades takes 8.2 MB instead of 9.1 by Spark, 7.8 instead of 9.6 by pyiceberg.
    "write.parquet.dict-size-bytes": str(16 * 2**10),
    # A quarter of Iceberg's: a day of trades still makes several files that readers share out, and packing one day
    # holds its table's publish lock for seconds.
    "write.target-file-size-bytes": str(128 * 2**20),
    "write.metadata.delete-after-commit.enabled": "true",
    "write.metadata.previous-versions-max": "50",
    "commit.manifest-merge.enabled": "true",
    # For range, which the sort order would bring. `none` writes four times the files; it takes as long for half an hour
    # of trades, two thirds for a day of them.
    "write.distribution-mode": "hash",
    "commit.retry.num-retries": "20",
    "commit.retry.min-wait-ms": "50",
}

# For the unified tables, which only Spark writes: pyiceberg warns of the first and misunderstands the second.
UNIFIED_PROPERTIES = {
    # For 128 MiB, by which a day is one row group, read as a whole for any symbol. Counted before compression: these
    # are 65,000 trades in 0.5 MB, and one symbol's day reads 7 to 27 % of a million trades.
    "write.parquet.row-group-size-bytes": str(6 * 2**20),
    "write.parquet.page-row-limit": "100000",  # for 20,000: zstd finds more, 7.8 MB instead of 8.2
}

LEDGER_SNAPSHOTS = 100
LEDGER_HISTORY = timedelta(hours=1)  # longer than any reader takes

# For ledgers whose parts are replaced: a commit that comes second must look at the rows again, see update_partition.
LOOKED_AT_AGAIN = {"commit.retry.num-retries": "0"}

# The catalog tables of Iceberg's JdbcCatalog, schema version V1. Created here and not by the JVM, which would keep a
# read lock after creating them: a second process then dies with SQLITE_BUSY.
_SQLITE_TABLES = (
    "CREATE TABLE IF NOT EXISTS iceberg_tables (catalog_name VARCHAR(255) NOT NULL, table_namespace VARCHAR(255)"
    " NOT NULL, table_name VARCHAR(255) NOT NULL, metadata_location VARCHAR(1000), previous_metadata_location"
    " VARCHAR(1000), iceberg_type VARCHAR(5), PRIMARY KEY (catalog_name, table_namespace, table_name))",
    "CREATE TABLE IF NOT EXISTS iceberg_namespace_properties (catalog_name VARCHAR(255) NOT NULL, namespace"
    " VARCHAR(255) NOT NULL, property_key VARCHAR(255) NOT NULL, property_value VARCHAR(1000),"
    " PRIMARY KEY (catalog_name, namespace, property_key))",
)


class Lake:
    """The catalog of `settings` and everything reached through it. Thread-safe."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self._spark: SparkSession | None = None
        self._owns_spark = False
        self._spark_lock = threading.Lock()
        self._warming = False

    @property
    def spark(self) -> SparkSession:
        """The Spark session, started at first use and made the calling thread's own."""
        with self._spark_lock:
            if self._spark is None:
                from pyspark import SparkContext

                self._owns_spark = SparkContext._active_spark_context is None
                self._spark = start_spark(self.settings)
            # Iceberg looks catalogs up in the calling thread's active session, not in the one it is called on.
            jvm: Any = self._spark._jvm
            jvm.org.apache.spark.sql.SparkSession.setActiveSession(self._spark._jsparkSession)
            return self._spark

    def warm_up(self) -> None:
        """Begin to start the Spark session in the background, for a caller that will need it soon."""
        if self._spark is None and not self._warming:
            self._warming = True

            def start() -> None:
                try:
                    _ = self.spark
                except Exception as error:  # noqa: BLE001 - whoever needs the session meets the same error
                    log.debug("Spark did not start: %s", error)

            threading.Thread(target=start, name="spark-start", daemon=True).start()

    def identifier(self, table: str, branch: str | None = None) -> str:
        """`catalog.database.table[.branch_…]`, quoted for Spark SQL. Only this form writes to a branch."""
        parts = [self.settings.catalog, self.settings.database, table]
        if branch:
            parts.append(f"branch_{branch}")
        return ".".join(f"`{part}`" for part in parts)

    @cached_property
    def catalog(self) -> Catalog:
        """The pyiceberg catalog; a local one is created when missing. Raises UsageError when it cannot be opened."""
        if self.settings.profile == "local":
            return self._local_catalog()
        from pyiceberg.catalog import load_catalog

        java = catalog_properties(self.settings)
        env = self.settings.environment
        properties = {"type": self.settings.profile, "warehouse": self.settings.warehouse}
        if self.settings.profile == "rest":
            properties |= {key: java[key] for key in ("uri", "token") if key in java}
        for ours, theirs in (
            ("s3.endpoint", "s3.endpoint"),
            ("glue.endpoint", "glue.endpoint"),
            ("client.region", "client.region"),
        ):
            if ours in java:
                properties[theirs] = java[ours]
        if key := env.get("AWS_ACCESS_KEY_ID"):
            properties |= {
                "client.access-key-id": key,
                "client.secret-access-key": env.get("AWS_SECRET_ACCESS_KEY", ""),
            }
            if token := env.get("AWS_SESSION_TOKEN"):
                properties["client.session-token"] = token
        return load_catalog(self.settings.catalog, **properties)

    def _local_catalog(self) -> Catalog:
        from pyiceberg.catalog.sql import SqlCatalog

        file = self.settings.catalog_file
        try:
            file.parent.mkdir(parents=True, exist_ok=True)
            _create_sqlite_tables(file)
        except (OSError, sqlite3.Error) as error:
            raise UsageError(f"the warehouse {file.parent} cannot be opened: {words(error)}") from error
        return SqlCatalog(
            self.settings.catalog,
            uri=f"sqlite:///{file}?timeout=30",
            warehouse=self.settings.warehouse,
            init_catalog_tables="false",
        )

    def exists(self) -> bool:
        """Whether the warehouse is there at all; asked by commands that only read, which must not create one."""
        return self.settings.profile != "local" or self.settings.catalog_file.exists()

    def find(self, name: str) -> IcebergTable | None:
        """The table's present metadata, read afresh; None when there is no such table. Raises UsageError when the
        catalog names metadata that is not there."""
        from pyiceberg.exceptions import NoSuchNamespaceError, NoSuchTableError

        if not self.exists():
            return None
        try:
            return self.catalog.load_table((self.settings.database, name))
        except (NoSuchTableError, NoSuchNamespaceError):
            return None
        except FileNotFoundError as error:
            raise UsageError(
                f"the catalog in {self.settings.warehouse} names a file of {name} that is not there ({error}): a "
                "warehouse holds absolute paths and cannot be moved or renamed; move it back, or start a new one"
            ) from error

    def table_names(self) -> list[str]:
        """The tables there are; none when the warehouse or the database does not exist yet."""
        from pyiceberg.exceptions import NoSuchNamespaceError

        if not self.exists():
            return []
        try:
            return sorted(name for *_, name in self.catalog.list_tables(self.settings.database))
        except NoSuchNamespaceError:
            return []

    def ensure(self, table: Table) -> IcebergTable:
        """The table, created with its first (empty) snapshot when missing, and with all its columns: an older version
        made it with fewer, and rows of that time have nulls there. Safe to race with other processes."""
        found = self.find(table.name)
        if found is None or found.metadata.current_snapshot_id is None:
            self._create(table)
            found = self._settled(table, _begin)
        if not set(table.column_names) <= set(found.schema().column_names):
            found = self._settled(table, _complete)
        return found

    def _settled(self, table: Table, change: Callable[[IcebergTable, Table], None]) -> IcebergTable:
        """The table as it is once `change` is made to it, by this process or another one."""

        def load() -> IcebergTable:
            return self.catalog.load_table((self.settings.database, table.name))

        retrying(load, lambda found: change(found, table))
        return load()

    def _create(self, table: Table) -> None:
        from pyiceberg.exceptions import NamespaceAlreadyExistsError, TableAlreadyExistsError

        # A racing process may be the one that creates either; SQLite then reports its primary key.
        already: tuple[type[Exception], ...] = (NamespaceAlreadyExistsError, TableAlreadyExistsError)
        if self.settings.profile == "local":
            from sqlalchemy.exc import IntegrityError

            already = (*already, IntegrityError)
        schema = iceberg_schema(table)
        try:
            self.catalog.create_namespace_if_not_exists(self.settings.database)
        except already:
            log.debug("namespace %s was created by another process", self.settings.database)
        try:
            self.catalog.create_table(
                (self.settings.database, table.name),
                schema,
                partition_spec=partition_spec(table, schema),
                sort_order=sort_order(table, schema),
                properties=TABLE_PROPERTIES
                | (LOOKED_AT_AGAIN if table.partition_by else {})
                | (UNIFIED_PROPERTIES if table.name in TARGETS else {}),
            )
        except already:
            log.debug("table %s was created by another process", table.name)

    def append(self, table: Table, rows: Iterable[Mapping[str, Any]]) -> None:
        """Append rows (dicts by column name) to a ledger table."""
        batch = _to_rows(table, rows)
        if batch.num_rows:
            ledger = self.ensure(table)
            ledger.append(batch)
            _forget(ledger)

    def partition(self, table: Table, value: str) -> list[dict[str, Any]]:
        """The rows of a ledger whose identity partition equals `value`; none when there is no such table yet."""
        found = self.find(table.name)
        if found is None:
            return []
        rows: list[dict[str, Any]] = found.scan(row_filter=_in_partition(table, value)).to_arrow().to_pylist()
        return rows

    def update_partition(
        self, table: Table, value: str, change: Callable[[list[dict[str, Any]]], Iterable[Mapping[str, Any]] | None]
    ) -> None:
        """Replace the rows of a ledger whose identity partition equals `value` by what `change` makes of them; None
        leaves them. When another writer comes between, `change` is called again with the rows as they are by then.
        """
        part = _in_partition(table, value)

        def update(found: IcebergTable) -> IcebergTable:
            old = found.scan(row_filter=part).to_arrow()
            rows = change(old.to_pylist())
            if rows is not None:
                with found.transaction() as transaction:
                    if old.num_rows:
                        transaction.delete(part)
                    transaction.append(_to_rows(table, rows))
            return found

        _forget(retrying(lambda: self.ensure(table), update))

    def close(self) -> None:
        """Stop Spark, if this lake started it."""
        with self._spark_lock:
            if self._spark is not None and self._owns_spark:
                self._spark.stop()
            self._spark = None


def _begin(created: IcebergTable, table: Table) -> None:
    # An empty first snapshot, so that every later publish has a head to branch from and a fence to pass.
    if created.metadata.current_snapshot_id is None:
        created.append(arrow_schema(table).empty_table())


def _complete(found: IcebergTable, table: Table) -> None:
    with found.update_schema() as update:
        update.union_by_name(iceberg_schema(table))


def _forget(ledger: IcebergTable) -> None:
    """Expire a ledger's old snapshots: nobody reads them, and every commit takes longer for each that is kept."""
    if len(ledger.metadata.snapshots) > LEDGER_SNAPSHOTS:
        try:
            ledger.maintenance.expire_snapshots().older_than(datetime.now(UTC) - LEDGER_HISTORY).commit()
        except Exception as error:  # noqa: BLE001 - what was written is written; the next commit tries again
            log.debug("%s: old snapshots stay for now: %s", ledger.name()[-1], error)


def _create_sqlite_tables(file: Path) -> None:
    with closing(sqlite3.connect(file, timeout=30)) as connection, connection:
        # Two processes switching a new file to WAL at once: one gets 'locked' at once, whatever the timeout.
        for _ in range(100):
            try:
                connection.execute("PRAGMA journal_mode=WAL")
                break
            except sqlite3.OperationalError:
                time.sleep(0.05)
        for statement in _SQLITE_TABLES:
            connection.execute(statement)


def _to_rows(table: Table, rows: Iterable[Mapping[str, Any]]) -> pa.Table:
    import pyarrow as pa

    return pa.Table.from_pylist([dict(row) for row in rows], schema=arrow_schema(table))


def _in_partition(table: Table, value: str) -> Any:
    from pyiceberg.expressions import EqualTo

    assert table.partition_by is not None
    return EqualTo(table.partition_by, value)  # type: ignore[call-arg,arg-type]
