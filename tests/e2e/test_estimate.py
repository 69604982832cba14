"""`schemahub estimate`."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from schemahub_lib.config import Settings
from schemahub_lib.cost.jobs import read_jobs
from schemahub_lib.errors import UsageError
from schemahub_lib.exchanges import EXCHANGES
from schemahub_lib.landing.seeds import read_seed, seed_file
from schemahub_lib.pipeline.reports import Report
from schemahub_lib.pipeline.runs import record
from schemahub_lib.schemas import WATERMARKS
from schemahub_lib.tables.lake import Lake
from tests.e2e.conftest import Outcome, assert_one_error

Cli = Callable[..., Outcome]


@pytest.fixture
def told(cli: Cli) -> Callable[..., dict[str, Any]]:
    def told(*arguments: str) -> dict[str, Any]:
        done = cli("estimate", "--json", *arguments)
        assert done.code == 0, done.err
        return json.loads(done.out)  # type: ignore[no-any-return]

    return told


def test_the_bill_is_shown_with_formulas_and_every_setup(cli: Cli) -> None:
    done = cli("estimate", "--history", "1000000")
    assert done.code == 0
    for part in (
        f"products of {', '.join(EXCHANGES)};",
        "$0.44",
        "total",
        "Once: 1,000,000 trades",
        "snowflake",
    ):
        assert part in done.out


def test_defaults_are_the_jobs_schedule_and_the_seed_files(told: Callable[..., dict[str, Any]]) -> None:
    found = told()
    products = sum(len(read_seed(seed_file(name, None))) for name in EXCHANGES)
    assert (found["products"], found["runs_a_day"]) == (products, read_jobs()["pipeline"].runs_a_day)
    assert found["trades_a_day"] == pytest.approx(1_000_000)


def test_what_is_said_is_reckoned(told: Callable[..., dict[str, Any]]) -> None:
    found = told(
        "--sources", "okx,kraken", "--products", "5", "--trades-a-day", "1000", "--every", "6h", "--on", "parquet"
    )
    assert (found["sources"], found["products"], found["runs_a_day"]) == (["okx", "kraken"], 5, 4)
    assert found["setup"] == "parquet"
    assert found["trades_a_day"] == pytest.approx(1000)
    assert found["looked_up"] < "2027"


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        (("--sources", "mtgox"), "no exchange 'mtgox'; there are coinbase"),
        (("--sources", ""), "--sources is empty"),
        (("--every", "often"), "'often' is not a duration"),
        (("--every", "0m"), "nothing runs as often"),
        (("--on", "mainframe"), "choose one of glue"),
        (("--region", "mars-1"), "choose one of eu-west-1"),
        (("--params", "none.json"), "none.json cannot be read"),
    ],
)
def test_wrong_usage_is_one_sentence(cli: Cli, arguments: tuple[str, ...], error: str) -> None:
    done = cli("estimate", *arguments)
    assert (done.code, done.out) == (UsageError.exit_code, "")
    assert_one_error(done.err, error)


def test_an_estimate_can_be_of_a_warehouse(told: Callable[..., dict[str, Any]], tmp_path: Path) -> None:
    lake = Lake(Settings.load(warehouse=str(tmp_path / "warehouse"), environment={}))
    begun = datetime(2026, 11, 1, tzinfo=UTC)
    lake.append(WATERMARKS, [{"source": "kraken", "stream": product} for product in ("XBTUSD", "ETHUSD")])
    for number in range(2):
        at = begun + timedelta(hours=number)
        runs = (("ingest", "kraken", at), ("unify", "trades_unified", at + timedelta(seconds=34)))
        record(lake, [Report(str(number), job, source, "ok", at, 10, 4000) for job, source, at in runs])
    place = ("--warehouse", lake.settings.warehouse, "--from-warehouse")
    found = told(*place)
    assert (found["sources"], found["products"], found["trades_a_day"]) == (["kraken"], 2, 96_000)
    assert next(step["value"] for step in found["steps"] if "pipeline" in step["what"]) == pytest.approx(30 + 44)
    assert told(*place, "--trades-a-day", "7")["trades_a_day"] == 7


def test_a_warehouse_that_tells_nothing_says_so(cli: Cli, tmp_path: Path) -> None:
    done = cli("estimate", "--warehouse", str(tmp_path), "--from-warehouse")
    assert (done.code, "nothing was ingested" in done.err) == (UsageError.exit_code, True)
