"""Progress for people."""

from __future__ import annotations

import logging

import pytest

from schemahub_lib.pipeline import progress as module
from schemahub_lib.pipeline.progress import Journey, Progress


def test_without_a_terminal_there_is_a_log_line_every_few_seconds(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    now = 100.0
    monkeypatch.setattr(module.time, "monotonic", lambda: now)
    with caplog.at_level(logging.INFO), Progress(live=False) as progress:
        for second in range(1, 13):
            now = 100.0 + second
            progress.add("coinbase", "BTC-USD", 1000)
        progress.add("kraken", "XBTUSD", 5)
    assert [record.getMessage() for record in caplog.records] == [
        "coinbase: 5,000 trades, 1,000/s, BTC-USD",
        "coinbase: 10,000 trades, 1,000/s, BTC-USD",
    ]


def test_every_source_is_told_with_the_product_it_is_at(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    now = 0.0
    monkeypatch.setattr(module.time, "monotonic", lambda: now)
    with caplog.at_level(logging.INFO), Progress(live=False) as progress:
        progress.add("coinbase", "BTC-USD", 10)
        now = 10.0
        progress.add("kraken", "XBTUSD", 20)
    assert caplog.messages == ["coinbase: 10 trades, 1/s, BTC-USD   kraken: 20 trades, 2/s, XBTUSD"]


def test_a_step_without_a_count_is_said_at_once(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO), Progress(live=False) as progress:
        progress.say("unify: everything")
    assert caplog.messages == ["unify: everything"]


def test_the_live_line_is_on_stderr_and_not_in_the_log(
    capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO), Progress(live=True) as progress:
        progress.add("coinbase", "BTC-USD", 10)
        progress.say("unify: everything")
    shown = capsys.readouterr()
    assert shown.out == ""
    assert caplog.messages == []


def test_a_journey_tells_how_far_each_product_is_and_when_all_will_be(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    now = 0.0
    monkeypatch.setattr(module.time, "monotonic", lambda: now)
    with caplog.at_level(logging.INFO), Journey(live=False) as journey:
        journey.expect(2)
        journey.begin("BTC-USD", 1000)
        journey.arrive("ETH-USD")  # nothing to fetch
        now = 10.0
        journey.advance("BTC-USD", 250, 240)
        now = 12.0
        journey.advance("BTC-USD", 250, 250)
    assert caplog.messages == ["BTC-USD: 25 %, 240 trades, 24/s; 1 of 2 products done, about 0:00:06 to go"]


def test_a_journeys_bars_are_on_stderr(capsys: pytest.CaptureFixture[str]) -> None:
    with Journey(live=True) as journey:
        journey.expect(2)
        for product in ("BTC-USD", "ETH-USD"):
            journey.begin(product, 100)
            journey.advance(product, 100, 70)
    shown = capsys.readouterr()
    assert shown.out == ""
    assert "BTC-USD" in shown.err
    assert "140 trades" in shown.err
