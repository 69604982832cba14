"""Backfill straight into the raw tables: all of it, once, and only what is not there."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest

from schemahub_lib.exchanges import EXCHANGES
from schemahub_lib.pipeline import backfill
from schemahub_lib.pipeline.backfill import BackfillOptions, backfill_raw
from schemahub_lib.pipeline.ingest import IngestOptions
from schemahub_lib.pipeline.pipeline import run_ingest
from schemahub_lib.pipeline.progress import Journey, Progress
from schemahub_lib.pipeline.workers import Outcome
from schemahub_lib.schemas import RUNS
from schemahub_lib.simulator import Simulator
from schemahub_lib.tables.lake import Lake
from schemahub_lib.tables.state import Stream, read_state

PRODUCT = {"coinbase": "BTC-USD", "binance": "BTCUSDT", "kraken": "XBTUSD", "okx": "BTC-USDT"}
# Kraken answers once a second, and OKX's pages are of a hundred.
SOURCES = ["coinbase", "binance", *(pytest.param(name, marks=pytest.mark.slow) for name in ("kraken", "okx"))]
NOON = datetime(2024, 2, 8, 12, tzinfo=UTC)


@pytest.fixture(scope="module")
def simulator() -> Iterator[Simulator]:
    with Simulator(seed=3, now=NOON, speed=0, trade_rate=0.05, rate_limits=False) as running:
        yield running


@pytest.fixture
def lake(make_lake: Any, simulator: Simulator) -> Lake:
    return make_lake(**{f"SCHEMAHUB_{name.upper()}_URL": url for name, url in simulator.urls.items()})


def fill(lake: Lake, source: str, stop: threading.Event | None = None, **options: Any) -> Outcome:
    chosen = BackfillOptions(products=[PRODUCT[source]], **{"since": NOON.replace(hour=9)} | options)
    with Journey(live=False) as journey:
        (outcome,) = backfill_raw(lake, EXCHANGES[source], chosen, "run", journey, stop or threading.Event())
    return outcome


def ids(lake: Lake, source: str) -> list[str]:
    table = lake.find(EXCHANGES[source].raw_table.name)
    assert table is not None
    return sorted(table.scan().to_arrow()[EXCHANGES[source].id_column].to_pylist())


def stream(lake: Lake, source: str) -> Stream:
    table = lake.find(EXCHANGES[source].raw_table.name)
    assert table is not None
    return read_state(table).streams[PRODUCT[source]]


def assert_whole(lake: Lake, source: str) -> None:
    """Every id from the first to the last is there, each once."""
    found = Counter(map(int, ids(lake, source)))
    assert set(found) == set(range(min(found), max(found) + 1))
    assert set(found.values()) == {1}


@pytest.mark.parametrize("source", SOURCES)
def test_history_comes_whole_and_a_second_run_finds_nothing_new(
    lake: Lake, source: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(backfill, "BATCH_ROWS", 400)
    outcome = fill(lake, source)
    assert outcome.status == "complete"
    assert_whole(lake, source)
    assert len(ids(lake, source)) == outcome.trades > 200
    assert fill(lake, source).status == "nothing new"
    assert len(stream(lake, source).covered) == 1


@pytest.mark.parametrize("source", SOURCES)
def test_history_after_ingest_and_ingest_after_history_make_one_tape(lake: Lake, source: str) -> None:
    recent = IngestOptions(products=[PRODUCT[source]], since=NOON.replace(hour=11, minute=40))
    fill(lake, source, since=NOON.replace(hour=10, minute=30), until=NOON.replace(hour=11, minute=50))
    with Progress(live=False) as progress:
        run_ingest(lake, [EXCHANGES[source]], recent, "ingest", progress)
    fill(lake, source)
    assert_whole(lake, source)
    assert len(stream(lake, source).covered) == 1
    assert stream(lake, source).watermark is not None


@pytest.mark.parametrize("source", SOURCES)
def test_gaps_are_filled_and_nothing_else_is(lake: Lake, source: str) -> None:
    fill(lake, source, since=NOON.replace(hour=9), until=NOON.replace(hour=9, minute=30))
    assert fill(lake, source, since=None, gaps=True).status == "nothing new"
    fill(lake, source, since=NOON.replace(hour=10), until=NOON.replace(hour=10, minute=30))
    (gap,) = stream(lake, source).gaps
    outcome = fill(lake, source, since=None, gaps=True)
    assert outcome.trades > 0
    assert stream(lake, source).gaps == ()
    assert gap[0] > stream(lake, source).covered[0][0]
    assert_whole(lake, source)


def test_gaps_of_what_is_not_covered_yet_are_none_and_it_says_so(lake: Lake, caplog: pytest.LogCaptureFixture) -> None:
    assert fill(lake, "coinbase", since=None, gaps=True).status == "nothing covered"
    assert "nothing is covered yet, so there are no gaps to fill" in caplog.text


def test_pieces_of_other_sizes_give_the_same(lake: Lake, make_lake: Any, simulator: Simulator) -> None:
    fill(lake, "coinbase", chunk_size=77, concurrency=3)
    urls = {f"SCHEMAHUB_{name.upper()}_URL": url for name, url in simulator.urls.items()}
    other = make_lake("other", **urls)
    fill(other, "coinbase", chunk_size=5000, concurrency=1)
    assert ids(lake, "coinbase") == ids(other, "coinbase")


def test_one_products_failure_does_not_stop_the_others(lake: Lake) -> None:
    options = BackfillOptions(products=["NO-SUCH", "BTC-USD"], since=NOON.replace(hour=11), workers=2)
    with Journey(live=False) as journey:
        missing, bitcoin = backfill_raw(lake, EXCHANGES["coinbase"], options, "run", journey, threading.Event())
    assert (missing.status, bitcoin.status) == ("failed", "complete")
    assert "NO-SUCH" in str(missing.error)
    (run,) = lake.find(RUNS.name).scan().to_arrow().to_pylist()  # type: ignore[union-attr]
    assert (run["status"], run["rows"]) == ("partial", bitcoin.trades)


def test_a_run_that_is_stopped_keeps_what_it_has_and_the_next_goes_on(lake: Lake) -> None:
    stop = threading.Event()

    class Stopping(Journey):
        def advance(self, product: str, distance: int, rows: int) -> None:
            super().advance(product, distance, rows)
            stop.set()

    options = BackfillOptions(products=["BTC-USD"], since=NOON.replace(hour=9), chunk_size=100)
    with Stopping(live=False) as journey:
        (outcome,) = backfill_raw(lake, EXCHANGES["coinbase"], options, "run", journey, stop)
    assert outcome.status == "stopped"
    assert outcome.trades > 0
    rest = fill(lake, "coinbase")
    assert rest.duplicates == 0
    assert_whole(lake, "coinbase")
