"""How a table's files are best laid out, measured on tables that Spark wrote: row groups, files, partitions, deletes.

Bytes, files and row groups are exact; CPU is the JVM's, told as ratios within a run, medians of three taken in turns.
"""

from __future__ import annotations

import gzip
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from statistics import median

import duckdb

from schemahub_lib.pipeline.query import query
from schemahub_lib.schemas import TRADES_UNIFIED
from schemahub_lib.tables.due import COLD, KEEP, due, figures
from schemahub_lib.tables.lake import TABLE_PROPERTIES, UNIFIED_PROPERTIES, Lake
from schemahub_lib.tables.maintenance import rewrite_partition
from tests.bench.reading import Reads, cpu, jvm, reads
from tests.bench.unified_tables import (
    A_DAY,
    LARGEST,
    LAST,
    MIDDLE,
    day,
    new_lake,
    row_groups,
    trades_sql,
)

NAME = TRADES_UNIFIED.name
OURS = TABLE_PROPERTIES | UNIFIED_PROPERTIES
PLAIN = {"write.parquet.compression-codec": "zstd", "write.target-file-size-bytes": str(128 * 2**20)}
TIMES = 3
HALF_HOURS = 48
DICTIONARY, PAGE = "write.parquet.dict-size-bytes", "write.parquet.page-row-limit"
ROW_GROUP = "write.parquet.row-group-size-bytes"
CANDLE = ("trade_ts", "trade_id", "price", "quantity")  # what OHLCV needs
USD_A_BYTE = 5 / 1e12
LEAST_BYTES = 10 * 10**6  # that Athena bills for a query


@contextmanager
def _lake() -> Iterator[Lake]:
    with tempfile.TemporaryDirectory() as folder:
        lake = new_lake(folder)
        yield lake
        lake.close()


def _table(lake: Lake, name: str, properties: Mapping[str, str], partitions: str = "days(trade_ts)") -> str:
    """An empty table with the columns and the order of the unified one; its identifier."""
    identifier = lake.identifier(name)
    told = ", ".join(f"'{key}' = '{value}'" for key, value in properties.items())
    lake.spark.sql(
        f"CREATE TABLE {identifier} USING iceberg PARTITIONED BY ({partitions}) TBLPROPERTIES ({told}) "
        f"AS SELECT * FROM {lake.identifier(NAME)} LIMIT 0"
    )
    lake.spark.sql(f"ALTER TABLE {identifier} WRITE LOCALLY ORDERED BY {', '.join(TRADES_UNIFIED.sort_by)}")
    lake.spark.sql(f"ALTER TABLE {identifier} SET TBLPROPERTIES ('write.distribution-mode' = 'hash')")
    return identifier


def _insert(lake: Lake, identifier: str, first: int, rows: int) -> None:
    lake.spark.sql(f"INSERT INTO {identifier} {trades_sql(first, first + rows)}")


def _days(first: int, days: int = 1, hours: int | None = None) -> str:
    start, _ = day(first)
    end = start + (timedelta(hours=hours) if hours else timedelta(days=days))
    return f"trade_ts >= '{start.isoformat()}' AND trade_ts < '{end.isoformat()}'"


def _read(lake: Lake, name: str, where: str, columns: tuple[str, ...] = CANDLE) -> int:
    """The bytes that pyiceberg reads for it, metadata and all."""

    def scan() -> int:
        table = lake.find(name)
        assert table is not None
        return int(table.scan(where, selected_fields=columns).to_arrow().num_rows)

    return reads(scan, times=1).bytes


def _asked(lake: Lake, name: str, where: str) -> Reads:
    """What `schemahub query` reads for it."""
    sql = f"SELECT max(price), sum(quantity), max(trade_ts), max(trade_id) FROM {name} WHERE {where}"
    return reads(lambda: query(lake, sql).num_rows, times=1)


def _asked_in_spark(lake: Lake, name: str, symbol: str) -> Reads:
    sql = f"SELECT max(price), sum(quantity), max(trade_ts), max(trade_id) FROM {lake.identifier(name)}"
    return reads(lambda: len(lake.spark.sql(f"{sql} WHERE symbol = '{symbol}'").collect()), jvm(lake))


def storage_row_groups() -> None:
    """a day of 1M trades as Spark writes it: size, row groups, CPU to write it, what one symbol's day reads"""
    small = PLAIN | {DICTIONARY: str(16 * 2**10)}
    long_pages = small | {PAGE: "100000"}
    variants = {
        "Iceberg's own settings": PLAIN,
        "row groups of 6 MiB alone": PLAIN | {ROW_GROUP: str(6 * 2**20)},
        "dictionaries of 16 KiB": small,
        "and pages of 100,000 rows": long_pages,
        **{f"and row groups of {size} MiB": long_pages | {ROW_GROUP: str(size * 2**20)} for size in (16, 8, 6, 4, 1)},
        "SchemaHub's": OURS,
    }
    spent: dict[str, list[float]] = {name: [] for name in variants}
    with _lake() as lake:
        lake.spark.sql(trades_sql(0, A_DAY)).persist().createOrReplaceTempView("a_day")
        for turn in range(TIMES + 1):  # the first one warms up
            for number, (name, properties) in enumerate(variants.items()):
                identifier = _table(lake, f"t{turn}_{number}", properties)
                before = cpu(lake)
                lake.spark.sql(f"INSERT INTO {identifier} SELECT * FROM a_day")
                if turn:
                    spent[name].append(cpu(lake) - before)
        for number, name in enumerate(variants):
            table = f"t{TIMES}_{number}"
            _, groups, size = row_groups(lake, table)
            ratio = median(a / b for a, b in zip(spent[name], spent["Iceberg's own settings"], strict=True))
            print(
                f"  {name:28} {size / 1e6:5.2f} MB, {groups:2} row groups, CPU {ratio:.2f} x; of the day, read", end=""
            )
            for symbol in (LARGEST, MIDDLE, LAST):
                read = _read(lake, table, f"symbol = '{symbol}' AND {_days(0)}")
                print(f" {symbol} {read / size:.1%},", end="")
            print(f" Spark {MIDDLE} {_asked_in_spark(lake, table, MIDDLE).bytes / size:.1%}")


def storage_files() -> None:
    """a day that came in 48 half hours, as it is, packed and sorted: files, and what queries read"""
    with _lake() as lake:
        rows = A_DAY // HALF_HOURS
        for number in range(HALF_HOURS):
            _insert(lake, lake.identifier(NAME), number * rows, rows)
        _show_files(lake, f"{HALF_HOURS} microbatches")
        for age in (timedelta(0), COLD):
            table = lake.find(NAME)
            assert table is not None
            for partition in due(table, keep=KEEP, now=datetime.now(UTC) + age).partitions:
                rewrite_partition(lake, NAME, partition, "bench")
                _show_files(lake, str(partition))


def _show_files(lake: Lake, what: str) -> None:
    table = lake.find(NAME)
    assert table is not None
    size = figures(table)
    print(f"  {what}: {size.files} files, {size.bytes / 1e6:.2f} MB, {size.manifests} manifests")
    for name, where in (
        (f"{MIDDLE}, the day", f"symbol = '{MIDDLE}'"),
        (f"{MIDDLE}, an hour", f"symbol = '{MIDDLE}' AND {_days(0, hours=1)}"),
        ("all symbols, the day", "true"),
    ):
        found = _asked(lake, NAME, where)
        print(f"    {name:22} {found.bytes / 1e6:6.2f} MB in {found.calls:5} reads")


def storage_layouts() -> None:
    """days, days with buckets of symbols and hours: files of a microbatch, and what queries read of 4 days"""
    layouts = {
        "days(trade_ts)": "days(trade_ts)",
        "days(trade_ts), bucket(16, symbol)": "days(trade_ts), bucket(16, symbol)",
        "hours(trade_ts)": "hours(trade_ts)",
    }
    days = 4
    with _lake() as lake:
        for number, (name, partitions) in enumerate(layouts.items()):
            batch, table = f"b{number}", f"t{number}"
            _insert(lake, _table(lake, batch, OURS, partitions), 0, A_DAY // HALF_HOURS)
            files, _, size = row_groups(lake, batch)
            _insert(lake, _table(lake, table, OURS, partitions), 0, days * A_DAY)
            all_files, groups, all_bytes = row_groups(lake, table)
            print(
                f"  {name}: a microbatch is {files} files of {size / files / 1e3:.0f} kB, {size / 1e3:.0f} kB; "
                f"{days} days are {all_files} files, {groups} row groups, {all_bytes / 1e6:.1f} MB"
            )
            for told, where in (
                ("one symbol, one day", f"symbol = '{MIDDLE}' AND {_days(1)}"),
                ("the largest, one day", f"symbol = '{LARGEST}' AND {_days(1)}"),
                ("one symbol, one hour", f"symbol = '{MIDDLE}' AND {_days(1, hours=1)}"),
                ("all symbols, one day", _days(1)),
                ("all symbols, one hour", _days(1, hours=1)),
                ("one symbol, all time", f"symbol = '{MIDDLE}'"),
            ):
                read = _read(lake, table, where)
                print(f"    {told:22} {read / 1e6:6.2f} MB, {read / all_bytes:6.2%}")


def storage_deletes() -> None:
    """1,000 of a day's 1M trades deleted, copy-on-write and merge-on-read: written, and read for a symbol's day"""
    where = f"symbol = '{MIDDLE}' AND {_days(0)}"
    with _lake() as lake:
        for mode in ("copy-on-write", "merge-on-read"):
            name = mode.replace("-", "_")
            identifier = _table(lake, name, OURS | {"write.delete.mode": mode})
            _insert(lake, identifier, 0, 2 * A_DAY)
            before = _read(lake, name, where)
            of_the_day = f"trade_ts < TIMESTAMP '{day(1)[0]:%Y-%m-%d} 00:00:00Z'"
            lake.spark.sql(
                f"DELETE FROM {identifier} WHERE {of_the_day} AND pmod(xxhash64(symbol, trade_id), 1000) = 0"
            )
            (row,) = lake.spark.sql(
                f"SELECT summary FROM {identifier}.snapshots ORDER BY committed_at DESC LIMIT 1"
            ).collect()
            told = {
                key: int(row[0].get(key, 0)) for key in ("added-files-size", "added-data-files", "added-delete-files")
            }
            print(
                f"  {mode}: {told['added-files-size'] / 1e6:.2f} MB written, {told['added-data-files']} data files, "
                f"{told['added-delete-files']} delete files; {MIDDLE}'s day by pyiceberg {before / 1e6:.2f} MB before, "
                f"{_read(lake, name, where) / 1e6:.2f} MB after, by schemahub query "
                f"{_asked(lake, name, where).bytes / 1e6:.2f} MB"
            )


def storage_athena() -> None:
    """what Athena would bill (5 USD a TB, 10 MB a query at least) for a year of 1M trades a day, from 4 days' bytes"""
    days, year = 4, 365
    with _lake() as lake, tempfile.TemporaryDirectory() as folder:
        _insert(lake, lake.identifier(NAME), 0, days * A_DAY)
        lines = _json_lines(lake, Path(folder))
        for told, where, columns, scale in (
            ("one symbol, one hour, OHLCV", f"symbol = '{MIDDLE}' AND {_days(1, hours=1)}", CANDLE, 1.0),
            ("one symbol, one day, OHLCV", f"symbol = '{MIDDLE}' AND {_days(1)}", CANDLE, 1.0),
            ("all symbols, one day, volume", _days(1), ("symbol", "price", "quantity"), 1.0),
            ("one symbol, the year, OHLCV", f"symbol = '{MIDDLE}'", CANDLE, year / days),
            ("everything, the year, price", "true", ("price",), year / days),
            ("everything, the year, SELECT *", "true", TRADES_UNIFIED.column_names, year / days),
        ):
            scanned = _read(lake, NAME, where, columns) * scale
            print(f"  {told:32} {scanned / 1e6:9.1f} MB {_usd(scanned)}", end="")
            whole = {name: size * year for name, size in lines.items()}
            print("".join(f"; {name} {size / 1e9:.1f} GB {_usd(size)}" for name, size in whole.items()))


def _usd(scanned: float) -> str:
    return f"{max(scanned, LEAST_BYTES) * USD_A_BYTE * 1000:,.2f} USD for 1,000"


def _json_lines(lake: Lake, folder: Path) -> dict[str, int]:
    """The bytes of one day as JSON lines with the exchange's own fields, and of these in gzip."""
    table = lake.find(NAME)
    assert table is not None
    rows = table.scan(_days(0)).to_arrow()
    file = folder / "day.jsonl"
    with duckdb.connect() as connection:
        connection.register("day", rows)
        connection.execute("SET TimeZone = 'UTC'")
        connection.execute(
            "COPY (SELECT trade_id, symbol AS product_id, price::VARCHAR AS price, quantity::VARCHAR AS size, "
            "strftime(trade_ts, '%Y-%m-%dT%H:%M:%S.%fZ') AS time, side, 'coinbase' AS _source, "
            f"strftime(ingest_ts, '%Y-%m-%dT%H:%M:%S.%fZ') AS _source_ingest_ts FROM day) TO '{file}' (FORMAT json)"
        )
    written = file.read_bytes()
    return {"JSON lines": len(written), "in gzip": len(gzip.compress(written, 6))}
