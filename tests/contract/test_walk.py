"""Walking a tape from new to old, whatever the exchange and however its trades are spread."""

from __future__ import annotations

import random
from functools import partial
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemahub_lib.errors import UnexpectedResponse
from schemahub_lib.pipeline.history import MOST_PAGES, fetch, walk
from tests.contract.test_contract import START_NS, a_tape, even, page_sizes, shapes

HOUR = 3_600_000_000_000


def pieces_of(venue, tape, ranges, concurrency=3):
    one = partial(fetch, venue.client(tape), venue.exchange, venue.symbol)
    return list(walk(venue.exchange, ranges, one, at_once=concurrency))


def whole(venue, tape):
    return ((venue.exchange.first_position, venue.position(tape, tape.trades[-1])),)


def records_of(pieces):
    """Oldest first."""
    return [record for piece in reversed(pieces) for page in piece.pages for record in page.records]


@settings(max_examples=30, deadline=None)
@given(shape=shapes, size=page_sizes, skipped=st.sets(st.integers(0, 40), max_size=30), first_id=st.integers(1, 50_000))
def test_a_walk_sees_every_trade_once_from_new_to_old(venue, trade, shape, size, skipped, first_id):
    trades = [t for n, t in enumerate(a_tape(venue, trade, shape, first_id)) if n not in skipped or n == len(shape) - 1]
    tape = venue.tape(trades, size)
    if not trades:
        return
    ranges = whole(venue, tape)
    pieces = pieces_of(venue, tape, ranges)
    assert [venue.seen(record) for record in records_of(pieces)] == [venue.shown(tape, t) for t in trades]
    assert (pieces[-1].low, pieces[0].high) == ranges[0]
    assert all(newer.low == older.high + 1 for newer, older in pairwise(pieces))


@settings(max_examples=6, deadline=None)
@given(seed=st.integers(0, 1000))
def test_bursts_and_years_of_silence_cost_few_requests(venue, trade, seed):
    chance = random.Random(seed)
    trades, ns, number = [], START_NS, 1
    for _ in range(4):
        for _ in range(chance.randrange(1, 400)):
            ns += chance.choice([10_000_000, 1_000_000_000, 60_000_000_000])
            trades.append(trade(number, ns))
            number += 1
        ns += chance.randrange(1, 5000) * HOUR
        number += chance.choice([0, 0, 100_000])
    tape = venue.tape(trades, 10)
    pieces = pieces_of(venue, tape, whole(venue, tape))
    assert [venue.seen(record) for record in records_of(pieces)] == [venue.shown(tape, t) for t in trades]
    assert max(len(piece.pages) for piece in pieces) <= MOST_PAGES
    assert len(tape.requests) < 4 * (len(trades) / 10 + 150)


def test_only_the_ranges_asked_for_are_fetched(venue, trade):
    tape = venue.tape(even(venue, trade, 100), 10)
    at = [venue.position(tape, t) for t in tape.trades]
    pieces = pieces_of(venue, tape, ((at[10], at[19]), (at[50], at[79])))
    wanted = tape.trades[10:20] + tape.trades[50:80]
    assert [venue.seen(record) for record in records_of(pieces)] == [venue.shown(tape, t) for t in wanted]


def test_a_page_that_cannot_be_is_asked_for_again_but_not_for_ever(venue, trade):
    tape = venue.tape(even(venue, trade, 60), 10)
    ranges = whole(venue, tape)
    tape.stale = lambda: len(tape.requests) == 3
    assert len(records_of(pieces_of(venue, tape, ranges))) == 60
    answer = tape.answer
    tape.answer = lambda request: answer(request) if len(tape.requests) < 12 else ('{"what":"is this"}', {})
    with pytest.raises(UnexpectedResponse):
        pieces_of(venue, tape, ranges, concurrency=1)
    assert len(tape.requests) < 40
