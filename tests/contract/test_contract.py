"""What every exchange's connector promises, whatever the exchange: one suite, each claim for each of them."""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemahub_lib.errors import UnexpectedResponse
from schemahub_lib.quality.drift import changes

START = datetime(2021, 5, 19, 12, tzinfo=UTC)
START_NS = int(START.timestamp()) * 10**9
LONG_AGO = START - timedelta(days=1000)
BEFORE_ALL = START - timedelta(seconds=1)

# Nanoseconds from trade to trade: within one printed time, across its rounding, and far apart.
gaps = st.sampled_from([0, 0, 1, 30_000, 60_000, 1_000_000, 7_000_000, 1_000_000_000, 3_600_000_000_000])
sides = st.sampled_from(["buy", "sell"])
prices = st.sampled_from(["100.50", "100.5", "99.00000000", "1e2"])
moments = st.integers(-2, 40).map(lambda n: START + timedelta(seconds=n / 4))
page_sizes = st.integers(3, 9)
# How many trades have come since the run before, after how many pages it is cut off, and its `until`.
runs = st.tuples(st.integers(0, 15), st.integers(1, 5), st.none() | moments)


def a_tape(venue, trade, shape, first_id=1):
    """Trades from (gap, taker, price) triples, two at most in one nanosecond. Ids are contiguous."""
    trades = []
    for n, (gap, taker, price) in enumerate(shape):
        ns = trades[-1].ns + gap if trades else START_NS
        # A page of Kraken's ends at a nanosecond, so without ids no more than one trade in each can be told apart.
        crowd = [t.ns for t in trades[-2:]].count(ns)
        trades.append(trade(first_id + n, ns + (crowd >= (2 if venue.ids else 1)), price, "0.0100", taker))
    return trades


# A trade in the nanosecond of a page's end is found when the next one comes, so the last one is alone in its own.
shapes = st.just([]) | st.lists(st.tuples(gaps, sides, prices), max_size=40).map(lambda s: [*s, (10**9, "buy", "1")])


def even(venue, trade, count, first_id=1):
    return a_tape(venue, trade, [(1_000_000_000, "sell", "100.50")] * count, first_id)


def records_of(pages):
    return [record for page in pages for record in page.records]


@settings(max_examples=100, deadline=None)
@given(shape=shapes, size=page_sizes, start=moments)
def test_from_a_time_on_every_trade_comes_once_and_in_order(venue, trade, shape, size, start):
    tape = venue.tape(a_tape(venue, trade, shape), size)
    since = (start - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)
    wanted = [t for t in tape.trades if venue.printed(tape, t) >= since]
    assert [venue.seen(r) for r in records_of(venue.pages(tape, start))] == [venue.shown(tape, t) for t in wanted]


def test_what_is_sent_as_documented_is_no_drift(venue, trade):
    tape = venue.tape(even(venue, trade, 5), 3)
    records = records_of(venue.pages(tape, BEFORE_ALL))
    assert len(records) == 5
    for record in records:
        when = venue.exchange.time_of(record[venue.exchange.time_column])
        assert list(changes(venue.exchange, record["_raw_payload"], when)) == []


@settings(max_examples=100, deadline=None)
@given(shape=shapes, size=page_sizes, runs=st.lists(runs, max_size=6))
def test_runs_that_stop_anywhere_and_resume_at_their_cursor_add_up_to_the_tape(venue, trade, shape, size, runs):
    everything = a_tape(venue, trade, shape)
    tape = venue.tape([], size)
    start, got = BEFORE_ALL, []
    for new_trades, pages_taken, until in runs:
        tape.trades = everything[: len(tape.trades) + new_trades]
        for page, _ in zip(venue.pages(tape, start, until), range(pages_taken), strict=False):
            got += page.records
            start = venue.watermark(got, page.cursor)
    tape.trades = everything
    got += records_of(venue.pages(tape, start))
    assert [venue.seen(record) for record in got] == [venue.shown(tape, t) for t in everything]
    ids = [record[venue.exchange.id_column] for record in got]
    assert len(set(ids)) == len(ids)


@settings(max_examples=100, deadline=None)
@given(shape=shapes, size=page_sizes, until=moments)
def test_until_is_exclusive(venue, trade, shape, size, until):
    tape = venue.tape(a_tape(venue, trade, shape), size)
    limit = (until - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)
    wanted = [t for t in tape.trades if venue.printed(tape, t) < limit]
    got = records_of(venue.pages(tape, BEFORE_ALL, until))
    assert [venue.seen(record) for record in got] == [venue.shown(tape, t) for t in wanted]


@settings(max_examples=50, deadline=None)
@given(shape=shapes, size=page_sizes, seed=st.integers(0, 1000))
def test_stale_pages_delay_trades_but_lose_and_repeat_none(venue, trade, shape, size, seed):
    everything = a_tape(venue, trade, [*shape, (10**9, "buy", "1")])
    tape = venue.tape(everything, size)
    first = next(iter(venue.pages(tape, BEFORE_ALL)))
    got, cursor = list(first.records), first.cursor
    chance = random.Random(seed)
    tape.stale = lambda: chance.random() < 0.2
    for _ in range(40):
        if len(got) == len(everything):
            break
        for page in venue.pages(tape, venue.watermark(got, cursor)):
            got += page.records
            cursor = page.cursor
        assert [venue.seen(r) for r in got] == [venue.shown(tape, t) for t in everything[: len(got)]]
    assert len(got) == len(everything)


# Where ranges end between the first trade and the last: as fractions.
cuts = st.lists(st.floats(0, 1), max_size=5).map(sorted)


@settings(max_examples=50, deadline=None)
@given(shape=shapes, size=page_sizes, cuts=cuts, skipped=st.sets(st.integers(0, 40), max_size=20))
def test_ranges_of_history_add_up_to_the_tape_wherever_they_are_cut(venue, trade, shape, size, cuts, skipped):
    trades = [t for n, t in enumerate(a_tape(venue, trade, shape)) if n not in skipped or n == len(shape) - 1]
    tape = venue.tape(trades, size)
    head = venue.client(tape).ask(venue.exchange.head(venue.symbol))
    if not trades:
        assert head is None
        return
    first, head = venue.position(tape, trades[0]), venue.position(tape, trades[-1])
    ends = [*sorted({first - 1 + int((head - first + 1) * cut) for cut in cuts} - {first - 1, head}), head]
    got = []
    for low, high in zip([first - 3, *(end + 1 for end in ends)], ends, strict=False):
        pages = venue.between(tape, low, high)
        assert all(low <= position <= high for page in pages for position in venue.exchange.positions(page.columns))
        got += records_of(pages)
    assert [venue.seen(record) for record in got] == [venue.shown(tape, t) for t in trades]
    ids = [record[venue.exchange.id_column] for record in got]
    assert ids == [r[venue.exchange.id_column] for r in records_of(venue.pages(tape, BEFORE_ALL))]


@settings(max_examples=20, deadline=None)
@given(size=page_sizes, seed=st.integers(0, 1000))
def test_a_stale_page_among_ranges_of_history_loses_and_repeats_none(venue, trade, size, seed):
    tape = venue.tape(even(venue, trade, 60), size)
    stale = random.Random(seed).randrange(2, 12)
    tape.stale = lambda: len(tape.requests) == stale
    got = []
    high = venue.position(tape, tape.trades[-1])
    while high >= venue.position(tape, tape.trades[0]):
        low = high - (size if venue.exchange.raw_table.position == "id" else 7_500_000)
        got = records_of(venue.between(tape, low + 1, high)) + got
        high = low
    assert [venue.seen(record) for record in got] == [venue.shown(tape, t) for t in tape.trades]


def test_history_whose_end_is_not_to_be_seen_is_an_error_and_not_a_gap(venue, trade):
    everything = even(venue, trade, 30)
    tape = venue.tape(everything[:20], 5)
    high = venue.position(tape, everything[-1])
    with pytest.raises(UnexpectedResponse, match="as if there were no more"):
        venue.between(tape, venue.position(tape, everything[0]), high)


@pytest.mark.parametrize("malformed", [[29], [28, 29], [10, 11, 12, 13, 14], [0]])
def test_a_row_that_is_no_trade_is_set_aside_once_wherever_ranges_are_cut(venue, trade, malformed):
    trades = even(venue, trade, 30)
    positions = [venue.position(venue.tape(trades, 5), t) for t in trades]
    for number in malformed:
        trades[number] = replace(trades[number], price="free")
    tape = venue.tape([*trades, *even(venue, trade, 3, first_id=31)], 5)
    tape.trades[30:] = [replace(t, ns=t.ns + 40_000_000_000) for t in tape.trades[30:]]
    payloads = set()
    kept = 0
    for low, high in pairwise([positions[0], positions[9] + 1, positions[20], positions[29] + 1]):
        for page in venue.between(tape, low, high - 1):
            kept += len(page)
            payloads |= {rejected.payload for rejected in page.rejected}
    assert kept == 30 - len(malformed)
    assert payloads == {tape.row(trades[number]) for number in malformed}


def test_a_range_of_a_page_is_one_request(venue, trade):
    tape = venue.tape(even(venue, trade, 100), 10)
    low, high = (venue.position(tape, tape.trades[n]) for n in (40, 49))
    assert len(records_of(venue.between(tape, low, high))) == 10
    most = {"id": 1, "time": 3}[venue.exchange.raw_table.position]
    assert len(tape.requests) <= most * (3 if venue.pages_smaller_than_asked else 1)


@settings(max_examples=30, deadline=None)
@given(shape=shapes, size=page_sizes, when=moments)
def test_a_time_has_a_position_that_parts_older_trades_from_younger(venue, trade, shape, size, when):
    tape = venue.tape(a_tape(venue, trade, shape), size)
    position = venue.client(tape).ask(venue.exchange.position_at(venue.symbol, when))
    limit = (when - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)
    younger = [venue.position(tape, t) for t in tape.trades if venue.printed(tape, t) >= limit]
    older = [venue.position(tape, t) for t in tape.trades if venue.printed(tape, t) < limit]
    if position is None:
        assert younger == []
    else:
        assert max(older, default=position - 1) < position <= min(younger, default=position)


def test_an_empty_market_is_no_error(venue):
    tape = venue.tape([], 5)
    assert list(venue.pages(tape, BEFORE_ALL)) == []
    assert venue.client(tape).ask(venue.exchange.head(venue.symbol)) is None


def test_a_market_without_trades_since_the_start_is_no_error(venue, trade):
    tape = venue.tape(even(venue, trade, 20), 5)
    assert list(venue.pages(tape, START + timedelta(days=1))) == []


def test_caught_up_is_found_out_with_one_request(venue, trade):
    tape = venue.tape(even(venue, trade, 17), 5)
    pages = list(venue.pages(tape, BEFORE_ALL))
    tape.requests.clear()
    assert list(venue.pages(tape, venue.watermark(records_of(pages), pages[-1].cursor))) == []
    assert len(tape.requests) == 1


def test_a_few_new_trades_are_fetched_with_one_request(venue, trade):
    everything = even(venue, trade, 20)
    tape = venue.tape(everything[:17], 5)
    pages = list(venue.pages(tape, BEFORE_ALL))
    tape.trades = everything
    tape.requests.clear()
    new = records_of(venue.pages(tape, venue.watermark(records_of(pages), pages[-1].cursor)))
    assert len(new) == 3
    assert len(tape.requests) == 1


def test_a_long_outage_is_caught_up_page_by_page(venue, trade):
    everything = even(venue, trade, 500)
    tape = venue.tape(everything[:10], 10)
    pages = list(venue.pages(tape, BEFORE_ALL))
    tape.trades = everything
    tape.requests.clear()
    new = records_of(venue.pages(tape, venue.watermark(records_of(pages), pages[-1].cursor)))
    assert len(new) == 490
    assert len(tape.requests) <= 52


def test_a_start_before_all_history_begins_with_the_first_trade(venue, trade):
    tape = venue.tape(even(venue, trade, 50), 10)
    assert len(records_of(venue.pages(tape, LONG_AGO))) == 50


def test_every_page_leads_on_to_the_next(venue, trade):
    tape = venue.tape(even(venue, trade, 100), 7)
    pages = list(venue.pages(tape, BEFORE_ALL))
    assert len(pages) > 3
    for this, following in pairwise(pages):
        records = records_of(pages[: pages.index(this) + 1])
        resumed = next(iter(venue.pages(tape, venue.watermark(records, this.cursor))))
        assert venue.seen(resumed.records[0]) == venue.seen(following.records[0])


def test_a_record_has_the_raw_tables_own_columns_and_its_own_text(venue, trade):
    tape = venue.tape(even(venue, trade, 3), 5)
    columns = set(venue.exchange.raw_table.column_names) - {"_source", "_source_ingest_ts"}
    for record, on_tape in zip(records_of(venue.pages(tape, BEFORE_ALL)), tape.trades, strict=True):
        assert set(record) == columns
        assert record["_raw_payload"] == tape.row(on_tape)
        assert record[venue.exchange.symbol_column] == venue.symbol


@pytest.mark.parametrize(
    ("price", "size"),
    [
        ("0.00001305", "1e-8"),
        ("1E+5", "3"),
        ("72666.00000000", "0.10000000"),
        ("0.1000000000000000055511151", "9" * 19),
    ],
)
def test_prices_and_sizes_keep_their_exact_text(venue, trade, price, size):
    tape = venue.tape([replace(even(venue, trade, 1)[0], price=price, size=size)], 5)
    (record,) = records_of(venue.pages(tape, BEFORE_ALL))
    assert (venue.value(record, "price"), venue.value(record, "quantity")) == (price, size)


def test_a_taker_who_buys_and_one_who_sells_are_told_apart(venue, trade):
    one, two = even(venue, trade, 2)
    tape = venue.tape([replace(one, taker="buy"), replace(two, taker="sell")], 5)
    takers = {
        "coinbase": lambda record: {"SELL": "buy", "BUY": "sell"}[record["side"]],  # the maker's
        "binance": lambda record: "sell" if record["is_buyer_maker"] else "buy",
        "kraken": lambda record: {"b": "buy", "s": "sell"}[record["side"]],
        "okx": lambda record: record["side"],
    }
    assert [takers[venue.exchange.name](r) for r in records_of(venue.pages(tape, BEFORE_ALL))] == ["buy", "sell"]


def test_equal_trades_at_one_time_stay_apart(venue, trade):
    step = 0 if venue.ids else 1
    same = [trade(n, START_NS + n * step) for n in range(1, 31)]
    tape = venue.tape(same, 50)
    records = records_of(venue.pages(tape, BEFORE_ALL))
    assert len(Counter(record[venue.exchange.id_column] for record in records)) == 30


def test_a_row_that_is_no_trade_is_set_aside_and_the_others_go_on(venue, trade):
    trades = even(venue, trade, 23)
    trades[11] = replace(trades[11], price="free")
    tape = venue.tape(trades, 5)
    pages = list(venue.pages(tape, BEFORE_ALL))
    assert len(records_of(pages)) == 22
    (rejected,) = [rejected for page in pages for rejected in page.rejected]
    assert rejected.reason == f"{venue.key('price')} is 'free', not a number"
    assert rejected.payload == tape.row(trades[11])


def test_a_time_without_a_zone_is_refused(venue, trade):
    tape = venue.tape(even(venue, trade, 3), 5)
    with pytest.raises(TypeError):
        list(venue.pages(tape, datetime(2021, 5, 19)))
