"""Which trades of a stream came, which are missing, and which may be recorded."""

from __future__ import annotations

from datetime import UTC, datetime

from hypothesis import given
from hypothesis import strategies as st

from schemahub_lib.exchanges import EXCHANGES
from schemahub_lib.live.sequence import WAITING_MOST, Gap, Ids, Tape
from schemahub_lib.watermark import Watermark
from tests.live.conftest import NOW, trade


def numbers(records: list[dict[str, object]]) -> list[int]:
    return [int(str(record["n"])) for record in records]


def mark(number: int) -> Watermark:
    return Watermark(str(number), datetime.fromtimestamp((NOW + number) / 1e6, UTC), str(number))


@given(st.lists(st.integers(1, 60), min_size=1, max_size=120))
def test_a_trade_is_new_once_in_whatever_order_it_comes(came: list[int]) -> None:
    ids = Ids()
    assert [number for number in came if ids.saw(trade(number))] == list(dict.fromkeys(came))
    assert ids.last is not None
    assert ids.last.id == max(came)


@given(st.lists(st.integers(1, 60), min_size=1, unique=True).map(sorted))
def test_every_gap_is_told_once_and_together_they_are_what_is_missing(came: list[int]) -> None:
    ids, gaps = Ids(), []
    for number in came:
        before = ids.last
        ids.saw(trade(number))
        if gap := ids.skipped(before, trade(number)):
            gaps.append(gap)
    told = [number for gap in gaps for number in range(gap.low, gap.high + 1)]
    assert told == sorted(set(range(came[0], came[-1] + 1)) - set(came))
    for gap in gaps:
        assert (gap.since, gap.until) == (NOW + gap.low - 1, NOW + gap.high + 1)


@given(st.sets(st.integers(1, 40), min_size=1), st.integers(0, 45), st.randoms())
def test_only_trades_that_follow_the_watermark_are_ready(came: set[int], last: int, random: object) -> None:
    tape = Tape(EXCHANGES["coinbase"], "BTC-USD")
    order = sorted(came)
    random.shuffle(order)
    for number in order:
        tape.add(trade(number))
    ready, gap = numbers(tape.ready(mark(last))), tape.behind(mark(last))
    assert ready == list(range(last + 1, last + 1 + len(ready)))
    assert set(ready) <= came
    assert last + 1 + len(ready) not in came
    waits = {number for number in came if number > last}
    assert (gap is None) == (bool(ready) or not waits)
    if gap:
        assert (gap.low, gap.high) == (last + 1, min(waits) - 1)


def test_without_a_watermark_a_recording_begins_with_its_first_trade() -> None:
    tape = Tape(EXCHANGES["binance"], "BTCUSDT")
    for number in (8, 7, 10):
        tape.add(trade(number))
    assert numbers(tape.ready(None)) == [7, 8]
    assert tape.behind(None) is None


def test_ids_that_the_exchange_skipped_are_no_trades_and_no_gap() -> None:
    tape = Tape(EXCHANGES["coinbase"], "BTC-USD")
    for number in (1, 4):
        tape.add(trade(number))
    tape.settled(Gap("BTC-USD", 2, 3, NOW, NOW), [trade(3)])
    assert numbers(tape.ready(mark(0))) == [1, 3, 4]


def test_where_times_count_the_newest_wait_until_a_later_one_shows_that_they_are_whole() -> None:
    tape = Tape(EXCHANGES["kraken"], "XBTUSD")
    for number, time in ((1, NOW), (2, NOW + 50), (3, NOW + 51), (4, NOW + 52)):
        tape.add(trade(number, "XBTUSD", time))
    assert numbers(tape.ready(mark(0))) == [1]
    tape.add(trade(5, "XBTUSD", NOW + 90))
    assert numbers(tape.ready(mark(1))) == [2, 3, 4]


def test_where_times_count_a_recording_begins_after_a_time_that_others_may_have() -> None:
    tape = Tape(EXCHANGES["kraken"], "XBTUSD")
    for number, time in ((1, NOW), (2, NOW), (3, NOW + 50), (4, NOW + 90)):
        tape.add(trade(number, "XBTUSD", time))
    assert numbers(tape.ready(None)) == [3]


def test_a_stream_of_before_there_were_ids_is_left_to_the_ingest() -> None:
    tape = Tape(EXCHANGES["kraken"], "XBTUSD")
    tape.add(trade(1))
    tape.add(trade(2, time=NOW + 50))
    old = Watermark("x1-2-3-bl-0", datetime(2016, 1, 1, tzinfo=UTC), "1")
    assert tape.ready(old) == []
    assert tape.behind(old) is None


def test_what_waits_for_too_long_is_dropped_from_the_old_end() -> None:
    tape = Tape(EXCHANGES["coinbase"], "BTC-USD")
    for number in range(WAITING_MOST + 2):
        tape.add(trade(number))
    gap = tape.behind(mark(0))
    assert gap == Gap("BTC-USD", 1, 1, NOW, NOW + 2)
