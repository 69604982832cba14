"""What OKX's public API does, as its documents say."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import requests
from hypothesis import given, settings
from hypothesis import strategies as st

Get = Callable[..., requests.Response]
HISTORY = "/api/v5/market/history-trades"
NOW_MS = 1707405600_000


@pytest.fixture(scope="module")
def page(get: Get) -> Callable[..., list[dict[str, str]]]:
    def page(path: str = HISTORY, **params: Any) -> list[dict[str, str]]:
        answer = get("okx", path, instId="BTC-USDT", **params)
        assert answer.status_code == 200
        body = answer.json()
        assert (body["code"], body["msg"]) == ("0", "")
        return list(body["data"])

    return page


def test_the_newest_hundred_come_newest_first(page: Callable[..., list[dict[str, str]]]) -> None:
    rows = page()
    ids = [int(row["tradeId"]) for row in rows]
    assert ids == list(range(ids[0], ids[0] - 100, -1))
    assert page("/api/v5/market/trades", limit=500)[:100] == rows
    assert rows[0].keys() == {"instId", "side", "sz", "source", "px", "tradeId", "ts"}
    assert all(isinstance(value, str) for value in rows[0].values())


@given(counts=st.lists(st.integers(1, 100), min_size=1, max_size=4))
@settings(max_examples=20, deadline=None)
def test_feeding_the_oldest_id_back_walks_back_without_gap_or_overlap(
    page: Callable[..., list[dict[str, str]]], counts: list[int]
) -> None:
    walked = page(limit=1)
    for count in counts:
        walked += page(limit=count, after=walked[-1]["tradeId"])
    ids = [int(row["tradeId"]) for row in walked]
    assert ids == list(range(ids[0], ids[0] - sum(counts) - 1, -1))


def test_a_time_bounds_a_page_too_and_excludes_itself(page: Callable[..., list[dict[str, str]]]) -> None:
    asked = NOW_MS - 60_000
    rows = page(type=2, after=asked)
    assert all(int(row["ts"]) < asked for row in rows)
    assert int(page(after=int(rows[0]["tradeId"]) + 2, limit=1)[0]["ts"]) >= asked


def test_before_is_newer_and_exclusive(page: Callable[..., list[dict[str, str]]]) -> None:
    rows = page(limit=10)
    assert page(before=rows[4]["tradeId"]) == rows[:4]


def test_what_is_older_than_three_months_is_not_there(page: Callable[..., list[dict[str, str]]]) -> None:
    assert page(type=2, after=NOW_MS - 91 * 86_400_000) == []
    assert len(page(type=2, after=NOW_MS - 89 * 86_400_000)) == 100
    assert page(after=1000) == []


@pytest.mark.parametrize(
    ("path", "params", "status", "code"),
    [
        (HISTORY, {"instId": "MIR-USDT"}, 200, "51001"),
        (HISTORY, {}, 400, "50014"),
        (HISTORY, {"instId": "BTC-USDT", "limit": 101}, 400, "51000"),
        (HISTORY, {"instId": "BTC-USDT", "type": 3}, 400, "51000"),
        (HISTORY, {"instId": "BTC-USDT", "after": "x"}, 400, "51000"),
        (HISTORY, {"instId": "BTC-USDT", "type": 2, "before": 1}, 200, "50039"),
        ("/api/v5/public/instruments", {}, 400, "50014"),
        ("/api/v5/public/instruments", {"instType": "STOCKS"}, 400, "51000"),
    ],
)
def test_what_is_wrong_is_told_by_a_code(get: Get, path: str, params: dict[str, Any], status: int, code: str) -> None:
    answer = get("okx", path, **params)
    assert (answer.status_code, answer.json()["code"], answer.json()["data"]) == (status, code, [])


def test_instruments_are_those_of_the_kind_asked_for_and_without_the_delisted(get: Get) -> None:
    listed = get("okx", "/api/v5/public/instruments", instType="SPOT").json()["data"]
    assert [product["instId"] for product in listed] == ["BTC-USDT", "ETH-USDT", "SOL-USDT", "DOGE-USDT", "XTZ-USDT"]
    assert get("okx", "/api/v5/public/instruments", instType="SPOT", instId="SOL-USDT").json()["data"] == [listed[2]]
    assert get("okx", "/api/v5/public/instruments", instType="SWAP").json()["data"] == []


def test_the_clock_is_milliseconds_as_text(get: Get) -> None:
    assert get("okx", "/api/v5/public/time").json()["data"] == [{"ts": str(NOW_MS)}]


def test_recorded_answers_are_served_as_one_tape(start: Callable[..., Any], tmp_path: Path) -> None:
    rows = [
        f'{{"instId":"ETH-BTC","side":"sell","sz":"0.1","px":"0.070","tradeId":"{n}","ts":"{1621446178000 + n}"}}'
        for n in range(1, 5)
    ]
    for name, part in {"trades/2021-05-19_ETH-BTC.json": rows[:3], "history-trades/more.json": rows[1:]}.items():
        file = tmp_path / "okx" / name
        file.parent.mkdir(parents=True)
        file.write_text(f'{{"code":"0","data":[{",".join(part[::-1])}],"msg":""}}')
    file = tmp_path / "okx" / "instruments" / "2021-05-19.json"
    file.parent.mkdir()
    file.write_text(json.dumps({"code": "0", "data": [{"instId": "ETH-BTC", "state": "live"}]}))
    simulator, get = start(recorded=tmp_path)
    with simulator:
        assert f"[{','.join(rows[::-1])}]" in get("okx", HISTORY, instId="ETH-BTC").text
        assert get("okx", HISTORY, instId="ETH-BTC", type=2, after=1621446178003).json()["data"] == [
            json.loads(row) for row in rows[1::-1]
        ]
        assert len(get("okx", "/api/v5/public/instruments", instType="SPOT").json()["data"]) == 1
