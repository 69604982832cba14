"""The state that travels with the data."""

from __future__ import annotations

from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemahub_lib.config import Settings
from schemahub_lib.errors import SchemaHubError, StateCorrupt
from schemahub_lib.schemas import RUNS
from schemahub_lib.tables.lake import Lake
from schemahub_lib.tables.state import State, Stream, cover, read_state, write_state
from schemahub_lib.watermark import Watermark

WHEN = datetime(2024, 2, 8, 15, 12, 4, 123456, tzinfo=UTC)
STATE = State(
    {
        "BTC-USD": Stream(Watermark("12", WHEN, "12"), ((1, 5), (9, 12))),
        "XBTUSD": Stream(Watermark("x1-2-3-bl-0", WHEN, "1707405124123456789", ("x1-2-3-bl-0", "x1-2-3-bl-1"))),
    },
    {"raw_coinbase_trades": 2**62 + 1},
)


@pytest.fixture
def table(tmp_path: Path):  # type: ignore[no-untyped-def]
    lake = Lake(Settings.load(warehouse=str(tmp_path / "w"), environment={}))
    return lake.ensure(RUNS)


def marked(table, state: State):  # type: ignore[no-untyped-def]
    empty = table.scan().to_arrow().slice(0, 0)
    table.append(empty, snapshot_properties=write_state(table, state))
    return table.refresh()


def test_a_state_is_read_back_exactly(table) -> None:  # type: ignore[no-untyped-def]
    assert read_state(marked(table, STATE)) == STATE


def test_the_nearest_mark_counts_also_when_later_snapshots_carry_none(table) -> None:  # type: ignore[no-untyped-def]
    marked(table, State(sources={"a": 1}))
    marked(table, STATE)
    table.append(table.scan().to_arrow().slice(0, 0))
    assert read_state(table.refresh()) == STATE


def test_a_table_without_marks_has_the_empty_state(table) -> None:  # type: ignore[no-untyped-def]
    assert read_state(table) == State()


def test_an_altered_state_file_is_noticed(table) -> None:  # type: ignore[no-untyped-def]
    marked(table, STATE)
    (file,) = Path(table.location()).glob("metadata/_schemahub/*.json")
    file.write_text(file.read_text().replace("12", "13"))
    with pytest.raises(StateCorrupt, match="was altered"):
        read_state(table)


def test_a_missing_state_file_is_noticed(table) -> None:  # type: ignore[no-untyped-def]
    marked(table, STATE)
    (file,) = Path(table.location()).glob("metadata/_schemahub/*.json")
    file.unlink()
    with pytest.raises(StateCorrupt, match="cannot be read"):
        read_state(table)


def test_a_store_that_fails_for_a_moment_is_not_taken_for_a_lost_file(table, monkeypatch) -> None:  # type: ignore[no-untyped-def]
    marked(table, STATE)

    def throttled(location: str) -> None:
        raise OSError("AWS Error SLOW_DOWN")

    monkeypatch.setattr(table.io, "new_input", throttled)
    with pytest.raises(SchemaHubError, match=r"cannot be read now: .*SLOW_DOWN") as error:
        read_state(table)
    assert not isinstance(error.value, StateCorrupt)


def test_gaps_lie_between_covered_ranges() -> None:
    assert STATE.streams["BTC-USD"].gaps == ((6, 8),)


def test_a_stream_of_which_only_history_was_fetched_has_no_watermark(table) -> None:  # type: ignore[no-untyped-def]
    state = State({"BTC-USD": Stream(None, ((1, 5),))})
    assert read_state(marked(table, state)) == state
    assert state.watermark("BTC-USD") is None


@given(st.lists(st.tuples(st.integers(0, 60), st.integers(0, 10)), max_size=12), st.integers(0, 70), st.integers(0, 70))
def test_what_is_missing_of_a_range_is_what_is_not_covered(ranges: list[tuple[int, int]], low: int, high: int) -> None:
    covered = ()
    for start, length in ranges:
        covered = cover(covered, start, start + length)
    numbers = {n for start, end in covered for n in range(start, end + 1)}
    missing = Stream(None, covered).missing(low, high)
    assert {n for start, end in missing for n in range(start, end + 1)} == set(range(low, high + 1)) - numbers
    assert all(end + 1 < start for (_, end), (start, _) in pairwise(missing))


@given(st.lists(st.tuples(st.integers(0, 60), st.integers(0, 10)), max_size=12))
def test_covering_is_the_union_of_ranges(ranges: list[tuple[int, int]]) -> None:
    covered = ()
    for low, length in ranges:
        covered = cover(covered, low, low + length)
    numbers = {n for low, length in ranges for n in range(low, low + length + 1)}
    assert {n for low, high in covered for n in range(low, high + 1)} == numbers
    assert all(high + 1 < low for (_, high), (low, _) in pairwise(covered))
