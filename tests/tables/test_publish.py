"""The fenced publish: what it guarantees, whoever else is writing."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import nullcontext
from datetime import UTC, datetime

import pytest

from schemahub_lib.errors import PublishRefused, SchemaHubError
from schemahub_lib.schemas import RAW_COMMON, Column, Table
from schemahub_lib.tables import publish as publishing
from schemahub_lib.tables.batches import to_arrow
from schemahub_lib.tables.lake import Lake
from schemahub_lib.tables.publish import Branch, Draft, Outdated, publish, tag
from schemahub_lib.tables.raw import Fetched, History, append_history, append_raw
from schemahub_lib.tables.state import State, Stream, read_state
from schemahub_lib.watermark import Watermark

TRADES = Table(
    "raw_test_trades",
    (
        Column("symbol", "STRING", required=True),
        Column("id", "STRING", required=True),
        Column("price", "DOUBLE"),
        Column("time", "TIMESTAMP", time_encoding="iso8601"),
        *RAW_COMMON,
    ),
    partition_by_day="time",
    sort_by=("symbol", "time"),
    key=("symbol", "id"),
)


def trades(first: int, last: int, symbol: str = "A", start: Watermark | None = None) -> Fetched:
    """Trades `first..last` as a fetch that began right at `first`: from a time on, or after the watermark `start`."""
    numbers = range(first, last + 1)
    columns = {
        "symbol": [symbol for _ in numbers],
        "id": [str(i) for i in numbers],
        "price": ["1.5" for _ in numbers],
        "time": [f"2026-01-0{1 + i % 3}T00:00:00.5Z" for i in numbers],
        "_raw_payload": ["{}" for _ in numbers],
    }
    rows, unfit = to_arrow(TRADES, columns, source="test", fetched_at=datetime(2026, 1, 5, tzinfo=UTC))
    assert not unfit
    return Fetched(rows, start, str(last))


def ids(lake: Lake) -> list[int]:
    table = lake.find(TRADES.name)
    assert table is not None
    return sorted(int(i) for i in table.scan(selected_fields=("id",)).to_arrow()["id"].to_pylist())


def test_rows_and_their_watermark_become_visible_together(lake: Lake) -> None:
    lake.ensure(TRADES)
    published = append_raw(lake, TRADES, "run-1", {"A": trades(1, 5)})
    table = lake.find(TRADES.name)
    assert table is not None
    assert ids(lake) == [1, 2, 3, 4, 5]
    assert table.metadata.current_snapshot_id == published.snapshot_id
    assert read_state(table).streams["A"].watermark.last_trade_id == "5"
    assert set(table.metadata.refs) == {"main"}


def test_rows_another_run_published_meanwhile_are_left_out(lake: Lake) -> None:
    lake.ensure(TRADES)
    append_raw(lake, TRADES, "run-1", {"A": trades(1, 5)})
    second = append_raw(lake, TRADES, "run-2", {"A": trades(3, 8)})
    assert (second.result.rows, second.result.duplicates) == (3, 3)
    assert ids(lake) == list(range(1, 9))


def test_a_stream_begun_by_two_runs_at_different_places_has_no_hole_that_nobody_knows_of(lake: Lake) -> None:
    """A long run from far back has published its first batch when one with a later start comes with its own."""
    lake.ensure(TRADES)
    first = append_raw(lake, TRADES, "long", {"A": trades(1, 5)})
    assert first.state is not None
    late = append_raw(lake, TRADES, "short", {"A": trades(20, 25)})
    assert (late.result.rows, late.result.duplicates, late.state) == (0, 0, None)
    append_raw(lake, TRADES, "long", {"A": trades(6, 22, start=first.state.streams["A"].watermark)})
    overlapping = append_raw(lake, TRADES, "short", {"A": trades(20, 25)})
    assert (overlapping.result.rows, overlapping.result.duplicates) == (3, 3)
    assert ids(lake) == list(range(1, 26))
    table = lake.find(TRADES.name)
    assert table is not None
    assert read_state(table).streams["A"].covered == ((1, 25),)


def test_what_lies_before_a_stream_begun_meanwhile_is_no_duplicate(lake: Lake) -> None:
    lake.ensure(TRADES)
    append_raw(lake, TRADES, "short", {"A": trades(20, 25)})
    early = append_raw(lake, TRADES, "long", {"A": trades(1, 5)})
    assert (early.result.rows, early.result.duplicates) == (0, 0)
    assert ids(lake) == list(range(20, 26))


def history(first: int, last: int) -> History:
    return History(trades(first, last).rows, ((first, last),))


def state_of(lake: Lake) -> Stream:
    table = lake.find(TRADES.name)
    assert table is not None
    return read_state(table).streams["A"]


def test_history_leaves_the_watermark_where_it_is(lake: Lake) -> None:
    lake.ensure(TRADES)
    append_raw(lake, TRADES, "ingest", {"A": trades(20, 25)})
    append_history(lake, TRADES, "backfill", {"A": history(5, 9)})
    stream = state_of(lake)
    assert (stream.watermark and stream.watermark.last_trade_id, stream.covered) == ("25", ((5, 9), (20, 25)))
    assert stream.gaps == ((10, 19),)
    append_raw(lake, TRADES, "ingest", {"A": trades(26, 27, start=stream.watermark)})
    assert ids(lake) == [*range(5, 10), *range(20, 28)]


def test_history_brings_in_only_what_is_not_covered_and_nothing_twice(lake: Lake) -> None:
    lake.ensure(TRADES)
    append_history(lake, TRADES, "one", {"A": history(10, 15)})
    second = append_history(lake, TRADES, "two", {"A": history(8, 20)})
    assert (second.result.rows, second.result.duplicates) == (7, 6)
    again = append_history(lake, TRADES, "three", {"A": history(9, 19)})
    assert (again.result.rows, again.result.duplicates, again.snapshot_id) == (0, 11, None)
    assert ids(lake) == list(range(8, 21))


def test_a_stream_with_history_only_begins_like_a_new_one_and_keeps_each_trade_once(lake: Lake) -> None:
    lake.ensure(TRADES)
    append_history(lake, TRADES, "backfill", {"A": history(1, 22)})
    assert state_of(lake).watermark is None
    published = append_raw(lake, TRADES, "ingest", {"A": trades(20, 25)})
    assert (published.result.rows, published.result.duplicates) == (3, 3)
    assert (ids(lake), state_of(lake).covered) == (list(range(1, 26)), ((1, 25),))


def test_ids_that_the_exchange_does_not_have_are_covered_by_the_range_they_are_missing_from(lake: Lake) -> None:
    lake.ensure(TRADES)
    append_history(lake, TRADES, "backfill", {"A": History(trades(5, 6).rows, ((1, 9),))})
    assert (ids(lake), state_of(lake).covered) == ([5, 6], ((1, 9),))


@pytest.mark.parametrize(("step", "kept"), [("mark", 5), ("fast_forward", 9)])
def test_a_branch_that_was_dropped_meanwhile_does_not_take_mains_rows_with_it(
    lake: Lake, monkeypatch: pytest.MonkeyPatch, step: str, kept: int
) -> None:
    """Before the mark the publish fails; after it all is written, and main goes to the mark itself."""
    lake.ensure(TRADES)
    append_raw(lake, TRADES, "before", {"A": trades(1, 5)})
    original = getattr(Branch, step)

    def dropped_first(branch: Branch, *arguments: object) -> object:
        table = lake.find(TRADES.name)
        assert table is not None
        table.manage_snapshots().remove_branch(branch.name).commit()
        return original(branch, *arguments)

    monkeypatch.setattr(Branch, step, dropped_first)
    with pytest.raises(SchemaHubError, match="was dropped while a run was writing") if kept == 5 else nullcontext():
        append_raw(lake, TRADES, "after", {"A": trades(6, 9)})
    assert ids(lake) == list(range(1, kept + 1))


def test_a_branch_made_anew_from_nothing_is_refused(lake: Lake) -> None:
    lake.ensure(TRADES)
    append_raw(lake, TRADES, "before", {"A": trades(1, 5)})
    branch = Branch(lake, TRADES.name)
    table = lake.find(TRADES.name)
    assert table is not None
    table.manage_snapshots().remove_branch(branch.name).commit()
    table.append(trades(6, 9).rows, branch=branch.name)
    branch.mark("late", State())
    with pytest.raises(SchemaHubError, match="does not continue main"):
        branch.fast_forward()
    assert ids(lake) == [1, 2, 3, 4, 5]


def test_nothing_new_publishes_nothing(lake: Lake) -> None:
    lake.ensure(TRADES)
    first = append_raw(lake, TRADES, "run-1", {"A": trades(1, 5)})
    again = append_raw(lake, TRADES, "run-2", {"A": trades(2, 5)})
    table = lake.find(TRADES.name)
    assert table is not None
    assert again.snapshot_id is None
    assert table.metadata.current_snapshot_id == first.snapshot_id


def test_a_writer_that_lost_the_race_trims_against_the_winner_and_publishes_the_rest(lake: Lake) -> None:
    lake.ensure(TRADES)
    lost = Branch(lake, TRADES.name)
    append_raw(lake, TRADES, "winner", {"A": trades(1, 5)})
    lost.mark("loser", State())
    assert lost.fast_forward() is False
    lost.drop()
    append_raw(lake, TRADES, "loser", {"A": trades(1, 7)})
    assert ids(lake) == list(range(1, 8))


def test_the_state_is_that_of_the_branch_base_even_when_main_moves_on(lake: Lake) -> None:
    lake.ensure(TRADES)
    append_raw(lake, TRADES, "run-1", {"A": trades(1, 5)})
    branch = Branch(lake, TRADES.name)
    append_raw(lake, TRADES, "run-2", {"A": trades(6, 9)})
    assert branch.base_state().streams["A"].watermark.last_trade_id == "5"
    branch.drop()


def test_a_publish_that_never_gets_through_is_refused_and_leaves_no_branch(
    make_lake: Callable[..., Lake], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(publishing, "ATTEMPTS", 2)
    lake, rival = make_lake(), make_lake()
    lake.ensure(TRADES)
    number = iter(range(100))

    def write(state: State, branch: Branch) -> Draft[None]:
        other = Branch(rival, TRADES.name)
        other.mark(f"rival-{next(number)}", State())
        assert other.fast_forward()
        return Draft(None, State())

    with pytest.raises(PublishRefused, match="lost against other writers"):
        publish(lake, TRADES.name, "unlucky", write)
    table = lake.find(TRADES.name)
    assert table is not None
    assert set(table.metadata.refs) == {"main"}


def test_a_writer_whose_reading_was_expired_writes_again_on_another_branch(lake: Lake) -> None:
    lake.ensure(TRADES)
    branches: list[str] = []

    def write(state: State, branch: Branch) -> Draft[int]:
        branches.append(branch.name)
        if len(branches) == 1:
            raise Outdated("what was read is gone")
        return Draft(len(branches), State())

    published = publish(lake, TRADES.name, "run", write)
    assert published.result == len(set(branches)) == 2
    table = lake.find(TRADES.name)
    assert table is not None
    assert table.metadata.current_snapshot_id == published.snapshot_id
    assert set(table.metadata.refs) == {"main"}


def test_an_error_while_writing_leaves_main_and_no_branch(lake: Lake) -> None:
    before = lake.ensure(TRADES).metadata.current_snapshot_id

    def write(state: State, branch: Branch) -> Draft[None]:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        publish(lake, TRADES.name, "run", write)
    table = lake.find(TRADES.name)
    assert table is not None
    assert table.metadata.current_snapshot_id == before
    assert set(table.metadata.refs) == {"main"}


def test_concurrent_writers_of_overlapping_rows_write_each_once(make_lake: Callable[..., Lake]) -> None:
    make_lake().ensure(TRADES)
    failures: list[BaseException] = []

    def write(first: int) -> None:
        try:
            append_raw(make_lake(), TRADES, f"run-{first}", {"A": trades(1, first + 20)})
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=write, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures
    assert ids(make_lake()) == list(range(1, 24))


def test_branches_left_behind_are_swept_and_young_ones_are_not(lake: Lake) -> None:
    lake.ensure(TRADES)
    table = lake.find(TRADES.name)
    assert table is not None
    assert table.metadata.current_snapshot_id is not None
    for name in ("run_20200101T000000_00000000", "run_20991231T000000_00000000", "blocked_20200101T000000_00000000"):
        table.manage_snapshots().create_branch(table.metadata.current_snapshot_id, name).commit()
    append_raw(lake, TRADES, "run", {"A": trades(1, 2)})
    table = lake.find(TRADES.name)
    assert table is not None
    kept = {"main", "run_20991231T000000_00000000", "blocked_20200101T000000_00000000"}
    assert set(table.metadata.refs) == kept


def test_of_the_branches_that_were_blocked_the_newest_three_are_kept(lake: Lake) -> None:
    table = lake.ensure(TRADES)
    assert table.metadata.current_snapshot_id is not None
    earlier = [f"blocked_2026010{day}T000000_00000000" for day in range(1, 5)]
    for name in ("run_20991231T000000_00000000", *reversed(earlier)):
        table.manage_snapshots().create_branch(table.metadata.current_snapshot_id, name).commit()
    blocked = publish(lake, TRADES.name, "run", lambda state, branch: Draft(None, None, blocked=True)).blocked
    refs = lake.ensure(TRADES).metadata.refs
    assert set(refs) == {"main", "run_20991231T000000_00000000", *earlier[2:], blocked}


def test_a_tag_moves(lake: Lake) -> None:
    lake.ensure(TRADES)
    for last in (3, 6):
        published = append_raw(lake, TRADES, "run", {"A": trades(1, last)})
        assert published.snapshot_id is not None
        tag(lake, TRADES.name, "unified", published.snapshot_id)
    table = lake.find(TRADES.name)
    assert table is not None
    assert table.metadata.refs["unified"].snapshot_id == published.snapshot_id


def test_a_tag_to_a_snapshot_that_is_expired_is_not_tried_again_and_again(
    lake: Lake, caplog: pytest.LogCaptureFixture
) -> None:
    table = lake.ensure(TRADES)
    with caplog.at_level("DEBUG", logger="schemahub_lib"):
        tag(lake, TRADES.name, "unified", 1)
    assert [record.getMessage() for record in caplog.records if "tag" in record.getMessage()] == [
        f"{TRADES.name}: the tag unified could not be moved; the next run moves it (snapshot 1 is expired)"
    ]
    assert "failed" not in caplog.text
    assert "unified" not in table.refresh().refs()
