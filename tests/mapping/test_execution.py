"""The generated SQL, run by Spark."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest
from sqlglot import exp

from schemahub_lib.mapping.compiler import RANK, batch_sql, increment_select
from schemahub_lib.mapping.expressions import parse_expression
from schemahub_lib.mapping.functions import FUNCTIONS
from schemahub_lib.mapping.registry import load_mappings
from schemahub_lib.mapping.sql import to_sql
from schemahub_lib.mapping.statements import Bounds, merge_sql
from schemahub_lib.mapping.transforms import TRANSFORMS
from schemahub_lib.schemas import PRODUCTS, TRADES_UNIFIED, Column, SqlType, Table
from schemahub_lib.tables.lake import Lake

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

# pyspark's collect() leaves its socket to the garbage collector.
pytestmark = [pytest.mark.spark, pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning")]

INGEST_TS = datetime(2024, 2, 8, 16, 0, tzinfo=UTC)
T0 = datetime(2024, 2, 8, 15, 12, 4, 123456, tzinfo=UTC)


def micros(text: str) -> int:
    """Microseconds since 1970 of an ISO 8601 time."""
    return (datetime.fromisoformat(text) - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)


# transform -> the type it reads -> {raw value: expected}. Timestamps are compared as microseconds since 1970.
CASES: dict[str, dict[str, dict[Any, Any]]] = {
    "from_s": {
        "BIGINT": {1707405124: micros("2024-02-08T15:12:04Z"), 0: 0, -1: -1_000_000, 2**62: None},
        # the second is a Kraken time: a DOUBLE would make it …971744 or …971745
        "STRING": {"1707405124": micros("2024-02-08T15:12:04Z"), "1762795433.9717445": 1762795433971744, "soon": None},
        "TIMESTAMP": {T0: micros(T0.isoformat())},
    },
    "from_ms": {
        "BIGINT": {1707405124123: micros("2024-02-08T15:12:04.123Z")},
        "STRING": {"1707405124123": micros("2024-02-08T15:12:04.123Z"), "": None, "1e3": 1_000_000},
        "TIMESTAMP": {T0: micros(T0.isoformat())},
    },
    "from_us": {
        "BIGINT": {1707405124123456: micros(T0.isoformat()), 9007199254740993: 9007199254740993},
        "STRING": {"9007199254740993": 9007199254740993, "99999999999999999999": None},
        "TIMESTAMP": {T0: micros(T0.isoformat())},
    },
    "from_ns": {
        "BIGINT": {1762820035982277754: 1762820035982277},
        "STRING": {"1762820035982277754": 1762820035982277, "x": None},
        "TIMESTAMP": {T0: micros(T0.isoformat())},
    },
    "iso8601": {
        "STRING": {
            "2024-02-08T15:12:04.123456Z": micros(T0.isoformat()),
            "2024-02-08T15:12:04.5Z": micros("2024-02-08T15:12:04.5Z"),
            "2024-02-08T15:12:04Z": micros("2024-02-08T15:12:04Z"),
            "2024-02-08T17:12:04+02:00": micros("2024-02-08T15:12:04Z"),
            "2024-02-08T10:42:04-04:30": micros("2024-02-08T15:12:04Z"),
            "2024-02-08 15:12:04.25": micros("2024-02-08T15:12:04.25Z"),
            "2024-02-08T15:12": None,
            "2024-02-08T15:12:04.123456789Z": micros(T0.isoformat()),
            "2024-02-30T15:12:04Z": None,
            "2024-02-08": None,
            "15:12:04": None,
            "yesterday": None,
            "": None,
        },
        "TIMESTAMP": {T0: micros(T0.isoformat())},
    },
    "to_double": {
        "STRING": {"453.30000000": 453.3, "1e-8": 1e-8, "0.00001305": 0.00001305, "-2": -2.0, "": None, "1,5": None},
        "BIGINT": {7: 7.0},
        "DOUBLE": {0.1: 0.1},
    },
    "to_decimal": {
        "STRING": {
            "453.30000000": Decimal("453.3"),
            "0.000000000000000001": Decimal("1e-18"),
            "12345678901234567890.5": Decimal("12345678901234567890.5"),
            "123456789012345678901": None,
            "x": None,
        },
        "BIGINT": {7: Decimal(7)},
        "DOUBLE": {0.1: Decimal("0.1")},
        "DECIMAL(38, 18)": {Decimal("0.1"): Decimal("0.1")},
    },
    "to_string": {"BIGINT": {6193332822: "6193332822"}, "BOOLEAN": {True: "true"}, "STRING": {" a ": " a "}},
    "upper": {"STRING": {"btc-Usd": "BTC-USD", "": ""}},
    "lower": {"STRING": {"BTC-Usd": "btc-usd"}},
    "trim": {"STRING": {"  a b ": "a b", "   ": ""}},
    "taker_from_maker": {
        "STRING": {"BUY": "SELL", "SELL": "BUY", "buy": "SELL", " Sell ": "BUY", "HOLD": None, "": None}
    },
    "taker_from_is_buyer_maker": {"BOOLEAN": {True: "SELL", False: "BUY"}},
    "taker_from_code": {"STRING": {"b": "BUY", "s": "SELL", "B": "BUY", "buy": None, "": None}},
}


def test_every_transform_is_executed_on_every_type_it_accepts() -> None:
    for name, transform in TRANSFORMS.items():
        accepted = {*transform.inputs, *([transform.output] if transform.converts else [])}
        assert set(CASES[name]) == accepted, name


@contextmanager
def session(spark: SparkSession, **settings: str) -> Iterator[None]:
    """`spark.sql.*` settings for a while."""
    names = {"time_zone": "spark.sql.session.timeZone", "ansi": "spark.sql.ansi.enabled"}
    before = {names[key]: spark.conf.get(names[key]) for key in settings}
    for key, value in settings.items():
        spark.conf.set(names[key], value)
    yield
    for name, value in before.items():
        spark.conf.set(name, value)


def literal(value: Any, sql_type: str) -> exp.Expr:
    text = value.isoformat() if isinstance(value, datetime) else None if value is None else str(value)
    return exp.cast(exp.convert(text), exp.DataType.build(sql_type, dialect="spark"))


@pytest.mark.parametrize("time_zone", ["UTC", "America/New_York"])
@pytest.mark.parametrize("ansi", ["false", "true"])
def test_each_transform_gives_what_it_promises(plain_spark: SparkSession, time_zone: str, ansi: str) -> None:
    """One query for all: every transform over every case and over NULL."""
    cases = [
        (name, raw_type, raw, expected)
        for name, types in CASES.items()
        for raw_type, values in types.items()
        for raw, expected in [*values.items(), (None, None)]
    ]
    columns = []
    for index, (name, raw_type, raw, _) in enumerate(cases):
        transform = TRANSFORMS[name]
        value = transform.apply(literal(raw, raw_type), raw_type)  # type: ignore[arg-type]
        if transform.output == "TIMESTAMP":
            value = exp.func("UNIX_MICROS", value, dialect="spark")
        columns.append(exp.alias_(value, f"c{index}"))
    with session(plain_spark, time_zone=time_zone, ansi=ansi):
        (row,) = plain_spark.sql(to_sql(exp.select(*columns))).collect()
    wrong = [(*case, row[index]) for index, case in enumerate(cases) if row[index] != case[3]]
    assert not wrong
    types = [type(value) for value in row if value is not None]
    assert {int, float, str, Decimal} == set(types)


ISO = "2024-02-08T15:12:04.123456Z"
# A call by function; the text that is right for it; what it gives for that, for NULL, and for the text "soon".
CALLS: dict[str, tuple[str, SqlType, str, tuple[Any, Any, Any]]] = {
    "abs": ("abs(cast(text as double))", "DOUBLE", "-2.5", (2.5, None, None)),
    "ceil": ("ceil(cast(text as double))", "BIGINT", "2.1", (3, None, None)),
    "coalesce": ("coalesce(cast(text as bigint), 7)", "BIGINT", "5", (5, 7, 7)),
    "concat": ("concat('<', text, '>')", "STRING", "a", ("<a>", None, "<soon>")),
    "floor": ("floor(cast(text as double))", "BIGINT", "-2.1", (-3, None, None)),
    "get_json_object": ("get_json_object(text, '$.a[0]')", "STRING", '{"a": ["x"]}', ("x", None, None)),
    "greatest": ("greatest(cast(text as bigint), 1.5)", "DOUBLE", "5", (5.0, 1.5, 1.5)),
    "if": ("if(text > 'b', 1, 2)", "BIGINT", "a", (2, 2, 1)),
    "least": ("least(cast(text as double), 1)", "DOUBLE", "-5", (-5.0, 1.0, 1.0)),
    "left": ("left(text, length(text) - 1)", "STRING", "abc", ("ab", None, "soo")),
    "length": ("length(text)", "BIGINT", "abc", (3, None, 4)),
    "lower": ("lower(text)", "STRING", "ABC", ("abc", None, "soon")),
    "lpad": ("lpad(text, 6, '0')", "STRING", "7", ("000007", None, "00soon")),
    "nullif": ("nullif(cast(text as bigint), 5)", "BIGINT", "6", (6, None, None)),
    "regexp_extract": ("regexp_extract(text, '([a-z])-(\\\\d+)', 2)", "STRING", "b-12", ("12", None, "")),
    "regexp_replace": ("regexp_replace(text, '(a)(b)', '$2\\\\$$1')", "STRING", "ab", ("b$a", None, "soon")),
    "replace": ("replace(text, 'o', '0')", "STRING", "oo", ("00", None, "s00n")),
    "right": ("right(text, 2)", "STRING", "abc", ("bc", None, "on")),
    "round": ("round(cast(text as double), 1)", "DOUBLE", "2.26", (2.3, None, None)),
    "rpad": ("rpad(text, 6)", "STRING", "7", ("7     ", None, "soon  ")),
    "substring": ("substring(text, -2, 1)", "STRING", "abc", ("b", None, "o")),
    "timestamp_micros": ("timestamp_micros(1 * cast(text as bigint))", "TIMESTAMP", "-1", (-1, None, None)),
    "timestamp_millis": ("timestamp_millis(1 * cast(text as bigint))", "TIMESTAMP", "-1", (-1000, None, None)),
    "trim": ("trim(text)", "STRING", "  a ", ("a", None, "soon")),
    "unix_micros": ("unix_micros(cast(text as timestamp))", "BIGINT", ISO, (micros(ISO), None, None)),
    "upper": ("upper(text)", "STRING", "abc", ("ABC", None, "SOON")),
    "timestamp_millis that overflows": ("timestamp_millis(1 * 9223372036854775807)", "TIMESTAMP", "", (None,) * 3),
}


def test_every_function_is_executed() -> None:
    assert FUNCTIONS.keys() <= CALLS.keys()


@pytest.mark.parametrize("call", CALLS)
def test_a_function_gives_what_it_promises_and_fails_on_nothing(plain_spark: SparkSession, call: str) -> None:
    text, wanted, right, expected = CALLS[call]
    value = parse_expression(text, Table("raw", (Column("text", "STRING"),)), Column("value", wanted))
    shown = exp.func("UNIX_MICROS", value, dialect="spark") if wanted == "TIMESTAMP" else value
    rows = exp.values([(right,), (None,), ("soon",)], alias="raw", columns=["text"])
    for ansi in ("false", "true"):
        with session(plain_spark, time_zone="America/New_York", ansi=ansi):
            found = plain_spark.sql(to_sql(exp.select(exp.alias_(shown, "value")).from_(rows))).collect()
        assert tuple(row["value"] for row in found) == expected


def frame(spark: SparkSession, table: Table, rows: list[dict[str, Any]]) -> DataFrame:
    schema = ", ".join(f"{column.name} {column.type}" for column in table.columns)
    return spark.createDataFrame([tuple(row.get(name) for name in table.column_names) for row in rows], schema)


def common(source: str) -> dict[str, Any]:
    return {"_source": source, "_source_ingest_ts": INGEST_TS}


BTC = {"base_asset": "BTC", "quote_asset": "USD", "canonical_symbol": "BTC-USD"}
INCREMENTS: dict[str, list[dict[str, Any]]] = {
    "raw_coinbase_trades": [
        {"trade_id": "1", "product_id": "BTC-USD", "price": 100.5, "size": 0.1, "time": T0, "side": "BUY"},
        {"trade_id": "2", "product_id": "BTC-USD", "price": 100.4, "size": 0.2, "time": T0, "side": "SELL"},
        {"trade_id": "1", "product_id": "NEW-USD", "price": 7.0, "size": 1.0, "time": T0, "side": None},
    ],
    "raw_binance_trades": [
        {"id": "1", "symbol": "BTCUSDT", "price": 100.5, "qty": 0.3, "time": T0, "is_buyer_maker": True},
        {"id": "2", "symbol": "BTCUSDT", "price": 100.6, "qty": 0.4, "time": T0, "is_buyer_maker": False},
    ],
    "raw_kraken_trades": [
        {"trade_id": "1", "pair": "XBTUSD", "price": 100.5, "volume": 0.5, "time": T0, "side": "b"},
        {"trade_id": "2", "pair": "XBTUSD", "price": 100.5, "volume": 0.6, "time": T0, "side": "s"},
    ],
    "raw_okx_trades": [
        {"trade_id": "1", "inst_id": "BTC-USDT", "px": 100.5, "sz": 0.7, "ts": T0, "side": "buy"},
        {"trade_id": "2", "inst_id": "BTC-USDT", "px": 100.6, "sz": 0.8, "ts": T0, "side": "sell"},
    ],
}
LEDGER = [
    {"source": "coinbase", "symbol": "BTC-USD", **BTC},
    {"source": "binance", "symbol": "BTCUSDT", **BTC, "quote_asset": "USDT", "canonical_symbol": "BTC-USDT"},
    {"source": "kraken", "symbol": "XBTUSD", **BTC},
    {"source": "kraken", "symbol": "XBTUSD", **BTC, "base_asset": "what it was", "replaced_at": T0 - timedelta(days=1)},
    {"source": "kraken", "symbol": "XBTUSD", **BTC, "base_asset": "what it was", "replaced_at": T0 + timedelta(days=1)},
    {"source": "okx", "symbol": "BTC-USDT", **BTC, "quote_asset": "USDT", "canonical_symbol": "BTC-USDT"},
    {"source": "kraken", "symbol": "BTC-USD", **BTC, "canonical_symbol": "the same name on another exchange"},
]


def run_batch(
    spark: SparkSession, raw_tables: Mapping[str, Table], increments: Mapping[str, list[dict[str, Any]]]
) -> list[dict[str, Any]]:
    """The batch of `increments` as rows in key order, times as microseconds since 1970."""
    views = []
    for spec in load_mappings(None, raw_tables)["trades_unified"]:
        rows = [row | common(spec.source.split("_")[1]) for row in increments.get(spec.source, [])]
        frame(spark, raw_tables[spec.source], rows).createOrReplaceTempView(f"increment_{spec.source}")
        views.append((spec, f"increment_{spec.source}"))
    frame(spark, PRODUCTS, LEDGER).createOrReplaceTempView("products")
    batch = spark.sql(batch_sql(views, TRADES_UNIFIED, "products", INGEST_TS)).where(f"{RANK} = 1")
    batch = batch.select(*TRADES_UNIFIED.column_names)
    assert [(field.name, field.dataType.simpleString().upper()) for field in batch.schema] == [
        (column.name, column.type) for column in TRADES_UNIFIED.columns
    ]
    in_micros = batch.selectExpr(
        *(f"unix_micros({c.name}) AS {c.name}" if c.type == "TIMESTAMP" else c.name for c in TRADES_UNIFIED.columns)
    )
    return [row.asDict() for row in in_micros.orderBy(*TRADES_UNIFIED.key).collect()]


@pytest.mark.parametrize("time_zone", ["UTC", "Asia/Tokyo"])
def test_the_exchanges_become_one_table_with_the_takers_side(
    plain_spark: SparkSession, raw_tables: Mapping[str, Table], time_zone: str
) -> None:
    with session(plain_spark, time_zone=time_zone):
        rows = run_batch(plain_spark, raw_tables, INCREMENTS)
    assert [tuple(row.values())[:6] for row in rows] == [
        ("BINANCE", "BTCUSDT", "1", "SELL", 100.5, 0.3),
        ("BINANCE", "BTCUSDT", "2", "BUY", 100.6, 0.4),
        ("COINBASE", "BTC-USD", "1", "SELL", 100.5, 0.1),
        ("COINBASE", "BTC-USD", "2", "BUY", 100.4, 0.2),
        ("COINBASE", "NEW-USD", "1", None, 7.0, 1.0),
        ("KRAKEN", "XBTUSD", "1", "BUY", 100.5, 0.5),
        ("KRAKEN", "XBTUSD", "2", "SELL", 100.5, 0.6),
        ("OKX", "BTC-USDT", "1", "BUY", 100.5, 0.7),
        ("OKX", "BTC-USDT", "2", "SELL", 100.6, 0.8),
    ]
    assert {(row["trade_ts"], row["ingest_ts"]) for row in rows} == {
        (micros(T0.isoformat()), micros(INGEST_TS.isoformat()))
    }


def test_canonical_names_come_from_the_product_list_of_the_same_exchange(
    plain_spark: SparkSession, raw_tables: Mapping[str, Table]
) -> None:
    rows = run_batch(plain_spark, raw_tables, INCREMENTS)
    names = {row["symbol"]: (row["canonical_symbol"], row["base_asset"], row["quote_asset"]) for row in rows}
    assert names == {
        "BTC-USD": ("BTC-USD", "BTC", "USD"),
        "BTCUSDT": ("BTC-USDT", "BTC", "USDT"),
        "XBTUSD": ("BTC-USD", "BTC", "USD"),
        "BTC-USDT": ("BTC-USDT", "BTC", "USDT"),
        "NEW-USD": (None, None, None),  # not in the list: the trade is kept, without names
    }


def test_a_key_that_occurs_twice_in_a_batch_is_kept_once_the_earliest(
    plain_spark: SparkSession, raw_tables: Mapping[str, Table]
) -> None:
    trade = INCREMENTS["raw_kraken_trades"][0]
    later = trade | {"time": T0 + timedelta(microseconds=1), "price": 99.0}
    broken = trade | {"time": None, "price": 98.0}
    other_product = trade | {"pair": "ETHUSD"}
    rows = run_batch(
        plain_spark, raw_tables, {"raw_kraken_trades": [later, broken, trade, dict(trade), other_product, later]}
    )
    assert [(row["symbol"], row["trade_id"], row["price"], row["trade_ts"]) for row in rows] == [
        ("ETHUSD", "1", 100.5, micros(T0.isoformat())),
        ("XBTUSD", "1", 100.5, micros(T0.isoformat())),
    ]


def test_which_of_two_equal_keys_stays_does_not_depend_on_their_order(
    plain_spark: SparkSession, raw_tables: Mapping[str, Table]
) -> None:
    trade = INCREMENTS["raw_kraken_trades"][0]
    rivals = [trade | {"price": price, "side": side} for price in (3.0, 1.0, 2.0) for side in ("s", None)]
    chosen = [run_batch(plain_spark, raw_tables, {"raw_kraken_trades": rows}) for rows in (rivals, rivals[::-1])]
    assert chosen[0] == chosen[1]
    assert (chosen[0][0]["side"], chosen[0][0]["price"]) == ("SELL", 1.0)


def test_one_source_alone_is_a_batch_too(plain_spark: SparkSession, raw_tables: Mapping[str, Table]) -> None:
    spec = load_mappings(None, raw_tables)["trades_unified"][2]
    rows = [row | common("kraken") for row in INCREMENTS["raw_kraken_trades"]]
    frame(plain_spark, raw_tables[spec.source], rows).createOrReplaceTempView("alone")
    frame(plain_spark, PRODUCTS, LEDGER).createOrReplaceTempView("products")
    assert plain_spark.sql(batch_sql([(spec, "alone")], TRADES_UNIFIED, "products", INGEST_TS)).count() == 2
    select = increment_select(spec, TRADES_UNIFIED, "alone", "products", INGEST_TS)
    assert plain_spark.sql(to_sql(select)).count() == 2


@pytest.mark.parametrize("time_zone", ["UTC", "America/New_York"])
def test_a_time_range_means_the_same_instants_in_every_session(plain_spark: SparkSession, time_zone: str) -> None:
    """The ON clause of the MERGE as a filter: its literals must not move with the session's zone."""
    import sqlglot

    merge = sqlglot.parse_one(
        merge_sql(TRADES_UNIFIED, "t", "s", Bounds(((T0, T0 + timedelta(microseconds=2)),), "1", "2")), dialect="spark"
    )
    in_range = next(node for node in merge.find_all(exp.Between) if node.this.name == "trade_ts")
    start = micros(T0.isoformat())
    with session(plain_spark, time_zone=time_zone):
        rows = plain_spark.range(start - 2, start + 6).selectExpr("id", "timestamp_micros(id) AS trade_ts").alias("t")
        kept = [row["id"] - start for row in rows.where(in_range.sql(dialect="spark")).collect()]
    assert kept == [0, 1, 2]


def test_spark_parses_the_merge_of_a_branch_in_a_database_with_a_dash(plain_spark: SparkSession) -> None:
    merge = merge_sql(
        TRADES_UNIFIED, "schemahub.my-db.trades_unified.branch_run_1", "batch", Bounds(((T0, T0),), "1'", "9\\")
    )
    plan = plain_spark._jsparkSession.sessionState().sqlParser().parsePlan(merge)
    assert "[schemahub, my-db, trades_unified, branch_run_1]" in plan.targetTable().toString()
    assert (plan.matchedActions().size(), plan.notMatchedActions().size()) == (0, 1)


def test_a_merge_inserts_what_is_new_and_reads_only_the_days_of_the_batch(lake: Lake) -> None:
    lake.ensure(TRADES_UNIFIED)
    table = lake.identifier(TRADES_UNIFIED.name)
    times = [T0 - timedelta(days=3), T0, T0 + timedelta(hours=1)]
    with session(lake.spark, time_zone="America/New_York"):
        for known in (1, 2, 3):  # the batch grows by one row each time
            rows = [
                {"exchange": "KRAKEN", "symbol": "XBTUSD", "trade_id": str(n), "trade_ts": times[n], "price": 1.0}
                for n in range(known)
            ]
            frame(lake.spark, TRADES_UNIFIED, rows).createOrReplaceTempView("batch")
            lake.spark.sql(merge_sql(TRADES_UNIFIED, table, "batch", Bounds(((times[0], times[known - 1]),), "0", "9")))
            assert lake.spark.table(table).count() == known
        merge = merge_sql(TRADES_UNIFIED, table, "batch", Bounds(((times[1], times[2]),), "0", "9"))
        plan = lake.spark.sql(f"EXPLAIN {merge}").collect()[0][0]
    assert f"trade_ts >= {micros(times[1].isoformat())}, trade_ts <= {micros(times[2].isoformat())}" in plan
