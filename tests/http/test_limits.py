from __future__ import annotations

import random
import threading
import time as real_time
from contextlib import suppress

import pytest

from schemahub_lib.http.limits import Paused, RateLimiter
from schemahub_lib.http.messages import RateLimit

COINBASE = RateLimit(units=10, seconds=1, burst=15)


class StrictBucket:
    """The exchange's side of the limit: refuses whatever comes too early."""

    def __init__(self, limit: RateLimit) -> None:
        self.rate, self.burst = limit.units / limit.seconds, limit.burst
        self.level, self.then, self.refused = limit.burst, 0.0, 0

    def arrives(self, now: float, weight: float = 1.0) -> None:
        self.level = min(self.burst, self.level + (now - self.then) * self.rate)
        self.then = now
        if self.level < weight:
            self.refused += 1
        else:
            self.level -= weight


@pytest.mark.parametrize("overshoot", [0.0, 0.015])
def test_one_worker_uses_nearly_all_of_the_limit_and_is_never_refused(time, overshoot):
    def sleep(seconds):
        time.sleep(seconds + overshoot)

    limiter, server = RateLimiter(COINBASE, time.clock, sleep), StrictBucket(COINBASE)
    chance, started, sent = random.Random(7), time.now, 0
    while time.now - started < 300:
        limiter.acquire()
        way = chance.uniform(0.005, 0.045)
        server.arrives(time.now + way)
        sent += 1
        time.now += 0.05
    assert server.refused == 0
    assert sent >= 0.97 * 10 * 300


def test_many_workers_together_use_the_limit_and_are_never_refused(time):
    limiter, server = RateLimiter(COINBASE, time.clock, time.sleep), StrictBucket(COINBASE)
    started, arrivals, chance = time.now, [], random.Random(3)
    while time.now - started < 120:  # whoever is next, the limiter is asked in turn
        limiter.acquire()
        arrivals.append(time.now + chance.uniform(0.01, 0.4))
    for arrival in sorted(arrivals):
        server.arrives(arrival)
    assert server.refused == 0
    assert len(arrivals) >= 0.97 * 10 * 120


def test_threads_share_one_bucket():
    limit = RateLimit(units=200, seconds=1, burst=15)
    limiter = RateLimiter(limit, real_time.monotonic, real_time.sleep)
    started = real_time.monotonic()

    def work():
        for _ in range(10):
            limiter.acquire()

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert real_time.monotonic() - started >= (80 - 15) / 200


def test_whoever_comes_while_another_waits_has_the_turn_after_it(time):
    waits, later = [], []

    def wait(seconds):
        waits.append(seconds)
        if len(waits) == 1:
            later.append(limiter.acquire())
        else:
            time.sleep(seconds)

    limiter = RateLimiter(COINBASE, time.clock, wait)
    while not waits:
        first = limiter.acquire()
    assert waits[1] == pytest.approx(2 * waits[0])
    assert len(waits) == 2  # the first need not wait again
    assert first == later[0]


def test_whoever_gives_up_waiting_holds_nobody_back(time):
    waits = []

    def give_up(seconds):
        waits.append(seconds)
        raise KeyboardInterrupt

    limiter = RateLimiter(COINBASE, time.clock, give_up)
    while not waits:
        with suppress(KeyboardInterrupt):
            limiter.acquire()
    with pytest.raises(KeyboardInterrupt):
        limiter.acquire()
    assert waits[1] == waits[0]


def test_weights_are_paid_for(time):
    limiter = RateLimiter(RateLimit(units=6000, seconds=60, burst=600), time.clock, time.sleep)
    started = time.now
    for _ in range(240):
        limiter.acquire(25)
    after_the_burst = 240 * 25 - 400
    assert after_the_burst / 100 <= time.now - started <= after_the_burst / 100 / 0.97


def test_a_request_heavier_than_the_burst_still_goes(time):
    limiter = RateLimiter(RateLimit(units=10, seconds=1, burst=3), time.clock, time.sleep)
    limiter.acquire(20)
    started = time.now
    limiter.acquire(1)
    assert time.now - started >= 1.8, "and is paid for afterwards"


def test_each_scope_has_its_own_bucket_where_the_exchange_counts_so(time):
    limiter = RateLimiter(RateLimit(units=1, seconds=1, burst=1, per_scope=True), time.clock, time.sleep)
    for pair in ("XBTUSD", "ETHUSD", "XDGUSD"):
        limiter.acquire(scope=pair)
    assert not time.slept
    limiter.acquire(scope="ETHUSD")
    assert sum(time.slept) >= 1.0


def test_scopes_share_the_bucket_where_it_does_not(time):
    limiter = RateLimiter(RateLimit(units=1, seconds=1, burst=1), time.clock, time.sleep)
    limiter.acquire(scope="BTC-USD")
    limiter.acquire(scope="ETH-USD")
    assert sum(time.slept) >= 1.0


def test_a_pause_holds_back_every_scope_and_leaves_no_burst_behind(time):
    limiter = RateLimiter(COINBASE, time.clock, time.sleep)
    limiter.acquire()
    limiter.pause(30)
    started = time.now
    for _ in range(11):
        limiter.acquire()
    assert time.now - started >= 31.0


def test_a_pause_beyond_ones_patience_is_told_at_once(time):
    limiter = RateLimiter(COINBASE, time.clock, time.sleep)
    limiter.pause(7200)
    with pytest.raises(Paused) as paused:
        limiter.acquire(patience=120)
    assert paused.value.seconds == 7200
    assert not time.slept


def test_a_shorter_pause_does_not_cut_a_longer_one(time):
    limiter = RateLimiter(COINBASE, time.clock, time.sleep)
    limiter.pause(30)
    limiter.pause(1)
    limiter.acquire()
    assert sum(time.slept) >= 30
