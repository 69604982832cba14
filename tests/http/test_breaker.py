"""An exchange that is down: what is still sent to it, who waits for how long, and that its return is noticed."""

from __future__ import annotations

import logging
import threading
import time as real_time
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemahub_lib.errors import ExchangeUnavailable, Interrupted
from schemahub_lib.http.breaker import COOL_DOWN, FAILURES, LONGEST, OVER, Breaker, Down
from schemahub_lib.http.client import HttpClient
from schemahub_lib.http.messages import Request, Response, Trouble
from schemahub_lib.http.retry import DEADLINE
from schemahub_lib.http.stats import Stats

GOOD = (200, "[]")
BAD = (503, "{}")
FAILED = Trouble("unavailable", "HTTP 503: maintenance")
ANSWERS = {
    "good": Response(Request("/"), 200, {}, "[]"),
    "throttled": Trouble("throttled", "HTTP 429"),
    "rejected": Trouble("rejected", "HTTP 404"),
}


def breaker_of(time):
    return Breaker("bourse", DEADLINE, time.clock, time.sleep, Stats())


def ask(breaker, time, outcome, until=float("inf"), fresh=True):
    """One request that takes a second to be answered."""
    with breaker.turn(until, fresh=fresh) as learn:
        time.now += 1.0
        learn(outcome)


@pytest.fixture
def breaker(time):
    return breaker_of(time)


@pytest.fixture
def opened(breaker, time):
    """A breaker that has just opened."""
    while breaker.state == "closed":
        ask(breaker, time, FAILED)
    return breaker


def test_failures_in_a_row_over_some_seconds_open_it(breaker, time):
    started = time.now
    for _ in range(20):
        if breaker.state == "open":
            break
        ask(breaker, time, FAILED)
    assert time.now - started == OVER + 1.0
    assert not time.slept, "nobody had to wait until then"


def test_many_failures_at_once_are_a_hiccup(breaker, time):
    for _ in range(50):
        with breaker.turn(float("inf"), fresh=True) as learn:
            learn(FAILED)
    assert breaker.state == "closed"


@pytest.mark.parametrize("answer", ANSWERS)
def test_any_answer_proves_that_the_exchange_is_up(breaker, time, answer):
    for _ in range(5):
        for _ in range(FAILURES - 1):
            ask(breaker, time, FAILED)
        ask(breaker, time, ANSWERS[answer])
    assert breaker.state == "closed"
    while breaker.state == "closed":
        ask(breaker, time, FAILED)
    ask(breaker, time, ANSWERS[answer])
    assert breaker.state == "closed", "the probe's answer, too"


@given(st.lists(st.tuples(st.floats(0, 4), st.sampled_from(["failed", *ANSWERS])), max_size=40))
def test_it_opens_at_a_streak_of_failures_that_is_long_enough_and_never_else(events):
    class Clock:
        now = 0.0

    breaker = Breaker("bourse", DEADLINE, lambda: Clock.now, lambda seconds: None, Stats())
    streak = []
    for gap, kind in events:
        Clock.now += gap
        with breaker.turn(float("inf"), fresh=True) as learn:
            learn(ANSWERS.get(kind, FAILED))
        streak = [*streak, Clock.now] if kind == "failed" else []
        long_enough = len(streak) >= FAILURES and streak[-1] - streak[0] >= OVER
        assert breaker.state == ("open" if long_enough else "closed")
        if long_enough:
            return


def test_an_open_one_sends_a_probe_now_and_then(opened, time):
    gaps = []
    for _ in range(5):
        before = time.now
        ask(opened, time, FAILED)
        gaps.append(time.now - 1.0 - before)
    assert gaps == [COOL_DOWN, 2 * COOL_DOWN, LONGEST, LONGEST, LONGEST]


def test_only_one_request_probes_and_the_others_wait_for_what_it_finds_out(opened, time):
    with opened.turn(float("inf"), fresh=True) as learn:
        assert opened.state == "half-open"
        waiting_since = time.now
        with pytest.raises(Down), opened.turn(time.now + 10.0, fresh=False):
            pytest.fail("a second request was sent")
        assert time.now - waiting_since == 10.0
        learn(ANSWERS["good"])
    before = time.now
    ask(opened, time, ANSWERS["good"])
    assert time.now - before == 1.0, "after the probe's success nobody waits"


def test_a_probe_that_breaks_off_leaves_its_place_to_the_next(opened, time):
    with pytest.raises(Interrupted), opened.turn(float("inf"), fresh=True):
        raise Interrupted("stopped")
    assert opened.state == "open"
    before = time.now
    ask(opened, time, ANSWERS["good"])
    assert time.now - before == 1.0
    assert opened.state == "closed"


def test_what_was_under_way_when_it_opened_does_not_count_as_a_probe(breaker, time):
    with breaker.turn(float("inf"), fresh=True) as late:
        while breaker.state == "closed":
            ask(breaker, time, FAILED)
        late(FAILED)
        before = time.now
        ask(breaker, time, FAILED)
        assert time.now - 1.0 - before == COOL_DOWN
    with breaker.turn(float("inf"), fresh=True) as probe:
        late(ANSWERS["good"])
        assert breaker.state == "closed", "but a good answer is one"
        probe(FAILED)
    assert breaker.state == "closed"


def test_when_the_outage_was_sat_out_one_more_request_is_sent_and_then_nobody_waits(opened, time):
    time.now += DEADLINE - COOL_DOWN - OVER
    ask(opened, time, FAILED)
    time.now += COOL_DOWN + OVER
    ask(opened, time, FAILED)
    before = time.now
    for _ in range(300):
        with pytest.raises(Down) as down, opened.turn(float("inf"), fresh=True):
            pytest.fail("sent")
    assert time.now == before
    assert down.value.seconds > DEADLINE
    assert down.value.last == FAILED.message
    time.now += LONGEST
    ask(opened, time, ANSWERS["good"])
    assert opened.state == "closed", "but the exchange's return is still noticed"


def test_three_hundred_products_of_a_dead_exchange_cost_one_deadline(scripted, time):
    client, script = scripted("Connection refused")
    started = time.now
    told = []
    for number in range(300):
        with pytest.raises(ExchangeUnavailable) as error:
            client.send(Request("/trades", product=f"P{number}"))
        told.append(str(error.value))
    assert time.now - started <= DEADLINE + 1.0
    assert len(script.sent) < 30
    assert "Connection refused" in told[0]
    assert "gave up after" in told[0]
    assert told[-1].startswith("bourse P299 /trades: not asked, because the exchange has answered nothing since ")
    assert told[-1].endswith("run again when it answers")
    assert "Connection refused" in told[-1]
    assert (client.stats.breaker, client.stats.breaker_opened) == ("open", 1)


def test_a_single_broken_product_does_not_take_the_next_one_with_it(scripted, time):
    client, script = scripted(BAD)
    with pytest.raises(ExchangeUnavailable, match=r"gave up after \d+ tries in 120 s"):
        client.send(Request("/trades", product="BROKEN"))
    assert client.stats.breaker == "open"
    script.answers = [GOOD]
    before = time.now
    assert client.send(Request("/trades", product="FINE")).status == 200
    assert time.now - before < 1.0
    assert (client.stats.breaker, client.stats.breaker_opened) == ("closed", 1)


@pytest.mark.parametrize("status", [429, 418])
def test_a_throttling_exchange_is_not_down(scripted, status):
    client, _ = scripted((status, "{}"))
    with pytest.raises(ExchangeUnavailable):
        client.send(Request("/trades"))
    assert client.stats.breaker_opened == 0
    assert client.stats.pace < 1.0


class Outage:
    """A transport to an exchange that is back at a certain time."""

    def __init__(self, time, until):
        self.time, self.until, self.sent = time, until, 0

    def send(self, request, timeout):
        self.sent += 1
        return Response(request, 503 if self.time.now < self.until else 200, {}, "[]")


def test_an_outage_shorter_than_the_deadline_costs_no_product_and_is_told_about(scripted, time, caplog):
    caplog.set_level(logging.INFO)
    client, _ = scripted(GOOD, transport=Outage(time, time.now + 90.0))
    started = time.now
    assert client.send(Request("/trades")).status == 200
    assert time.now - started <= 90.0 + LONGEST
    opened, closed = (record.getMessage() for record in caplog.records if record.name.endswith("breaker"))
    assert opened.startswith("bourse: the exchange does not answer (")
    assert "last: HTTP 503: []): asking once in 5 s, then at least every 20 s until it does" in opened
    assert closed.startswith("bourse: the exchange answers again, after ")


def test_stopping_ends_the_wait_for_an_exchange_that_is_down_at_once(scripted, time):
    stop = threading.Event()

    def sleep(seconds):
        if client.stats.breaker == "closed":
            time.sleep(seconds)
        else:
            threading.Timer(0.05, stop.set).start()
            stop.wait(1000 * seconds)

    client, _ = scripted(BAD, sleep=sleep, stop=stop)
    started = real_time.monotonic()
    with pytest.raises(Interrupted):
        client.send(Request("/trades"))
    assert client.stats.breaker == "open"
    assert real_time.monotonic() - started < 5.0


SPEED = 40.0  # seconds of the client's clock in a real one


def test_a_server_that_goes_down_and_comes_back_is_spared_meanwhile_and_loses_nobody(serve, bourse, caplog):
    caplog.set_level(logging.INFO)
    down = threading.Event()
    arrivals: list[bool] = []

    def handle(handler):
        arrivals.append(down.is_set())
        if down.is_set():
            handler.close_connection = True
            return
        handler.send_response(200)
        handler.send_header("Content-Length", "2")
        handler.end_headers()
        handler.wfile.write(b"[]")

    def sleep(seconds):
        real_time.sleep(seconds / SPEED)

    def answers(worker):
        return [client.send(Request(f"/trades/{worker}")).text for _ in range(20)]

    def clock():
        return real_time.monotonic() * SPEED

    with HttpClient(bourse, base_url=serve(handle), deadline=1200.0, clock=clock, sleep=sleep) as client:
        client.send(Request("/trades"))
        down.set()
        with ThreadPoolExecutor(8) as pool:
            asked = [pool.submit(answers, worker) for worker in range(8)]
            give_up = real_time.monotonic() + 10
            while client.stats.breaker == "closed" and real_time.monotonic() < give_up:
                real_time.sleep(0.005)
            before = len(arrivals)
            real_time.sleep(40 / SPEED)
            probes = len(arrivals) - before
            down.clear()
            assert [future.result() for future in asked] == [["[]"] * 20] * 8
    assert 1 <= probes <= 8 + 4, "eight under way when it opened, then at 5, 15 and 35 s"
    assert (client.stats.breaker, client.stats.breaker_opened) == ("closed", 1)
    messages = [record.getMessage() for record in caplog.records]
    assert sum("does not answer" in message for message in messages) == 1
    assert sum("answers again" in message for message in messages) == 1
