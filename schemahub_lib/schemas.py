"""Table schemas as plain data: the one description that DDL, Arrow batches, ledgers and mappings all read.

An exchange's raw table is declared in its own file under `exchanges/`; what every table shares, the unified target
and the ledgers are here. Types are Spark SQL names; every TIMESTAMP is UTC with microseconds.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

Levels = Literal["ARRAY<STRUCT<price: DOUBLE, quantity: DOUBLE>>"]  # of one side of an order book
LEVELS: Final = "ARRAY<STRUCT<price: DOUBLE, quantity: DOUBLE>>"
SqlType = Literal["STRING", "DOUBLE", "DECIMAL(38, 18)", "BIGINT", "BOOLEAN", "TIMESTAMP"] | Levels
# How a TIMESTAMP column is spelled in the pages a connector yields.
TimeEncoding = Literal["iso8601", "epoch_s", "epoch_ms_or_us", "datetime"]
# What tells where in its stream a trade stands: its id, where ids go up by one from trade to trade, else its time in
# microseconds since 1970.
Position = Literal["id", "time"]


@dataclass(frozen=True)
class Column:
    name: str
    type: SqlType
    comment: str = ""
    required: bool = False  # a record without it is quarantined
    time_encoding: TimeEncoding = "datetime"
    filled: str = ""  # how SchemaHub fills it for every source, so that no mapping may
    positive: bool = False  # audited: finite and greater than zero
    allowed: tuple[str, ...] = ()  # audited: the values it may have, beside null
    meaning: str = ""  # what its values are, beyond their type: one of mapping.meanings.MEANINGS, or not told


@dataclass(frozen=True)
class Table:
    """A table's columns in order, its day-partition column, its sort order and its key.

    `position` is what the coverage of a raw table's streams is counted in.
    """

    name: str
    columns: tuple[Column, ...]
    partition_by_day: str | None = None
    sort_by: tuple[str, ...] = ()
    key: tuple[str, ...] = ()
    partition_by: str | None = None  # identity partition
    position: Position = "id"

    @property
    def column_names(self) -> tuple[str, ...]:
        return tuple(column.name for column in self.columns)

    @property
    def time_column(self) -> str:
        """The column by whose days it is partitioned. Raises ValueError where there is none."""
        if self.partition_by_day is None:
            raise ValueError(f"{self.name} is not partitioned by day")
        return self.partition_by_day

    @property
    def compared(self) -> tuple[Column, ...]:
        """The columns in which two rows of one key may contradict each other: what the exchange said of the trade."""
        return tuple(column for column in self.columns if column.name not in self.key and not column.filled)

    def column(self, name: str) -> Column:
        """The column called `name`. Raises KeyError when there is none."""
        for column in self.columns:
            if column.name == name:
                return column
        raise KeyError(name)


# Added to every raw row by SchemaHub.
SOURCE = Column("_source", "STRING", "exchange the row came from, e.g. 'binance'", required=True)
INGEST_TS = Column("_source_ingest_ts", "TIMESTAMP", "when the row was fetched", required=True, meaning="ingest_time")
RAW_PAYLOAD = Column("_raw_payload", "STRING", "the exchange's own JSON for this row, character for character")
RAW_COMMON = (SOURCE, INGEST_TS, RAW_PAYLOAD)

# How SchemaHub fills columns of a target.
BY_THE_RUN = "with the time of the run"
BY_PRODUCTS = "from the exchange's product list"

TRADES_UNIFIED = Table(
    "trades_unified",
    (
        Column("exchange", "STRING", "its name in capitals, e.g. COINBASE", required=True),
        Column("symbol", "STRING", "the venue's own spelling", required=True, meaning="symbol"),
        Column("trade_id", "STRING", "unique within exchange and symbol", required=True, meaning="trade_id"),
        Column(
            "side",
            "STRING",
            "the taker's side, BUY or SELL; null when the source does not tell",
            allowed=("BUY", "SELL"),
            meaning="taker_side",
        ),
        Column("price", "DOUBLE", "in quote asset", required=True, positive=True, meaning="price"),
        Column("quantity", "DOUBLE", "in base asset", required=True, positive=True, meaning="base_amount"),
        Column("trade_ts", "TIMESTAMP", "when the trade executed", required=True, meaning="time"),
        Column("ingest_ts", "TIMESTAMP", "when this row was written here", required=True, filled=BY_THE_RUN),
        Column("canonical_symbol", "STRING", "BASE-QUOTE in common tickers, e.g. BTC-USD", filled=BY_PRODUCTS),
        Column("base_asset", "STRING", "e.g. BTC", filled=BY_PRODUCTS),
        Column("quote_asset", "STRING", "e.g. USD", filled=BY_PRODUCTS),
    ),
    partition_by_day="trade_ts",
    sort_by=("symbol", "trade_ts"),
    key=("exchange", "symbol", "trade_id"),
)
TARGETS = {TRADES_UNIFIED.name: TRADES_UNIFIED}

WATERMARKS = Table(
    "schemahub_watermarks",
    (
        Column("source", "STRING"),
        Column("stream", "STRING", "the product, in the venue's spelling"),
        Column("last_trade_id", "STRING"),
        Column("last_ts", "TIMESTAMP"),
        Column("cursor", "STRING", "the exchange's continuation token, verbatim"),
        Column("snapshot_id", "BIGINT", "raw snapshot that carries this watermark"),
        Column("run_id", "STRING"),
        Column("updated_at", "TIMESTAMP"),
    ),
    partition_by="source",
)
RUNS = Table(
    "schemahub_runs",
    (
        Column("run_id", "STRING"),
        Column("job", "STRING", "ingest, unify, restate, refresh, maintain, rollback, …"),
        Column("source", "STRING", "exchange, or the table"),
        Column("status", "STRING", "ok, partial, failed, nothing_new or interrupted"),
        Column("started_at", "TIMESTAMP"),
        Column("seconds", "DOUBLE", "from its start to its end"),
        Column("rows", "BIGINT", "rows published; below zero: rows that a rollback took out"),
        Column("duplicates", "BIGINT", "rows dropped because they were there already"),
        Column("quarantined", "BIGINT", "rows set aside in schemahub_quarantine"),
        Column("requests", "BIGINT", "sent to the exchange, repeated ones among them"),
        Column("retries", "BIGINT", "requests that were repeated"),
        Column("throttled", "BIGINT", "answers that said 'too many requests'"),
        Column("bytes", "BIGINT", "response bytes received"),
        Column("lag_seconds", "DOUBLE", "age of the newest trade published, at the end of the run"),
        Column("error", "STRING"),
        Column("pace", "DOUBLE", "the slowest, as a part of the exchange's rate limit; 1.0: never slowed down"),
        Column("breaker", "STRING", "at the end of the run: closed, or open or half-open when the exchange was down"),
        Column("breaker_opened", "BIGINT", "how often the exchange was down"),
        Column("conflicts", "BIGINT", "rows of known keys that came with other values"),
        Column("changed", "BIGINT", "rows that a restatement, or on_conflict: update, put in the place of others"),
        Column("removed", "BIGINT", "rows that a restatement took out"),
        Column("filtered", "BIGINT", "raw rows that a mapping's filters left out"),
        Column("publish_seconds", "DOUBLE", "of `seconds`, those from a publish's branch to its fast-forward"),
    ),
)
QUARANTINE = Table(
    "schemahub_quarantine",
    (
        Column("quarantine_id", "STRING", "sha256 of source, stream and payload: equal rows are the same finding"),
        Column("source", "STRING"),
        Column("stream", "STRING"),
        Column("reason", "STRING"),
        Column("payload", "STRING"),
        Column("run_id", "STRING"),
        Column("quarantined_at", "TIMESTAMP"),
    ),
)
AUDITS = Table(
    "schemahub_audits",
    (
        Column("run_id", "STRING"),
        Column("target", "STRING", "the unified table"),
        Column("source", "STRING", "the raw table whose rows were audited"),
        Column("audit", "STRING"),
        Column("severity", "STRING", "block or warn"),
        Column("status", "STRING", "passed, warned or blocked"),
        Column("rows", "BIGINT", "how many rows, keys or symbols failed"),
        Column("message", "STRING", "what was found; null when passed"),
        Column("branch", "STRING", "where a blocked publish can be looked at"),
        Column("audited_at", "TIMESTAMP"),
    ),
)
PRODUCTS = Table(
    "schemahub_products",
    (
        Column("source", "STRING"),
        Column("symbol", "STRING", "as it stands in the raw table"),
        Column("canonical_symbol", "STRING", "base_asset-quote_asset"),
        Column("base_asset", "STRING", "by its common ticker, e.g. BTC"),
        Column("quote_asset", "STRING", "by its common ticker, e.g. USD"),
        Column("status", "STRING", "the exchange's own word, e.g. online, TRADING; unlisted: its list has it no more"),
        Column("listed_base", "STRING", "as the exchange calls it, e.g. XBT"),
        Column("listed_quote", "STRING", "as the exchange calls it"),
        Column("first_seen", "TIMESTAMP", "since when the symbol is known to have these assets and this status"),
        Column("last_seen", "TIMESTAMP", "when they were last found so"),
        Column("replaced_at", "TIMESTAMP", "when the symbol's next row took over; null in its one current row"),
    ),
    partition_by="source",
)
DRIFT = Table(
    "schemahub_drift",
    (
        Column("source", "STRING"),
        Column("stream", "STRING", "the product, in the venue's spelling"),
        Column("field", "STRING", "in the exchange's spelling; [7] for the eighth member of an array"),
        Column("kind", "STRING", "new, missing or retyped"),
        Column("expected", "STRING", "the JSON type the connector knows; null for a new field"),
        Column("seen", "STRING", "the JSON type in the payloads; null where the field is not there"),
        Column("first_seen", "TIMESTAMP", "when the first such payload was fetched"),
        Column("last_seen", "TIMESTAMP"),
        Column("count", "BIGINT", "such payloads among those looked at"),
        Column("looked_at", "BIGINT", "payloads of the stream looked at since the first such one"),
        Column("samples", "STRING", "a few values, as a JSON array"),
    ),
    partition_by="source",
)
EVENTS = Table(
    "schemahub_events",
    (
        Column("asset", "STRING", "by its common ticker, e.g. BTC"),
        Column("starts_at", "TIMESTAMP", "nine tenths of its movement lie between its start"),
        Column("ends_at", "TIMESTAMP", "and its end"),
        Column("peak_at", "TIMESTAMP", "where its busiest window begins"),
        Column("volatility", "DOUBLE", "realised in that window, in basis points"),
        Column("usual", "DOUBLE", "the median of all windows of the time looked at, in basis points"),
        Column("ratio", "DOUBLE", "how many times the usual"),
        Column(
            "move", "DOUBLE", "from the lowest to the highest price, in basis points, at the venue where it was most"
        ),
        Column("trades", "BIGINT"),
        Column("venues", "STRING", "exchanges, in capitals, separated by commas"),
        Column("found_at", "TIMESTAMP"),
    ),
    partition_by="asset",
)
LEDGERS = (WATERMARKS, RUNS, QUARANTINE, AUDITS, PRODUCTS, DRIFT, EVENTS)
