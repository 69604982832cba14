"""What the limiter learns from being refused: each test is an exchange that grants less than it documents."""

from __future__ import annotations

import heapq
import random
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemahub_lib.exchanges import EXCHANGES
from schemahub_lib.http.limits import FULL, SLOWEST, Pace, RateLimiter
from schemahub_lib.http.retry import backoff
from schemahub_lib.simulator.limits import TokenBuckets, WeightWindow

COINBASE, BINANCE, KRAKEN = (EXCHANGES[name].rate_limit for name in ("coinbase", "binance", "kraken"))
WORKERS = 4


def answered(time, limit, share, seconds, strays=()):
    """Sends for a while as four threads do, to an exchange that grants a share of its limit and now and then says 429
    for no reason: how many requests were answered and how many refused."""
    limiter, chance = RateLimiter(limit, time.clock, time.sleep), random.Random(5)
    exchange = TokenBuckets(share * limit.units / limit.seconds, limit.burst, time.clock)
    started, due, under_way, good, refused = time.now, list(strays), [], 0, 0
    while time.now - started < seconds:
        sent = limiter.acquire()
        heapq.heappush(under_way, (sent + chance.uniform(0.03, 0.08), sent))
        while under_way and (len(under_way) >= WORKERS or under_way[0][0] <= time.now):
            arrival, sent = heapq.heappop(under_way)
            time.now = max(time.now, arrival)
            stray = bool(due) and time.now - started >= due[0]
            if exchange.take() and not stray:
                good += 1
            else:
                refused += 1
                due = due[stray:]
                limiter.throttled(backoff(1, None, chance.random()), sent)
    return good, refused


@pytest.mark.parametrize("limit", [COINBASE, KRAKEN], ids=["burst of 15", "burst of 1"])
@pytest.mark.parametrize("share", [0.8, 0.6, 0.3])
def test_the_pace_settles_on_what_the_exchange_really_grants(time, limit, share):
    seconds = 1800
    good, refused = answered(time, limit, share, seconds)
    granted = share * limit.units / limit.seconds * seconds
    assert good >= 0.85 * granted
    assert refused <= seconds / 40, "and every refusal is a risk of a ban"


def test_an_exchange_that_keeps_its_word_is_used_in_full(time):
    good, refused = answered(time, COINBASE, 1.0, 600)
    assert good >= 0.97 * 10 * 600
    assert refused == 0


def test_a_stray_refusal_costs_seconds(time):
    undisturbed, _ = answered(time, COINBASE, 1.0, 300)
    good, refused = answered(time, COINBASE, 1.0, 300, strays=(50.0,))
    assert refused == 1
    assert undisturbed - good <= 6 * 10, "as if nothing had been sent for six seconds"


def test_when_the_others_leave_the_pace_is_full_again(time):
    limiter = RateLimiter(COINBASE, time.clock, time.sleep)
    for _ in range(3):
        limiter.throttled(0.1, limiter.acquire())
    time.sleep(180)
    started = time.now
    for _ in range(310):
        limiter.acquire()
    assert time.now - started <= 310 / 9.9 + 0.1


def test_requests_refused_together_slow_down_once(time):
    limiter = RateLimiter(COINBASE, time.clock, time.sleep)
    sent = [limiter.acquire() for _ in range(WORKERS)]
    time.sleep(0.05)
    assert [limiter.throttled(0.2, then) for then in sent] == [0.5] * WORKERS
    assert limiter.throttled(0.2, limiter.acquire()) == pytest.approx(0.25, rel=0.05), "the next round counts again"


def test_the_pace_has_a_floor(time):
    limiter = RateLimiter(COINBASE, time.clock, time.sleep)
    paces = [limiter.throttled(0.0, limiter.acquire()) for _ in range(20)]
    assert paces[-1] == SLOWEST
    started = time.now
    limiter.acquire()
    assert time.now - started <= 2.1, "at a twentieth of ten a second"


def test_each_scope_has_its_own_pace_where_the_exchange_counts_so(time):
    limiter = RateLimiter(KRAKEN, time.clock, time.sleep)
    assert limiter.throttled(0.0, limiter.acquire(scope="XBTUSD"), "XBTUSD") == 0.5
    for scope, seconds in (("XBTUSD", 1.9), ("ETHUSD", 1.0)):
        limiter.acquire(scope=scope)
        started = time.now
        limiter.acquire(scope=scope)
        assert time.now - started == pytest.approx(seconds, abs=0.1), scope


def test_scopes_share_one_pace_where_it_does_not(time):
    limiter = RateLimiter(COINBASE, time.clock, time.sleep)
    limiter.throttled(0.0, limiter.acquire(scope="BTC-USD"), "BTC-USD")
    assert limiter.throttled(0.0, limiter.acquire(scope="ETH-USD"), "ETH-USD") < 0.3


def test_a_refusal_says_how_long_to_wait_and_the_slow_pace_begins_after_that(time):
    limiter = RateLimiter(COINBASE, time.clock, time.sleep)
    limiter.throttled(60.0, limiter.acquire())
    started = time.now
    limiter.acquire()
    limiter.acquire()
    assert time.now - started >= 60.0 + 0.39


def minutes(time, others, many):
    """Asks Binance for minutes, while others behind the same IP use `others` of weight a second: our weight a second,
    the seconds paused in each minute, and the lowest pace."""
    limiter, exchange = RateLimiter(BINANCE, time.clock, time.sleep), WeightWindow(6000, monotonic=time.clock)
    started = last = time.now = 0.0
    ours, theirs, lowest, paused = 0, 0.0, 1.0, []
    while time.now - started < 60 * many:
        sent = limiter.acquire(25)
        theirs += others * (time.now - last)
        last, (due, theirs) = time.now, divmod(theirs, 1)
        exchange.spend(int(due))
        used, refusal = exchange.spend(25)
        assert refusal is None
        ours += 25
        if used >= 0.95 * 6000:
            paused.append(60 - time.now % 60)
            lowest = min(lowest, limiter.used_up(paused[-1], sent))
        time.now += 0.01
    return ours / (60 * many), sum(paused) / many, lowest


def test_alone_we_never_slow_down_for_what_we_have_used_ourselves(time):
    a_second, _, lowest = minutes(time, others=0.0, many=10)
    assert lowest == 1.0
    assert a_second >= 0.95 * 100


@pytest.mark.parametrize("others", [20, 40, 60])
def test_a_minute_that_others_use_too_is_spread_over_its_seconds(time, others):
    a_second, paused, lowest = minutes(time, others, many=20)
    assert lowest < 1.0
    assert a_second >= 0.9 * (95 - others), "no weight is lost by it"
    assert paused <= 0.85 * 60 * (1 - 95 / (99 + others)), "of what would be paused at the full pace"


@given(
    lowest=st.floats(SLOWEST, 1.0),
    share=st.floats(1.0, 2.0),
    times=st.lists(st.floats(0.0, 1e6), min_size=2).map(sorted),
)
def test_a_pace_only_grows_and_ends_at_the_full_one(lowest, share, times):
    pace = Pace(lowest, min(lowest * share, 1.0), since=0.0)
    paces = [pace.at(time) for time in times]
    assert all(earlier <= later + 1e-12 for earlier, later in pairwise(paces))
    assert all(lowest <= pace <= 1.0 for pace in paces)
    assert pace.at(-1.0) == lowest
    assert pace.at(1000.0) == FULL.at(0.0) == 1.0
