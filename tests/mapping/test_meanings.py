"""What values mean beyond their types: a mapping that takes one for another does not compile."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from schemahub_lib.mapping.expressions import parse_condition, parse_expression
from schemahub_lib.mapping.functions import ExpressionError
from schemahub_lib.mapping.parser import parse_mapping
from schemahub_lib.schemas import INGEST_TS, TRADES_UNIFIED, Column, Table
from tests.mapping.test_json_schema import MAPPINGS
from tests.mapping.test_spec import COINBASE, problems

RAW = Table(
    "raw_x",
    (
        Column("id", "STRING", meaning="trade_id"),
        Column("agg_id", "STRING", meaning="agg_trade_id"),
        Column("symbol", "STRING", meaning="symbol"),
        Column("price", "DOUBLE", meaning="price"),
        Column("qty", "DOUBLE", meaning="base_amount"),
        Column("quote_qty", "DOUBLE", meaning="quote_amount"),
        Column("maker", "STRING", meaning="maker_side"),
        Column("ms", "BIGINT", meaning="epoch_ms"),
        Column("us", "BIGINT", meaning="epoch_us"),
        Column("seconds", "BIGINT", meaning="epoch_s"),
        Column("time", "TIMESTAMP", meaning="time"),
        INGEST_TS,
        Column("note", "STRING"),
        Column("count", "BIGINT"),
        Column("flag", "BOOLEAN"),
    ),
)
FITTING = """\
source: raw_x
target_table: trades_unified
mappings:
  id: trade_id
  symbol: symbol
  price: price
  qty: quantity
  maker: side
  ms: trade_ts
constants:
  exchange: X
transforms:
  side: taker_from_maker
  trade_ts: from_ms
"""


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        (
            "  side: taker_from_maker\n",
            "",
            "8:10: raw 'maker' is the maker's side, and target 'side' is the taker's side; "
            "write `maker: taker_from_maker` under transforms",
        ),
        (
            "side: taker_from_maker",
            "side: upper",
            "13:9: raw 'maker' is the maker's side, and target 'side' is the taker's side; "
            "write `maker: taker_from_maker` under transforms",
        ),
        (
            "side: taker_from_maker",
            "side: taker_from_code",
            "13:9: taker_from_code reads the taker's side as a letter, and 'maker' is the maker's side; "
            "write `maker: taker_from_maker` under transforms",
        ),
        (
            "from_ms",
            "from_us",
            "14:13: from_us reads a time in microseconds, and 'ms' is a time in milliseconds; "
            "write `ms: from_ms` under transforms",
        ),
        (
            "  ms: trade_ts",
            "  us: trade_ts",
            "14:13: from_ms reads a time in milliseconds, and 'us' is a time in microseconds; "
            "write `us: from_us` under transforms",
        ),
        (
            "  qty: quantity",
            "  quote_qty: quantity",
            "7:14: raw 'quote_qty' is an amount of the quote asset, "
            "and target 'quantity' is an amount of the base asset; "
            "map qty to it instead",
        ),
        (
            "  id: trade_id",
            "  agg_id: trade_id",
            "4:11: raw 'agg_id' is the id of an aggregate of trades, and target 'trade_id' is the id of a trade; "
            "map id to it instead",
        ),
    ],
)
def test_a_value_of_another_meaning_does_not_compile_and_the_right_line_is_told(
    old: str, new: str, expected: str
) -> None:
    parse_mapping(FITTING, "m.yaml", {"raw_x": RAW})
    assert old in FITTING
    assert problems(FITTING.replace(old, new, 1), {"raw_x": RAW}) == [expected]


UNTOLD = "tell its meaning where raw_x declares it"


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        (
            "  id: trade_id",
            "  note: trade_id",
            "4:9: nothing tells what 'note' is, and 'trade_id' is the id of a trade; map id to it instead, or "
            + UNTOLD,
        ),
        (
            "  maker: side",
            "  note: side",
            "13:9: nothing tells what 'note' is, and taker_from_maker reads the maker's side; "
            "map maker to it instead, or " + UNTOLD,
        ),
        (
            "  ms: trade_ts",
            "  count: trade_ts",
            "14:13: nothing tells what 'count' is, and from_ms reads a time in milliseconds; "
            "map time to it instead, or " + UNTOLD,
        ),
    ],
)
def test_a_column_that_tells_no_meaning_fills_none_and_no_transform_reads_one_from_it(
    old: str, new: str, expected: str
) -> None:
    assert old in FITTING
    assert problems(FITTING.replace(old, new, 1), {"raw_x": RAW}) == [expected]


@pytest.mark.parametrize(
    ("file", "old", "new", "said"),
    [
        ("binance", "  is_buyer_maker: side", "  is_best_match: side", "map is_buyer_maker to it instead, or tell its"),
        ("kraken", "  side: side", "  order_type: side", "map side to it instead, or tell its meaning"),
        ("kraken", "  trade_id: trade_id", "  misc: trade_id", "map trade_id to it instead, or tell its meaning"),
        ("okx", "  trade_id: trade_id", "  _source: trade_id", "map trade_id to it instead, or tell its meaning"),
        ("coinbase", "  product_id: symbol", "  _raw_payload: symbol", "map product_id to it instead, or tell its"),
    ],
)
def test_no_shipped_mapping_takes_a_column_that_is_something_else(
    file: str, old: str, new: str, said: str, raw_tables: Mapping[str, Table]
) -> None:
    text = (MAPPINGS / f"{file}_trades.yaml").read_text(encoding="utf-8")
    assert old in text
    (problem,) = problems(text.replace(old, new, 1), raw_tables)
    assert f"nothing tells what {new.split(':')[0].strip()!r} is, and " in problem
    assert said in problem


def test_the_time_of_fetching_is_not_the_time_of_the_trade(raw_tables: Mapping[str, Table]) -> None:
    (problem,) = problems(COINBASE.replace("  time: trade_ts", "  _source_ingest_ts: trade_ts"), raw_tables)
    assert "is the time at which the row was fetched, and target 'trade_ts' is the time of the trade" in problem
    assert problem.endswith("map time to it instead")


def test_a_target_that_tells_no_meaning_takes_whatever_has_its_type() -> None:
    target = Table("t", (Column("a", "STRING"), Column("b", "DOUBLE"), Column("c", "STRING")), key=("a",))
    text = "source: raw_x\ntarget_table: t\nmappings: {agg_id: a, quote_qty: b}\nexpressions: {c: upper(note)}\n"
    assert parse_mapping(text, "m.yaml", {"raw_x": RAW}, {"t": target}).by_target.keys() == {"a", "b", "c"}


def test_a_transform_that_reads_a_meaning_reads_it_for_such_a_target_too() -> None:
    target = Table("t", (Column("a", "STRING"), Column("at", "TIMESTAMP")), key=("a",))
    text = "source: raw_x\ntarget_table: t\nmappings: {agg_id: a, count: at}\n"
    wrong = problems(text, {"raw_x": RAW}, {"t": target})
    assert wrong == [f"3:30: 'count' is BIGINT and 'at' needs TIMESTAMP; {UNTOLD}"]
    wrong = problems(text + "transforms: {at: from_ms}\n", {"raw_x": RAW}, {"t": target})
    assert wrong == [f"4:18: nothing tells what 'count' is, and from_ms reads a time in milliseconds; {UNTOLD}"]


@pytest.mark.parametrize(
    ("target", "text", "expected"),
    [
        (
            "side",
            "if(maker = 'buy', 'BUY', 'SELL')",
            "what 'maker', the maker's side, makes of 'side' is not for an expression to work out; "
            "map maker to it under mappings, with taker_from_maker under transforms",
        ),
        (
            "trade_ts",
            "timestamp_millis(seconds * 1000)",
            "what 'seconds', a time in seconds, makes of 'trade_ts' is not for an expression to work out; "
            "map seconds to it under mappings, with from_s under transforms",
        ),
        (
            "side",
            "upper(maker)",
            "raw 'maker' is the maker's side, and target 'side' is the taker's side; "
            "map maker to it under mappings, with taker_from_maker under transforms",
        ),
        *(
            (
                "quantity",
                text,
                "raw 'quote_qty' is an amount of the quote asset, "
                "and target 'quantity' is an amount of the base asset; "
                "use qty instead",
            )
            for text in (
                *("round(quote_qty, 8)", "coalesce(quote_qty, qty)", "coalesce(qty, quote_qty)", "(-abs(quote_qty))"),
                *("if(price > 1, quote_qty, 1.0)", "CASE WHEN price > 1 THEN qty ELSE quote_qty END"),
                *("greatest(qty, quote_qty)", "nullif(quote_qty, 0)", "cast(quote_qty as double)"),
                "cast(trim(cast(quote_qty as string)) as double)",
            )
        ),
        *(
            (
                "trade_id",
                text,
                "raw 'agg_id' is the id of an aggregate of trades, "
                "and target 'trade_id' is the id of a trade; use id instead",
            )
            for text in (
                *("trim(agg_id)", "lpad(agg_id, 9, '0')", "replace(agg_id, 'a', '')", "substring(agg_id, 2)"),
                *("regexp_replace(agg_id, '^a', '')", "left(lower(agg_id), 3)"),
            )
        ),
        (
            "trade_ts",
            "coalesce(_source_ingest_ts, time)",
            "raw '_source_ingest_ts' is the time at which the row was fetched, "
            "and target 'trade_ts' is the time of the trade; "
            "use time instead",
        ),
        (
            "trade_ts",
            "timestamp_micros(ms)",
            "timestamp_micros reads a time in microseconds, and 'ms' is a time in milliseconds; write timestamp_millis",
        ),
        (
            "trade_ts",
            "timestamp_millis(coalesce(us, 0))",
            "timestamp_millis reads a time in milliseconds, and 'us' is a time in microseconds; write timestamp_micros",
        ),
        (
            "trade_ts",
            "timestamp_micros(seconds)",
            "timestamp_micros reads a time in microseconds, and 'seconds' is a time in seconds; "
            "map it, with from_s under transforms",
        ),
        (
            "trade_ts",
            "timestamp_micros(count)",
            "nothing tells what 'count' is, and timestamp_micros reads a time in microseconds; " + UNTOLD,
        ),
        (
            "trade_ts",
            "timestamp_micros(unix_micros(_source_ingest_ts))",
            "timestamp_micros reads a time in microseconds, and '_source_ingest_ts' is the time at which the row was "
            "fetched; timestamp_micros is not for it",
        ),
        (
            "trade_id",
            "upper(note)",
            "nothing tells what 'note' is, and 'trade_id' is the id of a trade; map id to it instead, or " + UNTOLD,
        ),
    ],
)
def test_an_expression_does_not_hide_what_a_value_is(target: str, text: str, expected: str) -> None:
    with pytest.raises(ExpressionError) as refused:
        parse_expression(text, RAW, TRADES_UNIFIED.column(target))
    assert str(refused.value) == expected


@pytest.mark.parametrize(
    ("target", "text"),
    [
        ("quantity", "round(qty, 8)"),
        ("quantity", "coalesce(qty, 0.0)"),
        ("quantity", "quote_qty / price"),
        ("side", "CASE upper(note) WHEN 'B' THEN 'BUY' END"),
        ("trade_id", "concat(id, '-', agg_id)"),
        ("trade_id", "get_json_object(note, '$.id')"),
        ("symbol", "regexp_extract(note, '^(.+):', 1)"),
        ("symbol", "replace(upper(symbol), '/', '-')"),
        ("trade_ts", "timestamp_micros(us)"),
        ("trade_ts", "timestamp_millis(nullif(ms, 0))"),
        ("trade_ts", "timestamp_micros(unix_micros(time))"),
    ],
)
def test_what_an_expression_keeps_or_computes_anew_fits(target: str, text: str) -> None:
    parse_expression(text, RAW, TRADES_UNIFIED.column(target))


def test_what_an_expression_gets_wrong_is_told_where_it_is() -> None:
    text = FITTING.replace("  qty: quantity\n", "") + "expressions:\n  quantity: round(quote_qty, 8)\n"
    (problem,) = problems(text, {"raw_x": RAW})
    assert problem.startswith("15:13: raw 'quote_qty' is an amount of the quote asset, and target 'quantity' is")


def test_a_condition_may_compare_values_of_any_meaning() -> None:
    for text in ("coalesce(quote_qty, qty) > 0", "unix_micros(_source_ingest_ts) - unix_micros(time) < 1000"):
        parse_condition(text, RAW)
    with pytest.raises(ExpressionError, match="timestamp_micros reads a time in microseconds, and 'ms' is"):
        parse_condition("timestamp_micros(ms) < time", RAW)
