"""Bulk files that are damaged, half there or of another kind are refused."""

from __future__ import annotations

import logging
import re
from pathlib import Path

import pytest

from schemahub_lib.errors import UsageError
from schemahub_lib.exchanges import EXCHANGES
from schemahub_lib.tables.archives import open_archive, read_archive
from tests.archives import (
    BINANCE_HEADER,
    FETCHED,
    KRAKEN_LINES,
    binance_line,
    binance_zip,
    flip_a_byte,
    kraken_csv,
    kraken_zip,
    read,
    read_file,
    text_of,
    truncate,
    write_checksum,
    write_zip,
)

BINANCE, KRAKEN = EXCHANGES["binance"], EXCHANGES["kraken"]
WITH_ARCHIVES = [exchange for exchange in EXCHANGES.values() if exchange.archive]


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
