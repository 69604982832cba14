from __future__ import annotations

import threading
import time as real_time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemahub_lib.errors import ExchangeUnavailable, Interrupted, RequestRejected, UsageError
from schemahub_lib.exchanges.base import ask
from schemahub_lib.http.client import HttpClient
from schemahub_lib.http.messages import Credentials, Page, Request
from schemahub_lib.http.retry import FIRST, LONGEST, backoff

GOOD = (200, "[]")
REQUEST = Request("/trades", {"limit": 5}, product="BTC-USD")


@pytest.mark.parametrize("bad", [(500, "{}"), (503, "{}"), (429, "{}"), (418, "{}"), (408, "{}"), "reset by peer"])
def test_what_may_pass_is_tried_again(scripted, time, bad):
    client, script = scripted(bad, bad, GOOD)
    assert client.send(REQUEST).text == "[]"
    assert len(script.sent) == 3
    assert (client.stats.requests, client.stats.retries) == (3, 2)
    assert time.slept


@pytest.mark.parametrize("status", [302, 400, 401, 403, 404, 451])
def test_a_refusal_is_not_tried_again(scripted, time, status):
    client, script = scripted((status, '{"message":"NotFound"}'))
    with pytest.raises(RequestRejected, match=r"bourse BTC-USD /trades: .*NotFound"):
        client.send(REQUEST)
    assert len(script.sent) == 1
    assert not time.slept


def test_giving_up_says_what_was_tried_for_how_long(scripted, time):
    client, script = scripted((503, "maintenance"), deadline=60.0)
    with pytest.raises(ExchangeUnavailable, match=r"maintenance \(gave up after \d+ tries in \d+ s\)"):
        client.send(REQUEST)
    assert len(script.sent) > 3
    assert sum(time.slept) <= 60.0 + 1e-6


def test_retry_after_is_waited_for(scripted, time):
    client, _ = scripted((429, "{}", {"retry-after": "7"}), GOOD)
    client.send(REQUEST)
    assert 7.0 <= sum(time.slept) <= 7.0 + FIRST + 0.01  # and the bucket is empty after it
    assert client.stats.throttled == 1


def test_retry_after_as_a_date_counts_from_the_answers_own_clock(scripted, time):
    headers = {"date": "Tue, 07 Apr 2026 10:00:00 GMT", "retry-after": "Tue, 07 Apr 2026 10:00:09 GMT"}
    client, _ = scripted((503, "{}", headers), GOOD)
    client.send(REQUEST)
    assert 9.0 <= sum(time.slept) <= 9.0 + FIRST


def test_an_unreadable_retry_after_is_no_wait(scripted, time):
    client, _ = scripted((503, "{}", {"retry-after": "soon"}), GOOD)
    client.send(REQUEST)
    assert sum(time.slept) <= FIRST


def test_a_ban_longer_than_the_deadline_fails_at_once_for_everyone(scripted, time):
    client, script = scripted((418, "banned", {"retry-after": "86400"}))
    with pytest.raises(ExchangeUnavailable, match="asks to wait 86400 s"):
        client.send(REQUEST)
    with pytest.raises(ExchangeUnavailable, match="not to be called for another 86400 s"):
        client.send(REQUEST)
    assert len(script.sent) == 1, "a second request during a ban makes the ban longer"
    assert not time.slept


def test_an_answer_that_says_we_are_near_the_limit_holds_the_next_request_back(scripted, time, bourse):
    bourse.hold_back = 13.0
    client, _ = scripted(GOOD)
    client.send(REQUEST)
    assert not time.slept
    client.send(REQUEST)
    assert sum(time.slept) >= 13.0


@pytest.mark.parametrize("text", ["<html>Bad gateway</html>", "", "[1,2", '"text"'])
def test_a_good_status_without_json_is_tried_again_and_reported(scripted, text):
    client, _ = scripted((200, text), GOOD)
    assert client.send(REQUEST).text == "[]"
    client, _ = scripted((200, text), deadline=5.0)
    with pytest.raises(ExchangeUnavailable) as error:
        client.send(REQUEST)
    assert f"something other than JSON: {text!r}" in str(error.value)


def test_an_unreachable_exchange_names_its_address_and_the_setting(scripted):
    client, script = scripted("Connection refused", base_url="http://127.0.0.1:9/x")
    with pytest.raises(ExchangeUnavailable) as error:
        client.send(REQUEST)
    assert "no complete answer from http://127.0.0.1:9/x: Connection refused" in str(error.value)
    assert "SCHEMAHUB_BOURSE_URL" in str(error.value)
    assert len(script.sent) > 1


@pytest.mark.parametrize(
    "url",
    [
        *("localhost:80", "ftp://x", "http://", "https:///path", "http://[::1", "http://exa mple"),
        *("http://127.0.0.1:99999", "http://127.0.0.1:abc", "http://bob:secret@host", "http://host/?key=secret"),
    ],
)
def test_a_base_url_that_cannot_work_is_refused_before_anything_is_sent(scripted, url):
    with pytest.raises(UsageError, match="SCHEMAHUB_BOURSE_URL is not a URL such as") as refused:
        scripted(GOOD, base_url=url)
    assert "secret" not in str(refused.value)


def test_every_request_is_signed_when_there_is_a_key_and_the_answer_carries_none_of_it(scripted):
    client, script = scripted((500, "{}"), GOOD, credentials=Credentials("k", "s"))
    response = client.send(REQUEST)
    assert [request.headers["X-Key"] for request in script.sent] == ["k", "k"]
    assert "X-Key" not in response.request.headers


def test_without_a_key_nothing_is_signed(scripted):
    client, script = scripted(GOOD)
    client.send(REQUEST)
    assert not script.sent[0].headers


def test_received_bytes_are_counted(scripted):
    client, _ = scripted((503, "sorry"), (200, "[1]"))
    client.send(REQUEST)
    assert client.stats.bytes == len("sorry") + len("[1]")


def flow(pages):
    for number in range(pages):
        response = yield from ask(Request(f"/{number}"))
        yield Page({"id": [response.text]}, [], str(number))
    return "done"


def test_a_flow_gets_the_answers_to_its_requests_and_its_pages_come_out_in_order(scripted):
    client, script = scripted((200, "[0]"), (200, "[1]"))
    pages = list(client.pages(flow(2)))
    assert [(page.records[0]["id"], page.cursor) for page in pages] == [("[0]", "0"), ("[1]", "1")]
    assert [request.path for request in script.sent] == ["/0", "/1"]


def test_a_flow_is_not_driven_further_than_its_pages_are_taken(scripted):
    client, script = scripted(GOOD)
    pages = client.pages(flow(5))
    next(pages)
    pages.close()
    assert len(script.sent) == 1


def test_asking_gives_the_value_of_a_flow_without_pages(scripted):
    client, _ = scripted(GOOD)

    def listing():
        response = yield from ask(Request("/products"))
        return [response.status]

    assert client.ask(listing()) == [200]
    with pytest.raises(TypeError, match="use pages"):
        client.ask(flow(1))


def test_stopping_ends_a_wait_at_once(bourse, scripted):
    stop = threading.Event()
    client, _ = scripted((503, "{}", {"retry-after": "60"}), sleep=None, stop=stop)
    threading.Timer(0.05, stop.set).start()
    started = real_time.monotonic()
    with pytest.raises(Interrupted):
        client.send(REQUEST)
    assert real_time.monotonic() - started < 5.0


def test_after_stopping_nothing_is_sent(scripted):
    stop = threading.Event()
    stop.set()
    client, script = scripted(GOOD, stop=stop)
    with pytest.raises(Interrupted):
        client.send(REQUEST)
    assert not script.sent


def test_closing_the_client_closes_its_transport(scripted):
    client, script = scripted(GOOD)
    with client:
        client.send(REQUEST)
    assert script.closed


def test_making_a_client_needs_no_more_than_a_venue(bourse):
    with HttpClient(bourse) as client:
        assert client.stats.requests == 0


@given(failures=st.integers(1, 200), random=st.floats(0, 1, exclude_max=True), asked=st.floats(0, 1e6) | st.none())
def test_the_backoff_doubles_up_to_its_longest_and_never_undercuts_what_was_asked(failures, random, asked):
    delay = backoff(failures, asked, random)
    if asked is None:
        assert delay == random * min(LONGEST, FIRST * 2.0 ** (failures - 1))
    else:
        assert asked <= delay <= asked + FIRST


def test_after_days_of_failures_the_wait_is_the_longest():
    assert backoff(100_000, None, 0.5) == LONGEST / 2
