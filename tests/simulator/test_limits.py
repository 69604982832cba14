"""Rate limits: who asks too fast is told so in the exchange's own way."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytest

from schemahub_lib.simulator.limits import Refusal, TokenBuckets, WeightWindow


class FakeTime:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def test_a_bucket_gives_its_burst_at_once_and_then_its_rate() -> None:
    now = FakeTime()
    bucket = TokenBuckets(rate=10, burst=15, monotonic=now)
    assert [bucket.take() for _ in range(16)] == [True] * 15 + [False]
    now.now = 0.25
    assert [bucket.take() for _ in range(3)] == [True, True, False]
    now.now = 1000
    assert sum(bucket.take() for _ in range(100)) == 15


def test_each_scope_has_a_bucket_of_its_own() -> None:
    buckets = TokenBuckets(rate=1, burst=1, monotonic=FakeTime())
    assert buckets.take("XBTUSD")
    assert not buckets.take("XBTUSD")
    assert buckets.take("ETHUSD")


def test_too_much_weight_in_a_minute_is_429_until_the_minute_ends() -> None:
    now = FakeTime()
    window = WeightWindow(100, monotonic=now)
    now.now = 10.0
    assert window.spend(100) == (100, None)
    assert window.spend(1) == (101, Refusal(429, 50))
    now.now = 60.0
    assert window.spend(1) == (1, None)


def test_going_on_after_429_is_a_ban_of_two_minutes() -> None:
    now = FakeTime()
    window = WeightWindow(10, patience=2, monotonic=now)
    statuses = [refusal.status for _ in range(4) for refusal in [window.spend(11)[1]] if refusal]
    assert statuses == [429, 429, 418, 418]
    now.now = 70.0
    assert window.spend(1)[1] == Refusal(418, 50)
    now.now = 121.0
    assert window.spend(1)[1] is None


@pytest.fixture
def get(start: Callable[..., Any]) -> Any:
    simulator, get = start(now="2024-02-08T15:20:00Z", speed=0)
    with simulator:
        yield get
        assert sum(exchange["throttled"] for exchange in simulator.stats.values()) > 0


def test_coinbase_answers_429_after_its_burst(get: Any) -> None:
    answers = [get("coinbase", "/time") for _ in range(40)]
    refused = next(answer for answer in answers if answer.status_code != 200)
    assert answers.index(refused) >= 15
    assert (refused.status_code, refused.json()) == (429, {"message": "Public rate limit exceeded"})


def test_kraken_answers_200_with_an_error_for_the_pair_asked_too_often(get: Any) -> None:
    answers = [get("kraken", "/0/public/Trades", pair="XBTUSD", count=1) for _ in range(6)]
    assert {answer.status_code for answer in answers} == {200}
    assert answers[-1].json() == {"error": ["EGeneral:Too many requests"]}
    assert get("kraken", "/0/public/Trades", pair="ETHUSD", count=1).json()["error"] == []


def test_okx_counts_each_endpoint_and_answers_429_with_a_code(get: Any) -> None:
    answers = [get("okx", "/api/v5/market/history-trades", instId="BTC-USDT") for _ in range(20)]
    refused = next(answer for answer in answers if answer.status_code != 200)
    assert (refused.status_code, refused.json()) == (429, {"msg": "Too Many Requests", "code": "50011"})
    assert get("okx", "/api/v5/public/time").json()["code"] == "0"


def test_binance_answers_429_with_retry_after_and_then_418(get: Any) -> None:
    if time.monotonic() % 60 > 55:  # a new minute would begin in the middle
        time.sleep(6)
    answers = [get("binance", "/api/v3/depth", symbol="BTCUSDT", limit=1001) for _ in range(70)]
    statuses = [answer.status_code for answer in answers]
    assert statuses == sorted(statuses, key=[200, 429, 418].index)
    assert statuses.count(429) == 10
    first = answers[statuses.index(429)]
    assert first.json()["code"] == -1003
    assert 0 < int(first.headers["Retry-After"]) <= 60
    assert int(first.headers["X-MBX-USED-WEIGHT-1M"]) > 6000
    assert int(answers[-1].headers["Retry-After"]) == 120
