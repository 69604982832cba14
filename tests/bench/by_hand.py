"""What `run pipeline` is measured against: Spark's start, one append a source, one MERGE, and nothing around them.

`python -m tests.bench.by_hand WAREHOUSE FOLDER`: FOLDER has one Arrow file for each raw table.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pyarrow as pa
from pyspark.sql import SparkSession

from schemahub_lib.config import Settings
from schemahub_lib.tables.session import jar_files

SYMBOLS = {
    "raw_coinbase_trades": "product_id",
    "raw_binance_trades": "symbol",
    "raw_kraken_trades": "pair",
    "raw_okx_trades": "inst_id",
}
COLUMNS = {
    "raw_coinbase_trades": "'COINBASE', product_id, trade_id, if(side = 'BUY', 'SELL', 'BUY'), price, size, time",
    "raw_binance_trades": "'BINANCE', symbol, id, if(is_buyer_maker, 'SELL', 'BUY'), price, qty, time",
    "raw_kraken_trades": "'KRAKEN', pair, trade_id, if(side = 'b', 'BUY', 'SELL'), price, volume, time",
    "raw_okx_trades": "'OKX', inst_id, trade_id, upper(side), px, sz, ts",
}
MERGE = """
MERGE INTO schemahub.schemahub.trades_unified t
USING ({increments}) s
ON t.exchange = s.exchange AND t.symbol = s.symbol AND t.trade_id = s.trade_id
WHEN NOT MATCHED THEN INSERT (exchange, symbol, trade_id, side, price, quantity, trade_ts, ingest_ts)
VALUES (s.exchange, s.symbol, s.trade_id, s.side, s.price, s.quantity, s.trade_ts, current_timestamp())
"""
ALIASES = "exchange, symbol, trade_id, side, price, quantity, trade_ts"


def main(warehouse: str, folder: str) -> None:
    jars = jar_files(Settings.load(warehouse=warehouse))
    assert jars is not None, "run `make dev` first: the jars are missing"
    catalog = "spark.sql.catalog.schemahub"
    spark = (
        SparkSession.builder.master("local[*]")
        .config("spark.ui.enabled", "false")
        .config("spark.driver.extraClassPath", os.pathsep.join(map(str, jars)))
        .config("spark.sql.extensions", "org.apache.iceberg.spark.extensions.IcebergSparkSessionExtensions")
        .config("spark.sql.session.timeZone", "UTC")
        .config("spark.sql.execution.arrow.pyspark.enabled", "true")
        .config("spark.sql.shuffle.partitions", "4")
        .config(catalog, "org.apache.iceberg.spark.SparkCatalog")
        .config(f"{catalog}.catalog-impl", "org.apache.iceberg.jdbc.JdbcCatalog")
        .config(f"{catalog}.uri", f"jdbc:sqlite:{warehouse}/catalog.db?journal_mode=WAL&busy_timeout=30000")
        .config(f"{catalog}.jdbc.schema-version", "V1")
        .config(f"{catalog}.jdbc.init-catalog-tables", "false")
        .config(f"{catalog}.warehouse", warehouse)
        .getOrCreate()
    )
    increments = []
    for table, columns in COLUMNS.items():
        with pa.OSFile(str(Path(folder) / f"{table}.arrow")) as file:
            rows = pa.ipc.open_file(file).read_all()
        frame = spark.createDataFrame(rows.to_pandas())
        frame.writeTo(f"schemahub.schemahub.{table}").append()
        frame.createOrReplaceTempView(table)
        increments.append(f"SELECT {columns} FROM {table}")
    spark.sql(MERGE.format(increments=f"SELECT * FROM ({' UNION ALL '.join(increments)}) AS u({ALIASES})"))
    spark.stop()


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2])
