"""Bulk files: what is read of them is what the API would have given, line by line."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from schemahub_lib.errors import UsageError
from schemahub_lib.exchanges import EXCHANGES
from schemahub_lib.exchanges.base import Exchange
from schemahub_lib.exchanges.rows import read_page
from schemahub_lib.http.messages import Rejected
from schemahub_lib.tables.batches import to_arrow
from schemahub_lib.tables.types import arrow_schema
from tests.archives import (
    BINANCE_HEADER,
    FETCHED,
    KRAKEN_LINES,
    binance_line,
    binance_zip,
    kraken_csv,
    kraken_zip,
    read,
    text_of,
    write_zip,
)

BINANCE, KRAKEN = EXCHANGES["binance"], EXCHANGES["kraken"]
WITH_ARCHIVES = [exchange for exchange in EXCHANGES.values() if exchange.archive]


@pytest.mark.parametrize("exchange", WITH_ARCHIVES, ids=lambda exchange: exchange.name)
def test_batches_have_the_raw_tables_columns_and_types(exchange: Exchange, tmp_path: Path) -> None:
    path = binance_zip(tmp_path, [binance_line(1)]) if exchange is BINANCE else kraken_csv(tmp_path, KRAKEN_LINES)
    rows, _ = read(exchange, path)
    assert rows.schema == arrow_schema(exchange.raw_table)
    assert set(rows["_source"].to_pylist()) == {exchange.name}
    assert set(rows["_source_ingest_ts"].to_pylist()) == {FETCHED}


@pytest.mark.parametrize("exchange", WITH_ARCHIVES, ids=lambda exchange: exchange.name)
def test_every_column_of_the_raw_table_is_told_by_lines_or_declared_untold(exchange: Exchange) -> None:
    archive, table = exchange.archive, exchange.raw_table
    assert archive is not None
    told = {field.column for field in archive.fields} | {exchange.symbol_column}
    told |= {exchange.id_column} if archive.id_made_of else set()
    ours = {"_source", "_source_ingest_ts", "_raw_payload"}
    assert told | set(archive.untold) | ours == set(table.column_names)
    assert not told & set(archive.untold)


def test_binance_rows_are_what_the_connector_makes_of_the_same_trades(tmp_path: Path) -> None:
    page = (
        '[{"id":6193332822,"price":"67774.00000000","qty":"0.00008000","quoteQty":"5.42192000",'
        '"time":1775571561875,"isBuyerMaker":false,"isBestMatch":true},'
        '{"id":6193332823,"price":"0.00001305","qty":"95.00000000","quoteQty":"84.34100000",'
        '"time":1775571561875123,"isBuyerMaker":true,"isBestMatch":false}]'
    )
    told = BINANCE.page(read_page(page, BINANCE.fields), "BTCUSDT", "")
    expected, _ = to_arrow(BINANCE.raw_table, told.columns, source="binance", fetched_at=FETCHED)
    lines = [
        "6193332822,67774.00000000,0.00008000,5.42192000,1775571561875,False,True",
        "6193332823,0.00001305,95.00000000,84.34100000,1775571561875123,True,False",
    ]
    rows, rejected = read(BINANCE, binance_zip(tmp_path, lines))
    assert not rejected
    assert rows.drop_columns("_raw_payload").equals(expected.drop_columns("_raw_payload"))
    for ours, theirs in zip(rows["_raw_payload"].to_pylist(), expected["_raw_payload"].to_pylist(), strict=True):
        assert ours == theirs[:-1] + ',"_archive":"BTCUSDT-trades-2024-02-08.zip"}', "the API's text, and where from"


@pytest.mark.parametrize("header", [None, BINANCE_HEADER, "trade Id,price,qty,quoteQty,time,isBuyerMaker,isBestMatch"])
@pytest.mark.parametrize("time", [1583709433583, 1735689600010866], ids=["milliseconds", "microseconds"])
def test_binance_files_with_and_without_a_header_in_either_unit(header: str | None, time: int, tmp_path: Path) -> None:
    lines = [binance_line(1, time=time), binance_line(2, time=time, buyer_maker="true", best_match="false")]
    rows, rejected = read(BINANCE, binance_zip(tmp_path, lines, header=header))
    assert not rejected
    micros = time * 1000 if time < 10**14 else time
    assert rows["time"].cast(pa.int64()).to_pylist() == [micros, micros]
    assert rows["is_buyer_maker"].to_pylist() == [False, True]
    assert rows["is_best_match"].to_pylist() == [True, False]


def test_a_file_may_change_its_unit_of_time_within(tmp_path: Path) -> None:
    lines = [binance_line(1, time=1735689599999), binance_line(2, time=1735689600000001)]
    rows, _ = read(BINANCE, binance_zip(tmp_path, lines))
    assert rows["time"].cast(pa.int64()).to_pylist() == [1735689599999000, 1735689600000001]


def test_kraken_trades_have_no_side_and_say_where_they_came_from(tmp_path: Path) -> None:
    rows, rejected = read(KRAKEN, kraken_zip(tmp_path, {"XBTUSD": KRAKEN_LINES}))
    assert not rejected
    assert rows["trade_id"].to_pylist() == ["a1381095255000000-122-0.1-0", "a1381179030000000-123.61-0.1-0"]
    assert rows["pair"].to_pylist() == ["XBTUSD"] * 2
    assert rows["time"].to_pylist()[0] == datetime(2013, 10, 6, 21, 34, 15, tzinfo=UTC)
    for untold in ("side", "order_type", "misc"):
        assert rows[untold].to_pylist() == [None, None]
    assert json.loads(rows["_raw_payload"][0].as_py()) == {
        "time": "1381095255",
        "price": "122.0",
        "volume": "0.1",
        "_archive": "TimeAndSales_Combined/XBTUSD.csv in Kraken_Trading_History.zip",
    }


def test_a_plain_csv_is_read_like_the_one_in_the_zip(tmp_path: Path) -> None:
    inside, _ = read(KRAKEN, kraken_zip(tmp_path, {"XBTUSD": KRAKEN_LINES}))
    plain, _ = read(KRAKEN, kraken_csv(tmp_path, KRAKEN_LINES))
    assert plain.drop_columns("_raw_payload").equals(inside.drop_columns("_raw_payload"))
    assert json.loads(plain["_raw_payload"][0].as_py())["_archive"] == "XBTUSD.csv"


def test_kraken_times_may_have_a_fraction_which_is_cut_to_microseconds(tmp_path: Path) -> None:
    lines = ["1762795433,1,1", "1762795433.9717449,1,1", "1762795434.5,1,1"]
    rows, _ = read(KRAKEN, kraken_csv(tmp_path, lines))
    assert rows["time"].cast(pa.int64()).to_pylist() == [1762795433000000, 1762795433971744, 1762795434500000]
    assert rows["trade_id"][1].as_py() == "a1762795433971744-1-1-0"


def test_names_that_json_must_escape_leave_payloads_json(tmp_path: Path) -> None:
    path = write_zip(tmp_path / 'my "own" <price> copy.zip', {"XBTUSD.csv": text_of(KRAKEN_LINES)})
    rows, _ = read(KRAKEN, path)
    assert json.loads(rows["_raw_payload"][0].as_py())["_archive"] == f"XBTUSD.csv in {path.name}"


def test_payloads_may_be_left_out(tmp_path: Path) -> None:
    rows, _ = read(BINANCE, binance_zip(tmp_path, [binance_line(1)]), keep_payload=False)
    assert rows["_raw_payload"].to_pylist() == [None]


texts_of_numbers = st.from_regex(r"(0|[1-9][0-9]{0,15})(\.[0-9]{1,20})?(e-?[0-9]{1,2})?", fullmatch=True)
unhurried = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@unhurried
@given(st.lists(texts_of_numbers, min_size=1, max_size=50))
def test_numbers_become_the_double_that_python_reads(tmp_path: Path, numbers: list[str]) -> None:
    rows, rejected = read(BINANCE, binance_zip(tmp_path, [binance_line(n, p) for n, p in enumerate(numbers)]))
    assert not rejected
    assert rows["price"].to_pylist() == [float(text) for text in numbers]


# --- made ids ---

few = st.sampled_from(["1", "1.0", "1.10", "1.1", "0.00005", "5e-05", "0.10000000", "10", "100"])


@unhurried
@given(
    st.lists(st.tuples(st.integers(0, 3), few, few), min_size=1, max_size=60),
    st.integers(1, 70),
)
def test_made_ids_do_not_depend_on_the_size_of_batches_and_are_unique(
    tmp_path: Path, steps: list[tuple[int, str, str]], batch_rows: int
) -> None:
    moment, lines = 1381095255, []
    for step, price, volume in steps:
        moment += step // 2
        lines.append(f"{moment},{price},{volume}")
    path = kraken_csv(tmp_path, lines)
    whole, _ = read(KRAKEN, path)
    parts, _ = read(KRAKEN, path, batch_rows=batch_rows)
    assert parts.equals(whole)
    ids = whole["trade_id"].to_pylist()
    assert len(set(ids)) == len(lines)
    for trade_id, line in zip(ids, lines, strict=True):
        time, price, volume, n = re.fullmatch(r"a(\d+)-([\d.]+)-([\d.]+)-(\d+)", trade_id).groups()
        assert [int(time) // 1_000_000, float(price), float(volume)] == [float(text) for text in line.split(",")]
        assert int(n) < len(lines)


def test_equal_numbers_make_equal_ids_however_they_are_spelled(tmp_path: Path) -> None:
    lines = ["1381095255,1.10,5e-05", "1381095256,100,2.0", "1381095256,1e2,2"]
    rows, _ = read(KRAKEN, kraken_csv(tmp_path, lines))
    assert rows["trade_id"].to_pylist() == [
        "a1381095255000000-1.1-0.00005-0",
        "a1381095256000000-100-2-0",
        "a1381095256000000-100-2-1",
    ]


# --- lines that are no trades ---


def test_a_malformed_line_is_set_aside_with_its_number_and_text_and_no_other(tmp_path: Path) -> None:
    # The third is a line that Binance did publish, in KSMUSDT-trades-2021-09-16.
    torn = "34550875,431.80000000,0.0234550876,431.80000000,0.02500000,10.79500000,1631766616805,False,True"
    lines = [
        binance_line(1),
        binance_line(2, price="abc"),
        torn,
        binance_line(4, best_match="Tru"),
        "",
        binance_line(6, time=17074051240011),
        "007" + binance_line(7)[1:],
        binance_line(8),
    ]
    rows, rejected = read(BINANCE, binance_zip(tmp_path, lines, header=BINANCE_HEADER))
    assert rows["id"].to_pylist() == ["1", "8"]
    name = "of BTCUSDT-trades-2024-02-08.zip"
    assert {r.reason: r.payload for r in rejected} == {
        f"line 3 {name}: price is 'abc', not a number": lines[1],
        f"line 4 {name}: 9 fields, not 7": torn,
        f"line 5 {name}: isBestMatch is 'Tru', not true or false": lines[3],
        f"line 7 {name}: time is '17074051240011', not milliseconds or microseconds since 1970": lines[5],
        f"line 8 {name}: id is '007', and not as it is published": lines[6],
    }


def test_what_is_not_text_is_set_aside(tmp_path: Path) -> None:
    text = text_of([binance_line(1), binance_line(2), binance_line(3)]).encode().replace(b"2,6", b"\xff\x00,6")
    path = write_zip(tmp_path / "BTCUSDT-trades-2024-02.zip", {"BTCUSDT-trades-2024-02.csv": text})
    rows, rejected = read(BINANCE, path)
    assert rows["id"].to_pylist() == ["1", "3"]
    assert [r.reason.partition(": ")[2] for r in rejected] == ["id is '?\\x00', not an integer"]


@pytest.mark.parametrize("batch_rows", [1, 2, 100])
def test_an_id_that_comes_twice_is_one_trade(batch_rows: int, tmp_path: Path) -> None:
    lines = [binance_line(1), binance_line(2), binance_line(2, price="1"), binance_line(3)]
    rows, rejected = read(BINANCE, binance_zip(tmp_path, lines), batch_rows=batch_rows)
    assert rows["id"].to_pylist() == ["1", "2", "3"]
    (again,) = rejected
    assert again == Rejected("line 3 of BTCUSDT-trades-2024-02-08.zip: id is 2, as in the line before", lines[2])


@pytest.mark.parametrize("batch_rows", [1, 2, 100])
def test_lines_that_descend_are_refused(batch_rows: int, tmp_path: Path) -> None:
    path = binance_zip(tmp_path, [binance_line(5), binance_line(7), binance_line(6)])
    with pytest.raises(UsageError, match=r"2024-02-08\.csv: id 6 comes after a later one \(7\), in the line '6,67774"):
        read(BINANCE, path, batch_rows=batch_rows)
    with pytest.raises(UsageError, match=r"XBTUSD\.csv: time 1381095255 comes after a later one"):
        read(KRAKEN, kraken_csv(tmp_path, KRAKEN_LINES[::-1]), batch_rows=batch_rows)


def test_a_file_in_which_no_line_is_a_trade_is_refused(tmp_path: Path) -> None:
    lines = [f"1707405124001,{n},True,1,2,3,x" for n in range(5)]
    with pytest.raises(UsageError, match=r"no line of it is a trade, the first because: line 1 .*: qty is 'True', not"):
        read(BINANCE, binance_zip(tmp_path, lines))
