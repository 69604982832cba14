"""Faults: each kind is what it says, strikes where it is told to, and repeats with the seed."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

import click
import pytest
import requests

from schemahub_lib.cli import main_group
from schemahub_lib.errors import UsageError
from schemahub_lib.simulator import Simulator
from schemahub_lib.simulator.faults import KINDS, Faults, parse_faults

TRADES = {
    "coinbase": ("/products/BTC-USD/trades", {"limit": 20}),
    "binance": ("/api/v3/historicalTrades", {"symbol": "BTCUSDT", "limit": 20}),
    "kraken": ("/0/public/Trades", {"pair": "XBTUSD", "count": 20}),
    "okx": ("/api/v5/market/history-trades", {"instId": "BTC-USDT", "limit": 20}),
}
Page = Callable[..., requests.Response]


@pytest.fixture(scope="module")
def faulty(start: Callable[..., Any]) -> Iterator[tuple[Simulator, Page]]:
    simulator, get = start(now="2024-02-08T15:20:00Z", speed=0, rate_limits=False)

    def page(exchange: str, **params: object) -> requests.Response:
        path, usual = TRADES[exchange]
        answer: requests.Response = get(exchange, path, **usual | params)
        return answer

    with simulator:
        yield simulator, page


@pytest.mark.parametrize("exchange", TRADES)
def test_an_internal_error_has_the_exchanges_own_shape(faulty: tuple[Simulator, Page], exchange: str) -> None:
    simulator, page = faulty
    simulator.set_faults({"500": 1})
    status, body = {
        "coinbase": (500, {"message": "Internal server error"}),
        "binance": (500, {"code": -1000, "msg": "An unknown error occurred while processing the request."}),
        "kraken": (200, {"error": ["EGeneral:Internal error"]}),
        "okx": (500, {"code": "50026", "data": [], "msg": "System error. Try again later"}),
    }[exchange]
    answer = page(exchange)
    assert (answer.status_code, answer.json()) == (status, body)


@pytest.mark.parametrize("exchange", TRADES)
def test_maintenance_is_503_except_at_kraken(faulty: tuple[Simulator, Page], exchange: str) -> None:
    simulator, page = faulty
    simulator.set_faults({"503": 1})
    answer = page(exchange)
    if exchange == "kraken":
        assert (answer.status_code, answer.json()) == (200, {"error": ["EService:Unavailable"]})
    else:
        assert answer.status_code == 503
    if exchange == "coinbase":
        assert "under maintenance" in answer.json()["message"]


@pytest.mark.parametrize("exchange", TRADES)
def test_a_gateway_page_is_html(faulty: tuple[Simulator, Page], exchange: str) -> None:
    simulator, page = faulty
    simulator.set_faults({"html": 1})
    answer = page(exchange)
    assert answer.status_code in (502, 504, 520)
    assert answer.headers["content-type"].startswith("text/html")


def test_a_reset_connection_gives_no_answer(faulty: tuple[Simulator, Page]) -> None:
    simulator, page = faulty
    simulator.set_faults({"reset": 1})
    with pytest.raises(requests.ConnectionError, match="reset by peer"):
        page("binance")


def test_a_truncated_body_is_shorter_than_its_content_length(faulty: tuple[Simulator, Page]) -> None:
    simulator, page = faulty
    simulator.set_faults({"truncate": 1})
    with pytest.raises(requests.exceptions.ChunkedEncodingError, match="IncompleteRead"):
        page("coinbase")


def test_a_slow_answer_comes_late_and_whole(faulty: tuple[Simulator, Page]) -> None:
    simulator, page = faulty
    simulator.set_faults({})
    whole = page("kraken").text
    simulator.set_faults({"slow:0.3": 1})
    began = time.monotonic()
    assert page("kraken").text == whole
    assert time.monotonic() - began >= 0.3


@pytest.mark.parametrize("exchange", TRADES)
def test_a_malformed_row_breaks_one_number_of_one_row(faulty: tuple[Simulator, Page], exchange: str) -> None:
    simulator, page = faulty

    def rows() -> list[Any]:
        body = page(exchange).json()
        if exchange == "kraken":
            return list(next(iter(body["result"].values())))
        return list(body["data"] if exchange == "okx" else body)

    simulator.set_faults({})
    good = rows()
    simulator.set_faults({"malformed-row": 1})
    bad = rows()
    (spoiled,) = [row for row, right in zip(bad, good, strict=True) if row != right]
    assert "oops" in (spoiled if exchange == "kraken" else spoiled.values())


def test_a_stale_page_is_the_streams_previous_one(faulty: tuple[Simulator, Page]) -> None:
    simulator, page = faulty
    simulator.set_faults({})
    first = page("binance", fromId=1000)
    simulator.set_faults({"stale": 1})
    assert page("binance", fromId=2000).text == first.text
    assert page("binance", fromId=1, symbol="SOLUSDT").json()[0]["id"] == 1


DRIFTS = {
    "coinbase": {"new-field": ("maker_fee", str), "retyped-field": ("price", float)},
    "binance": {
        "new-field": ("maker_fee", str),
        "missing-field": ("isBestMatch", None),
        "retyped-field": ("price", float),
    },
    "kraken": {"new-field": (7, str), "retyped-field": (0, float)},
}


@pytest.mark.parametrize(
    ("exchange", "kind"), [(exchange, kind) for exchange, kinds in DRIFTS.items() for kind in kinds]
)
def test_a_feed_that_drifts_does_so_in_every_trade_and_in_one_field(
    faulty: tuple[Simulator, Page], exchange: str, kind: str
) -> None:
    def rows() -> list[dict[object, object]]:
        found = page(exchange).json()
        if exchange == "kraken":
            (found,) = (listed for pair, listed in found["result"].items() if pair != "last")
        return [dict(row) if isinstance(row, dict) else dict(enumerate(row)) for row in found]

    simulator, page = faulty
    simulator.set_faults({})
    before = rows()
    simulator.set_faults({kind: 1})
    field, shown_as = DRIFTS[exchange][kind]
    after = rows()
    assert len(after) == len(before) > 1
    assert after == rows()  # the same trades once more
    for old, new in zip(before, after, strict=True):
        assert {key for key in {*old, *new} if old.get(key) != new.get(key)} == {field}
        assert isinstance(new[field], shown_as) if shown_as else field not in new
    assert simulator.stats[exchange]["faults"][kind] == 2


@pytest.mark.parametrize("exchange", ["coinbase", "kraken"])
def test_where_no_field_may_be_missing_none_is(faulty: tuple[Simulator, Page], exchange: str) -> None:
    simulator, page = faulty
    simulator.set_faults({})
    before = page(exchange).text
    simulator.set_faults({"missing-field": 1})
    assert page(exchange).text == before
    assert "missing-field" not in simulator.stats[exchange]["faults"]


def test_the_command_names_every_kind() -> None:
    (option,) = (one for one in main_group.commands["simulate"].params if one.name == "faults")
    assert isinstance(option, click.Option)
    assert [kind for kind in KINDS if kind not in str(option.help)] == []


def test_a_fault_can_be_of_one_exchange_only(faulty: tuple[Simulator, Page]) -> None:
    simulator, page = faulty
    simulator.set_faults({"coinbase:503": 1})
    assert page("coinbase").status_code == 503
    assert page("binance").status_code == 200


def test_faults_strike_at_their_rate_and_repeat_with_the_seed() -> None:
    def struck(seed: int) -> list[int]:
        faults = Faults(seed, {"500": 0.2})
        return [number for number in range(2000) if faults.draw("kraken", number)]

    assert 300 < len(struck(1)) < 500
    assert struck(1) == struck(1) != struck(2)


def test_faults_that_struck_are_counted(faulty: tuple[Simulator, Page]) -> None:
    simulator, page = faulty
    simulator.set_faults({"html": 1})
    before = simulator.stats["kraken"]["faults"].get("html", 0)
    page("kraken")
    assert simulator.stats["kraken"]["faults"]["html"] == before + 1


@pytest.mark.parametrize(
    ("faults", "problem"),
    [
        ({"flood": 0.1}, "malformed-row"),
        ({"bitmex:500": 0.1}, "no fault"),
        ({"500": 1.5}, "between 0 and 1"),
    ],
)
def test_a_fault_that_is_none_is_refused(faults: dict[str, float], problem: str) -> None:
    with pytest.raises(UsageError, match=problem):
        Faults(0, faults)


def test_command_line_faults_are_parsed() -> None:
    assert parse_faults(["500=0.1", "kraken:slow:2.5=0.05"]) == {"500": 0.1, "kraken:slow:2.5": 0.05}
    assert parse_faults([f"{kind}=0" for kind in KINDS]).keys() == KINDS.keys()
    for option in ("500", "500=often", "flood=0.1"):
        with pytest.raises(UsageError, match="fault"):
            parse_faults([option])
