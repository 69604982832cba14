"""Bulk files: what is damaged or of another kind is refused, what is read is what the API would have given."""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Sequence
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
from schemahub_lib.tables.archives import ArchiveFile, open_archive, read_archive
from schemahub_lib.tables.batches import to_arrow
from schemahub_lib.tables.types import arrow_schema
from tests.archives import (
    BINANCE_HEADER,
    KRAKEN_LINES,
    binance_line,
    binance_zip,
    flip_a_byte,
    kraken_zip,
    text_of,
    truncate,
    write_checksum,
    write_zip,
)

BINANCE, KRAKEN = EXCHANGES["binance"], EXCHANGES["kraken"]
FETCHED = datetime(2026, 1, 1, tzinfo=UTC)
WITH_ARCHIVES = [exchange for exchange in EXCHANGES.values() if exchange.archive]


def read(
    exchange: Exchange, path: Path, *, batch_rows: int = 250_000, keep_payload: bool = True
) -> tuple[pa.Table, list[Rejected]]:
    """All of a file with one CSV of trades."""
    (file,) = open_archive(exchange, path)
    return read_file(exchange, file, batch_rows=batch_rows, keep_payload=keep_payload)


def read_file(
    exchange: Exchange, file: ArchiveFile, *, batch_rows: int = 250_000, keep_payload: bool = True
) -> tuple[pa.Table, list[Rejected]]:
    batches = list(read_archive(exchange, file, fetched_at=FETCHED, keep_payload=keep_payload, batch_rows=batch_rows))
    assert all(len(batch.rows) <= batch_rows for batch in batches)
    return pa.concat_tables([batch.rows for batch in batches]), [r for batch in batches for r in batch.rejected]


def kraken_csv(folder: Path, lines: Sequence[str], name: str = "XBTUSD.csv") -> Path:
    path = folder / name
    path.write_text(text_of(lines), encoding="utf-8")
    return path


# --- what is read ---


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


# --- files that are refused ---


@pytest.mark.parametrize("share", [0.0, 0.3, 0.9, 0.999])
@pytest.mark.parametrize("checksum", [True, False])
def test_a_truncated_zip_is_refused_and_named(share: float, checksum: bool, tmp_path: Path) -> None:
    path = binance_zip(tmp_path, [binance_line(n) for n in range(500)])
    if not checksum:
        path.with_name(path.name + ".CHECKSUM").unlink()
    truncate(path, share)
    with pytest.raises(UsageError, match=rf"{re.escape(str(path))}: partial, truncated or damaged .*Download it again"):
        open_archive(BINANCE, path)


def test_a_damaged_member_is_refused_even_when_the_zips_directory_is_sound(tmp_path: Path) -> None:
    lines = [f"{1381095255 + n},{n}.5,0.{n}1" for n in range(500)]
    path = kraken_zip(tmp_path, {"ETHUSD": lines, "XBTUSD": lines})
    flip_a_byte(path, "TimeAndSales_Combined/XBTUSD.csv")
    with pytest.raises(UsageError, match=r"Kraken_Trading_History\.zip.*partial, truncated or damaged"):
        open_archive(KRAKEN, path)
    (sound,) = open_archive(KRAKEN, path, products=["ETHUSD"])
    assert len(read_file(KRAKEN, sound)[0]) == 500


def test_a_file_damaged_after_it_was_opened_is_refused_when_it_is_read(tmp_path: Path) -> None:
    path = kraken_zip(tmp_path, {"XBTUSD": [f"{1381095255 + n},{n}.5,0.{n}1" for n in range(500)]})
    (file,) = open_archive(KRAKEN, path)
    flip_a_byte(path, file.member)
    with pytest.raises(UsageError, match=r"partial, truncated or damaged|not a CSV of trades"):
        read_file(KRAKEN, file)
    write_zip(path, {"other.csv": ""})
    with pytest.raises(UsageError, match="partial, truncated or damaged"):
        read_file(KRAKEN, file)


def test_a_checksum_beside_the_file_must_match(tmp_path: Path) -> None:
    path = binance_zip(tmp_path, [binance_line(1)])
    assert open_archive(BINANCE, path)
    write_checksum(path, "0" * 64)
    with pytest.raises(
        UsageError, match=r"2024-02-08\.zip: its SHA-256 is [0-9a-f]{64}, but .*\.zip\.CHECKSUM says 0{64}"
    ):
        open_archive(BINANCE, path)
    path.with_name(path.name + ".CHECKSUM").write_text("<html>not found</html>")
    with pytest.raises(UsageError, match=r"CHECKSUM: expected a SHA-256"):
        open_archive(BINANCE, path)


def test_a_missing_checksum_is_warned_of_where_the_exchange_publishes_one(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = binance_zip(tmp_path, [binance_line(1)])
    with caplog.at_level(logging.WARNING):
        open_archive(BINANCE, path)
        open_archive(KRAKEN, kraken_zip(tmp_path, {"XBTUSD": KRAKEN_LINES}))
        assert not caplog.messages
        path.with_name(path.name + ".CHECKSUM").unlink()
        open_archive(BINANCE, path)
    assert [m.partition(": ")[2] for m in caplog.messages] == [
        "not compared with its checksum, because BTCUSDT-trades-2024-02-08.zip.CHECKSUM is not beside it. "
        "It is published where the zip is"
    ]


@pytest.mark.parametrize("cut", [1, 3, 8, 30])
def test_a_half_written_last_line_is_refused(cut: int, tmp_path: Path) -> None:
    text = text_of([binance_line(1), binance_line(2)])[:-cut]
    plain = tmp_path / "BTCUSDT-trades-2024-02.csv"
    plain.write_text(text)
    with pytest.raises(UsageError, match=r"last line has no end .*: partial or truncated\. Load the zip it came from"):
        open_archive(BINANCE, plain)
    zipped = write_zip(tmp_path / "BTCUSDT-trades-2024-02.zip", {plain.name: text})
    if cut == 1:  # whole but for its end, in a sound zip: published so
        assert len(read(BINANCE, zipped)[0]) == 2
    else:
        with pytest.raises(UsageError, match=r"last line has no end .*: partial or truncated\. Download it again"):
            open_archive(BINANCE, zipped)


def binance_member(name: str, line: str = binance_line(1)) -> dict[str, str]:
    return {f"{name}.csv": text_of([line])}


@pytest.mark.parametrize(
    ("members", "reason"),
    [
        (binance_member("BTCUSDT-aggTrades-2024-02"), r"\(aggregated trades, whose ids are not those of trades\)"),
        (
            binance_member("BTCUSD_PERP-trades-2024-02"),
            r"\(trades of futures, whose ids are not those of spot trades\)",
        ),
        (binance_member("BTCUSDT-1h-2024-02"), r"\(candles, not trades\)"),
        (binance_member("trades"), r"trades\.csv \(of no known name\)\. binance's files are published at https://data"),
        ({}, "no trades are in it, but nothing"),
        # Files of futures are named like those of spot trades.
        (
            binance_member("BTCUSDT-trades-2024-02", "51254697,9.96,18.8,187.248,1617840001352,false"),
            "its lines have 6 fields, as those of trades of futures, .* Trades of binance have 7: id, price, qty, ",
        ),
        (
            binance_member("BTCUSDT-trades-2024-02", "26129,0.01,4.7,27781,27781,1498793709153,true,true"),
            "its lines have 8 fields, as those of aggregated trades",
        ),
        (
            binance_member("BTCUSDT-trades-2024-02", "price,id,qty,quote_qty,time,is_buyer_maker,is_best_match"),
            "its first line is 'price,id,qty",
        ),
        (binance_member("BTCUSDT-trades-2024-02", BINANCE_HEADER), "there are no trades in it"),
        ({"BTCUSDT-trades-2024-02.csv": ""}, "there are no trades in it"),
    ],
)
def test_files_of_another_kind_are_refused(members: dict[str, str], reason: str, tmp_path: Path) -> None:
    path = write_zip(tmp_path / "some.zip", members)
    with pytest.raises(UsageError, match=rf"{re.escape(str(path))}.*{reason}"):
        open_archive(BINANCE, path)


@pytest.mark.parametrize(
    ("name", "line", "reason"),
    [
        ("XBTUSD_1440.csv", "1381017600,122.0,122.0,122.0,122.0,0.1,1", r"candles \(OHLCVT\), not trades"),
        ("XBTUSD.csv", "1381017600,122.0,122.0,122.0,122.0,0.1,1", "7 fields, as those of candles, or of trades with"),
        ("XBTUSD.csv", "Price,Volume,Timestamp,Type,OrderType,Misc", "6 fields, as those of trades with sides and ids"),
        ("XBTUSD.d.csv", "1381017600,122.0,0.1", "trades of a dark pool"),
    ],
)
def test_kraken_files_of_another_kind_are_refused(name: str, line: str, reason: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=reason):
        open_archive(KRAKEN, kraken_csv(tmp_path, [line], name))


def test_a_zip_of_many_pairs_gives_a_file_for_each_and_leaves_out_what_are_no_trades(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    text = text_of(KRAKEN_LINES)
    members = dict.fromkeys(("XBTUSD.csv", "more/ETHUSD.csv", "XBTUSD_60.csv", "__MACOSX/._XBTUSD.csv"), text)
    path = write_zip(tmp_path / "Kraken_Trading_History_Q1_2024.zip", members | {"more/": "", "EMPTYUSD.csv": ""})
    with caplog.at_level(logging.INFO):
        files = open_archive(KRAKEN, path)
    assert [(f.product, f.member) for f in files] == [("ETHUSD", "more/ETHUSD.csv"), ("XBTUSD", "XBTUSD.csv")]
    assert caplog.messages == [f"{path}: left out XBTUSD_60.csv (candles (OHLCVT), not trades)"]
    assert [f.product for f in open_archive(KRAKEN, path, products=["XBTUSD", "ADAUSD"])] == ["XBTUSD"]
    with pytest.raises(UsageError, match="no trades of ADAUSD are in it, but of "):
        open_archive(KRAKEN, path, products=["ADAUSD"])


def test_what_is_there_not_at_all_or_no_file_is_refused(tmp_path: Path) -> None:
    for name, reason in [("none.zip", "there is no such file"), ("", "there is no such file")]:
        with pytest.raises(UsageError, match=reason):
            open_archive(BINANCE, tmp_path / name)
    (tmp_path / "BTCUSDT-trades-2024-02.csv.gz").write_bytes(b"")
    with pytest.raises(UsageError, match=r"expected a \.zip as published, or a \.csv out of one"):
        open_archive(BINANCE, tmp_path / "BTCUSDT-trades-2024-02.csv.gz")


def test_an_exchange_without_bulk_files_says_so(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="coinbase publishes no bulk files of trades; fetch them from its API"):
        open_archive(EXCHANGES["coinbase"], tmp_path / "any.zip")


def test_reading_may_stop_anywhere(tmp_path: Path) -> None:
    (file,) = open_archive(BINANCE, binance_zip(tmp_path, [binance_line(n) for n in range(200_000)]))
    batches = read_archive(BINANCE, file, fetched_at=FETCHED, keep_payload=True, batch_rows=10)
    assert next(batches).rows["id"].to_pylist() == [str(n) for n in range(10)]
    batches.close()
