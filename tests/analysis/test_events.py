"""Bursts of volatility are found where the simulated market has them, and kept once."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest

from schemahub_lib.analysis.events import Search, find_events
from schemahub_lib.errors import UsageError
from schemahub_lib.schemas import EVENTS
from schemahub_lib.simulator.market import SECOND
from schemahub_lib.tables.lake import Lake
from tests.analysis.market import BURST, lake_where, lake_with
from tests.e2e.pipelines import rows

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
    (kept,) = (row for row in rows(lake, EVENTS.name) if row["asset"] == "BTC")
    assert kept["peak_at"] == pytest.approx(BEGUN, abs=SHORTLY)
    # Another time leaves it, and the same time at a higher threshold does not.
    find_events(lake, Search(START, BEGUN - timedelta(minutes=5), assets=["BTC"]))
    assert [row["asset"] for row in rows(lake, EVENTS.name)].count("BTC") == 1
    assert find_events(lake, Search(START, END, assets=["BTC"], threshold=1000)) == []
    assert "BTC" not in [row["asset"] for row in rows(lake, EVENTS.name)]


MIDNIGHT = datetime(2024, 2, 8, tzinfo=UTC)


def second(number: float) -> datetime:
    return MIDNIGHT + timedelta(seconds=number)


def test_a_single_jump_is_a_burst_that_moved_as_far(tmp_path: Path) -> None:
    ticks = [(second(at / 2), 100.0 + at % 3 / 1000 + 2.0 * (at >= 1200)) for at in range(2400)]
    (event,) = find_events(lake_where(tmp_path, ticks), Search(MIDNIGHT, second(1200), threshold=50))
    assert event.starts_at <= second(600) <= event.ends_at
    assert event.move == pytest.approx(1e4 * np.log(1.02), abs=1)
    assert event.volatility == pytest.approx(event.move, rel=0.01)


def test_a_coin_that_mostly_sleeps_may_burst_too(tmp_path: Path) -> None:
    calm = [(second(at), 100.0) for at in (*range(0, 1800, 30), *range(2000, 3600, 30))]
    twitch = [(second(at + 1 + more), 100.0 + more % 2 / 100) for at in range(0, 1800, 100) for more in range(10)]
    storm = [(second(1900 + at / 10), 100.0 + at / 60) for at in range(600)]
    (event,) = find_events(lake_where(tmp_path, sorted(calm + twitch + storm)), Search(MIDNIGHT, second(3600)))
    assert second(1900) <= event.starts_at < event.ends_at <= second(1961)


def test_a_burst_on_the_edge_of_a_search_belongs_to_the_time_it_begins_in(tmp_path: Path) -> None:
    rising = [100.0 + at % 3 / 1000 + min(max(at - 1200, 0), 40) / 20 for at in range(2400)]
    lake = lake_where(tmp_path, [(second(at / 2), price) for at, price in enumerate(rising)])
    (whole,) = find_events(lake, Search(MIDNIGHT, second(1200)))
    assert whole.starts_at < second(610) < whole.ends_at
    assert find_events(lake, Search(second(610), second(1200))) == []
    (again,) = find_events(lake, Search(MIDNIGHT, second(610)))
    assert (again.starts_at, again.ends_at) == (whole.starts_at, whole.ends_at)
    assert len(rows(lake, EVENTS.name)) == 1


def test_the_same_finding_is_not_committed_again(tmp_path: Path) -> None:
    lake = lake_where(tmp_path, [(second(at / 2), 100.0 + at % 3 / 1000 + 2.0 * (at >= 1200)) for at in range(2400)])
    heads = set()
    for _ in range(3):
        find_events(lake, Search(MIDNIGHT, second(1200), threshold=50))
        table = lake.find(EVENTS.name)
        assert table is not None
        heads.add(table.metadata.current_snapshot_id)
    assert len(heads) == 1


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
        (Search(START - timedelta(days=32), END), "31 days at a time"),
    ],
)
def test_a_search_that_cannot_be_is_refused(lake: Lake, search: Search, told: str) -> None:
    with pytest.raises(UsageError, match=told):
        find_events(lake, search)


def test_without_trades_it_says_what_to_run(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="run the pipeline first"):
        find_events(lake_with(tmp_path, START, END), Search())
