"""Starting, steering and stopping the simulator."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
import requests

from schemahub_lib.errors import UsageError
from schemahub_lib.simulator import Simulator
from schemahub_lib.simulator.feeds import FEEDS
from schemahub_lib.simulator.server import APIS

SERVE = "import sys; from schemahub_lib.simulator import serve; serve(as_json='--json' in sys.argv, speed=0)"


@pytest.fixture
def steered(start: Callable[..., Any]) -> Iterator[Any]:
    simulator, get = start(now="2024-02-08T15:20:00Z", speed=0, rate_limits=False)
    with simulator:
        yield simulator, get


def newest(get: Any) -> int:
    return int(get("coinbase", "/products/BTC-USD/trades", limit=1).json()[0]["trade_id"])


def test_it_starts_and_stops_at_once_and_leaves_no_thread() -> None:
    before = set(threading.enumerate())
    with Simulator() as simulator:
        url = simulator.urls["kraken"]
        assert requests.get(f"{url}/0/public/Time", timeout=5).status_code == 200
    assert set(threading.enumerate()) <= before  # one of another test's may have ended
    with pytest.raises(requests.ConnectionError):
        requests.get(f"{url}/0/public/Time", timeout=5)
    simulator.close()


def test_closing_does_not_wait_for_a_slow_answer(start: Callable[..., Any], session: requests.Session) -> None:
    simulator, get = start(faults={"slow:30": 1})
    errors: list[Exception] = []

    def ask() -> None:
        try:
            get("kraken", "/0/public/Time")
        except requests.ConnectionError as error:
            errors.append(error)

    client = threading.Thread(target=ask)
    client.start()
    while not simulator.stats["kraken"]["requests"]:
        time.sleep(0.01)
    began = time.monotonic()
    simulator.close()
    assert time.monotonic() - began < 1.0
    client.join()
    assert len(errors) == 1


def test_trades_grow_when_the_clock_is_moved(steered: Any) -> None:
    simulator, get = steered
    before = newest(get)
    assert newest(get) == before
    simulator.advance(3600)
    assert newest(get) == before + 4 * 3600
    assert simulator.now == "2024-02-08T16:20:00.000000Z"


def test_the_clock_runs_at_its_speed() -> None:
    with Simulator(now="2024-02-08T15:20:00Z", speed=1000) as simulator:
        time.sleep(0.05)
        elapsed = datetime.fromisoformat(simulator.now) - datetime(2024, 2, 8, 15, 20, tzinfo=UTC)
    assert 50 < elapsed.total_seconds() < 5000


def test_the_clock_starts_at_the_real_time_or_after_the_scenarios_event() -> None:
    with Simulator() as simulator:
        assert abs((datetime.fromisoformat(simulator.now) - datetime.now(UTC)).total_seconds()) < 5
    with Simulator(scenario="burst-2024-02-08", speed=0) as simulator:
        assert simulator.now == "2024-02-08T15:13:00.000000Z"
    with Simulator(now=datetime(2024, 2, 8, 15, 20, tzinfo=UTC), speed=0) as simulator:
        assert simulator.now == "2024-02-08T15:20:00.000000Z"


def test_two_simulators_of_one_seed_serve_the_same_pages(start: Callable[..., Any]) -> None:
    bodies = []
    for seed in (3, 3, 4):
        simulator, get = start(seed=seed, now="2024-02-08T15:20:00Z", speed=0)
        with simulator:
            bodies.append(get("binance", "/api/v3/trades", symbol="ETHUSDT").text)
    assert bodies[0] == bodies[1] != bodies[2]


def test_the_trade_rate_multiplies_the_number_of_trades(start: Callable[..., Any]) -> None:
    counts = []
    for rate in (1.0, 0.5):
        simulator, get = start(now="2024-02-08T15:20:00Z", speed=0, trade_rate=rate)
        with simulator:
            counts.append(newest(get))
    assert counts[1] == pytest.approx(counts[0] / 2, rel=1e-3)


def test_latency_delays_every_answer(start: Callable[..., Any]) -> None:
    simulator, get = start(latency=0.1)
    with simulator:
        began = time.monotonic()
        get("binance", "/api/v3/ping")
        assert time.monotonic() - began >= 0.1


def test_a_product_is_online_until_the_clock_passes_its_delisting(start: Callable[..., Any]) -> None:
    simulator, get = start(now="2022-11-29T12:00:00Z", speed=0, rate_limits=False)
    with simulator:
        assert get("coinbase", "/products/MIR-USD").json()["status"] == "online"
        assert "MIRUSD" in get("kraken", "/0/public/AssetPairs").json()["result"]
        simulator.advance(86400)
        assert get("coinbase", "/products/MIR-USD").json()["status"] == "delisted"
        assert "MIRUSD" not in get("kraken", "/0/public/AssetPairs").json()["result"]


def test_a_product_is_unknown_before_its_listing(start: Callable[..., Any]) -> None:
    simulator, get = start(now="2019-01-01T00:00:00Z", speed=0, rate_limits=False)
    with simulator:
        assert get("coinbase", "/products/SOL-USD").status_code == 404
        assert get("coinbase", "/products/SOL-USD/trades").status_code == 404
        assert get("kraken", "/0/public/Trades", pair="XBTUSD").json()["error"] == []


def test_it_is_steered_over_http_on_any_port(steered: Any, session: requests.Session) -> None:
    simulator, get = steered
    control = simulator.urls["binance"] + "/_sim"
    before = newest(get)
    moved = session.post(f"{control}/clock", json={"advance": 60})
    assert moved.json() == {"now": "2024-02-08T15:21:00.000000Z"}
    assert newest(get) > before
    session.post(f"{control}/faults", json={"coinbase:503": 1})
    assert get("coinbase", "/time").status_code == 503
    session.post(f"{control}/faults", json={})
    assert get("coinbase", "/time").status_code == 200
    stats = session.get(f"{control}/stats").json()
    assert stats == simulator.stats
    assert stats["coinbase"] == {
        "requests": 4,
        "throttled": 0,
        "frames": 0,
        "endpoints": {"/products/{id}/trades": 2, "/time": 2},
        "faults": {"503": 1},
    }


@pytest.mark.parametrize(
    ("path", "body"),
    [("clock", {"advance": -1}), ("clock", {}), ("clock", []), ("faults", {"flood": 1}), ("faults", {"500": "often"})],
)
def test_a_wrong_control_request_is_400_with_the_reason(
    steered: Any, session: requests.Session, path: str, body: Any
) -> None:
    answer = session.post(f"{steered[0].urls['kraken']}/_sim/{path}", json=body)
    assert answer.status_code == 400
    assert answer.json()["error"]


@pytest.mark.parametrize(
    "options",
    [
        {"scenario": "crash"},
        {"now": "yesterday"},
        {"speed": -1},
        {"trade_rate": 0},
        {"ports": {"bitmex": 1}},
        {"faults": {"flood": 1}},
    ],
)
def test_an_option_that_makes_no_sense_is_refused(options: dict[str, Any]) -> None:
    with pytest.raises(UsageError):
        Simulator(**options)


def test_a_taken_port_is_refused_by_name() -> None:
    with Simulator() as first:
        port = int(first.urls["kraken"].rpartition(":")[2])
        with pytest.raises(UsageError, match="choose another port"):
            Simulator(ports={"kraken": port})
    with Simulator(ports={"kraken": port}) as again:
        assert again.urls["kraken"].endswith(f":{port}")


@pytest.mark.parametrize("stop", [signal.SIGINT, signal.SIGTERM])
def test_the_command_prints_its_urls_and_stops_within_a_second(stop: signal.Signals) -> None:
    with subprocess.Popen([sys.executable, "-W", "error", "-c", SERVE], stdout=subprocess.PIPE, text=True) as command:
        assert command.stdout is not None
        lines = [command.stdout.readline().split() for _ in APIS]
        urls = {name: url for name, url, *_ in lines}
        assert list(urls) == list(APIS)
        assert [name for name, *_, last in lines if last.startswith("ws://127.0.0.1:")] == list(FEEDS)
        assert requests.get(urls["binance"] + "/api/v3/ping", timeout=5).json() == {}
        began = time.monotonic()
        command.send_signal(stop)
        assert command.wait(timeout=5) == 0
        assert time.monotonic() - began < 1.0


def test_the_command_prints_one_json_line_on_request() -> None:
    arguments = [sys.executable, "-c", SERVE, "--json"]
    with subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True) as command:
        assert command.stdout is not None
        urls = json.loads(command.stdout.readline())
        assert urls.keys() == APIS.keys()
        command.terminate()
        assert command.wait(timeout=5) == 0
