"""`schemahub events`: bursts are found, and it is said who moved first."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from schemahub_lib.simulator.market import SECOND
from tests.analysis.market import BURST, lake_with
from tests.e2e.conftest import Outcome

BEGUN = datetime.fromtimestamp(BURST.start_ns / SECOND, UTC)
SHOW = ("events", "show", "btc", "2024-02-08T15:12:04Z")

Cli = Callable[..., Outcome]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    folder = tmp_path_factory.mktemp("events")
    lake_with(folder, BEGUN - timedelta(minutes=5), BEGUN + timedelta(minutes=5), "BTC")
    return {"SCHEMAHUB_WAREHOUSE": str(folder)}


def test_a_burst_is_found_then_shown_and_can_be_queried(cli: Cli, place: dict[str, str]) -> None:
    found = cli("events", "find", **place)
    assert found.code == 0, found.err
    assert "2024-02-08 15:12:0" in found.out
    command = found.out.splitlines()[-1].partition("schemahub ")[2].split()
    shown = cli(*command, **place)
    assert shown.code == 0, shown.err
    assert "BINANCE leads COINBASE by " in shown.out
    assert "bps apart in the median" in shown.out
    kept = cli("query", "SELECT asset, venues FROM schemahub_events", "--json", **place)
    assert json.loads(kept.out) == [{"asset": "BTC", "venues": "BINANCE,COINBASE,KRAKEN"}]


def test_machines_get_the_same_as_json(cli: Cli, place: dict[str, str]) -> None:
    (event,) = json.loads(cli("events", "find", "--json", **place).out)
    assert event["asset"] == "BTC"
    told = json.loads(cli(*SHOW, "--json", **place).out)
    first, *others = told["movers"]
    assert (first["exchange"], first["behind"]) == ("BINANCE", None)
    assert all(40 <= other["behind"]["ms"] <= 110 for other in others)
    assert told["apart_bps"]["most"] > told["apart_bps"]["median"] > 0


def test_what_cannot_be_told_is_said_so(cli: Cli, place: dict[str, str]) -> None:
    assert "no burst found" in cli("events", "find", "--threshold", "5000", **place).out
    assert "no trade of NOPE" in cli("events", "show", "nope", "2024-02-08T15:12:04Z", **place).out
    assert "who moved first cannot be told" in cli(*SHOW, "--venues", "kraken", **place).out


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ((*SHOW[:3], "soon"), "'soon' is not a time"),
        ((*SHOW, "--window", "2h"), "an hour at most"),
        ((*SHOW, "--window", "0s"), "longer than nothing"),
        (("events", "find", "--window", "1s"), "at least 2 s"),
        (("events", "find", "--from", "2024-03-01", "--to", "2024-02-01"), "is not before"),
    ],
)
def test_wrong_usage_is_one_sentence(cli: Cli, place: dict[str, str], arguments: tuple[str, ...], told: str) -> None:
    done = cli(*arguments, **place)
    assert done.code == 2
    assert told in done.err


def test_without_tables_it_says_what_to_run(cli: Cli, tmp_path: Path) -> None:
    done = cli("events", "find", SCHEMAHUB_WAREHOUSE=str(tmp_path))
    assert done.code == 2
    assert "run the pipeline first" in done.err
