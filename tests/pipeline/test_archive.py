"""Loading official bulk files: each trade once, whatever was there before and however often a file is loaded."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import pytest

from schemahub_lib.exchanges import EXCHANGES
from schemahub_lib.pipeline import archive
from schemahub_lib.pipeline.archive import load_archives
from schemahub_lib.pipeline.progress import Progress
from schemahub_lib.pipeline.workers import Outcome
from schemahub_lib.schemas import PRODUCTS, RUNS
from schemahub_lib.tables.batches import to_arrow
from schemahub_lib.tables.lake import Lake
from schemahub_lib.tables.raw import Fetched, append_raw
from schemahub_lib.tables.state import read_state
from tests.archives import KRAKEN_LINES, binance_line, binance_zip, kraken_zip, text_of

BINANCE, KRAKEN = EXCHANGES["binance"], EXCHANGES["kraken"]


def load(lake: Lake, exchange: str, *paths: Path, products: Sequence[str] = ()) -> list[Outcome]:
    with Progress(live=False) as progress:
        return load_archives(
            lake, EXCHANGES[exchange], paths, products, "run", progress, threading.Event(), keep_payload=True
        )


def ids(lake: Lake, exchange: str) -> list[str]:
    table = lake.find(EXCHANGES[exchange].raw_table.name)
    assert table is not None
    rows = table.scan().to_arrow().sort_by("time")
    return [str(i) for i in rows[EXCHANGES[exchange].id_column].to_pylist()]


def covered(lake: Lake, exchange: str, product: str) -> tuple[tuple[int, int], ...]:
    table = lake.find(EXCHANGES[exchange].raw_table.name)
    assert table is not None
    return read_state(table).streams[product].covered


def test_a_file_is_loaded_once_however_often_it_is_given(lake: Lake, tmp_path: Path) -> None:
    path = binance_zip(tmp_path, [binance_line(n) for n in range(100, 150)])
    (first,) = load(lake, "binance", path)
    assert (first.status, first.trades, first.last_trade_id) == ("complete", 50, "149")
    table = lake.find(BINANCE.raw_table.name)
    assert table is not None
    (again,) = load(lake, "binance", path)
    assert (again.status, again.trades, again.duplicates) == ("nothing new", 0, 50)
    assert lake.find(BINANCE.raw_table.name).metadata.current_snapshot_id == table.metadata.current_snapshot_id  # type: ignore[union-attr]
    assert ids(lake, "binance") == [str(n) for n in range(100, 150)]
    assert covered(lake, "binance", "BTCUSDT") == ((100, 149),)
    assert [row["symbol"] for row in lake.partition(PRODUCTS, "binance")] == ["BTCUSDT"]


def test_only_what_is_not_there_comes_out_of_a_file(
    lake: Lake, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(archive, "BATCH_ROWS", 7)
    load(lake, "binance", binance_zip(tmp_path, [binance_line(n) for n in range(120, 130)]))
    (outcome,) = load(
        lake,
        "binance",
        binance_zip(tmp_path, [binance_line(n) for n in range(100, 150)], name="BTCUSDT-trades-2024-02"),
    )
    assert (outcome.trades, outcome.duplicates) == (40, 10)
    assert ids(lake, "binance") == [str(n) for n in range(100, 150)]
    assert covered(lake, "binance", "BTCUSDT") == ((100, 149),)


def test_ids_that_an_official_file_skips_do_not_exist(
    lake: Lake, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(archive, "BATCH_ROWS", 2)
    load(lake, "binance", binance_zip(tmp_path, [binance_line(n) for n in (1, 2, 7, 8, 20)]))
    assert covered(lake, "binance", "BTCUSDT") == ((1, 20),)


def test_a_damaged_file_is_refused_before_any_other_is_loaded(lake: Lake, tmp_path: Path) -> None:
    good = binance_zip(tmp_path, [binance_line(1)])
    bad = binance_zip(tmp_path, [binance_line(2)], name="ETHUSDT-trades-2024-02")
    bad.write_bytes(bad.read_bytes()[:-10])
    with pytest.raises(Exception, match=r"ETHUSDT-trades-2024-02.zip: "):
        load(lake, "binance", good, bad)
    assert lake.find(BINANCE.raw_table.name) is None


def test_a_line_that_is_no_trade_is_set_aside_and_the_run_recorded(lake: Lake, tmp_path: Path) -> None:
    lines = [binance_line(1), binance_line(2, price="free"), binance_line(3)]
    (outcome,) = load(lake, "binance", binance_zip(tmp_path, lines))
    assert (outcome.trades, outcome.set_aside) == (2, 1)
    (run,) = lake.find(RUNS.name).scan().to_arrow().to_pylist()  # type: ignore[union-attr]
    assert (run["job"], run["source"], run["status"], run["rows"]) == ("backfill", "binance", "ok", 2)


def kraken_trades(seconds: Sequence[float]) -> Fetched:
    """Trades of the API, with ids from 1 on."""
    columns = {
        "trade_id": [str(n) for n in range(1, len(seconds) + 1)],
        "pair": ["XBTUSD"] * len(seconds),
        "price": ["100.0"] * len(seconds),
        "volume": ["1.0"] * len(seconds),
        "time": [f"{second:.4f}" for second in seconds],
        "side": ["b"] * len(seconds),
        "order_type": ["l"] * len(seconds),
        "misc": [""] * len(seconds),
        "_raw_payload": ["[]"] * len(seconds),
    }
    rows, unfit = to_arrow(KRAKEN.raw_table, columns, source="kraken", fetched_at=datetime(2026, 1, 5, tzinfo=UTC))
    assert not unfit
    return Fetched(rows, None, "1")


def test_kraken_trades_have_stable_keys_no_side_and_tell_where_they_are_from(
    lake: Lake, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    twice = [*KRAKEN_LINES, "1381179030,123.61,0.1", "1381179030,123.610,0.10", "1381179031,124.0,1"]
    monkeypatch.setattr(archive, "BATCH_ROWS", 2)
    (outcome,) = load(lake, "kraken", kraken_zip(tmp_path, {"XBTUSD": twice}))
    assert outcome.trades == 5
    rows = lake.find(KRAKEN.raw_table.name).scan().to_arrow().to_pylist()  # type: ignore[union-attr]
    assert len({row["trade_id"] for row in rows}) == 5
    assert {row["side"] for row in rows} == {None}
    assert all("_archive" in row["_raw_payload"] for row in rows)
    assert covered(lake, "kraken", "XBTUSD") == ((1381095255_000000, 1381179031_999999),)
    (again,) = load(lake, "kraken", kraken_zip(tmp_path, {"XBTUSD": twice}))
    assert (again.trades, again.duplicates) == (0, 5)


def test_kraken_files_fill_only_seconds_of_which_nothing_is_there(lake: Lake, tmp_path: Path) -> None:
    lake.ensure(KRAKEN.raw_table)
    start = 1381095255
    append_raw(lake, KRAKEN.raw_table, "ingest", {"XBTUSD": kraken_trades([start + 2.5, start + 3.0, start + 4.25])})
    lines = [f"{start + n},100.0,1.0" for n in range(8)]
    (outcome,) = load(lake, "kraken", kraken_zip(tmp_path, {"XBTUSD": lines}))
    assert outcome.trades == 5  # not the seconds 2, 3 and 4
    stream = covered(lake, "kraken", "XBTUSD")
    assert stream == (
        (start * 10**6, (start + 2) * 10**6 - 1),
        (start * 10**6 + 2_500_000, start * 10**6 + 4_249_999),
        ((start + 5) * 10**6, (start + 8) * 10**6 - 1),
    )


def test_one_pair_out_of_many_is_loaded(lake: Lake, tmp_path: Path) -> None:
    path = kraken_zip(tmp_path, {"XBTUSD": KRAKEN_LINES, "ETHUSD": KRAKEN_LINES})
    (outcome,) = load(lake, "kraken", path, products=["ETHUSD"])
    assert (outcome.trades, outcome.product) == (2, "TimeAndSales_Combined/ETHUSD.csv in Kraken_Trading_History.zip")


def test_a_file_whose_lines_descend_keeps_what_came_before_and_says_so(
    lake: Lake, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(archive, "BATCH_ROWS", 2)
    path = tmp_path / "BTCUSDT-trades-2024-02-08.csv"
    path.write_text(text_of([binance_line(n) for n in (5, 6, 7, 3, 8, 9)]))
    (outcome,) = load(lake, "binance", path)
    assert outcome.status == "failed"
    assert "BTCUSDT-trades-2024-02-08.csv" in str(outcome.error)
    assert ids(lake, "binance") == ["5", "6"]
    assert covered(lake, "binance", "BTCUSDT") == ((5, 6),)
