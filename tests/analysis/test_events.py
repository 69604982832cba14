"""Bursts of volatility are found where the simulated market has them, and kept once."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from schemahub_lib.analysis.events import Search, find_events
from schemahub_lib.errors import UsageError
from schemahub_lib.schemas import EVENTS
from schemahub_lib.simulator.market import SECOND
from schemahub_lib.tables.lake import Lake
from tests.analysis.market import BURST, lake_with, rows_of

BEGUN, ENDED = (datetime.fromtimestamp(moment / SECOND, UTC) for moment in (BURST.start_ns, BURST.end_ns))
START, END = BEGUN - timedelta(minutes=20), ENDED + timedelta(minutes=20)
SHORTLY = timedelta(seconds=3)


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Lake:
    return lake_with(tmp_path_factory.mktemp("events"), START, END, "BTC", "SOL")


def test_a_known_burst_is_found_of_each_asset_and_nothing_else(lake: Lake) -> None:
    found = find_events(lake, Search(START, END))
    assert sorted(event.asset for event in found) == ["BTC", "SOL"]
    for event in found:
        assert event.peak_at == pytest.approx(BEGUN, abs=SHORTLY)
        assert BEGUN <= event.starts_at < event.ends_at <= ENDED + SHORTLY
        assert event.ratio > 8
        assert event.volatility == pytest.approx(event.ratio * event.usual)
        assert event.move > 100
        assert event.trades > 500
        assert event.venues == "BINANCE,COINBASE,KRAKEN"
    assert found[0].ratio > found[1].ratio


def test_what_is_found_is_kept_once_and_goes_when_it_is_found_no_more(lake: Lake) -> None:
    for _ in range(2):
        find_events(lake, Search(START, END, assets=["BTC"]))
    (kept,) = (row for row in rows_of(lake, EVENTS.name) if row["asset"] == "BTC")
    assert kept["peak_at"] == pytest.approx(BEGUN, abs=SHORTLY)
    # Another time leaves it, and the same time at a higher threshold does not.
    find_events(lake, Search(START, BEGUN - timedelta(minutes=5), assets=["BTC"]))
    assert [row["asset"] for row in rows_of(lake, EVENTS.name)].count("BTC") == 1
    assert find_events(lake, Search(START, END, assets=["BTC"], threshold=1000)) == []
    assert "BTC" not in [row["asset"] for row in rows_of(lake, EVENTS.name)]


def test_only_the_assets_named_are_looked_at(lake: Lake) -> None:
    assert [event.asset for event in find_events(lake, Search(START, END, assets=["SOL"]))] == ["SOL"]
    assert find_events(lake, Search(START, END, assets=["NOPE"])) == []


def test_without_a_time_it_is_the_last_day_there_is(lake: Lake) -> None:
    assert {event.asset for event in find_events(lake, Search())} == {"BTC", "SOL"}


@pytest.mark.parametrize(
    ("search", "told"),
    [
        (Search(START, END, window=timedelta(seconds=1)), "at least 2 s"),
        (Search(START, END, threshold=1.0), "above 1 times"),
        (Search(start=END + timedelta(days=1)), "there is no trade from 2024-02-09"),
    ],
)
def test_a_search_that_cannot_be_is_refused(lake: Lake, search: Search, told: str) -> None:
    with pytest.raises(UsageError, match=told):
        find_events(lake, search)


def test_without_trades_it_says_what_to_run(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="run the pipeline first"):
        find_events(lake_with(tmp_path, START, END), Search())
