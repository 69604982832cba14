"""A run that fails at its beginning is told of as any other: alarms hear of an exchange that is down."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from schemahub_lib.errors import ExchangeUnavailable, UsageError
from schemahub_lib.exchanges import EXCHANGES
from schemahub_lib.landing.local import LocalStore
from schemahub_lib.landing.names import default_prefix
from schemahub_lib.pipeline.archive import load_archives
from schemahub_lib.pipeline.backfill import BackfillOptions, backfill_raw
from schemahub_lib.pipeline.land_history import land_history
from schemahub_lib.pipeline.land_new import MicrobatchOptions, land_new
from schemahub_lib.pipeline.landing import Landing
from schemahub_lib.pipeline.load import load
from schemahub_lib.pipeline.progress import Journey, Progress
from schemahub_lib.pipeline.resume import Resumption
from schemahub_lib.schemas import RUNS
from schemahub_lib.tables.lake import Lake
from tests.archives import binance_line, binance_zip
from tests.loopback import Away, serving

BINANCE = EXCHANGES["binance"]
Options = dict[str, Any]


@pytest.fixture
def lake(make_lake: Callable[..., Lake]) -> Iterator[Lake]:
    """A lake whose Binance is away."""
    with serving(Away) as url:
        yield make_lake(SCHEMAHUB_BINANCE_URL=url)


@pytest.fixture
def told(caplog: pytest.LogCaptureFixture) -> Callable[[], list[dict[str, Any]]]:
    """What machines were told of runs."""
    caplog.set_level(logging.INFO, "schemahub_lib")

    def told() -> list[dict[str, Any]]:
        events = [getattr(record, "event", {}) for record in caplog.records]
        return [event for event in events if event.get("event") == "run_finished"]

    return told


def recorded(lake: Lake) -> list[tuple[str, str]]:
    """(job, status) of each run in the ledger."""
    table = lake.find(RUNS.name)
    rows = [] if table is None else table.scan().to_arrow().to_pylist()
    return [(row["job"], row["status"]) for row in sorted(rows, key=lambda row: row["started_at"])]


def landing(folder: Path) -> Landing:
    return Landing(LocalStore.make(str(folder)), default_prefix("binance"))


def ingest(lake: Lake, folder: Path, **options: Any) -> None:
    with Progress(live=False) as progress:
        chosen = MicrobatchOptions(**options)
        land_new(lake.settings, BINANCE, chosen, landing(folder), progress, threading.Event())


def backfill(lake: Lake, folder: Path, **options: Any) -> None:
    place = landing(folder)
    resumption = Resumption(BINANCE, place, beside=True)
    with Journey(live=False) as journey:
        chosen, stop = BackfillOptions(**options), threading.Event()
        land_history(lake.settings, BINANCE, chosen, place, resumption, journey, stop, resume=False)


def backfill_to_raw(lake: Lake, folder: Path, **options: Any) -> None:
    with Journey(live=False) as journey:
        backfill_raw(lake, BINANCE, BackfillOptions(**options), "run", journey, threading.Event())


FETCHING = [(ingest, "land"), (backfill, "land history"), (backfill_to_raw, "backfill")]


@pytest.mark.parametrize(("run", "job"), FETCHING)
def test_an_exchange_that_is_down_is_a_failure_of_the_run_that_asked_it(
    lake: Lake, tmp_path: Path, told: Callable[[], list[dict[str, Any]]], run: Callable[..., None], job: str
) -> None:
    with pytest.raises(ExchangeUnavailable):
        run(lake, tmp_path / "landed", products=["BTCUSDT"])
    (finished,) = told()
    assert (finished["job"], finished["status"], finished["Failures"], finished["Requests"]) == (job, "failed", 1, 1)
    assert "3600 s" in finished["error"]
    assert recorded(lake) == ([(job, "failed")] if run is backfill_to_raw else [])


@pytest.mark.parametrize(("run", "job"), FETCHING)
def test_a_wrong_command_line_is_no_run(
    lake: Lake, tmp_path: Path, told: Callable[[], list[dict[str, Any]]], run: Callable[..., None], job: str
) -> None:
    with pytest.raises(UsageError, match="seed file"):
        run(lake, tmp_path / "landed", seed_path=str(tmp_path / "none.yaml"))
    assert told() == []
    assert recorded(lake) == []


def test_a_table_that_cannot_be_read_is_a_failure_of_the_load(
    lake: Lake, tmp_path: Path, told: Callable[[], list[dict[str, Any]]]
) -> None:
    file = binance_zip(tmp_path, [binance_line(1)])

    def archive() -> None:
        with Progress(live=False) as progress:
            load_archives(lake, BINANCE, [file], [], "run", progress, threading.Event(), keep_payload=True)

    def objects() -> None:
        store = LocalStore.make(str(tmp_path / "landed"))
        (tmp_path / "landed" / "raw_binance_trades_BTCUSDT_20240208T120000000000Z_1.jsonl").touch()
        with Progress(live=False) as progress:
            load(lake, BINANCE, store, "", [], "run", progress, threading.Event())

    archive()
    table = lake.find(BINANCE.raw_table.name)
    assert table is not None
    Path(table.metadata_location.removeprefix("file://")).write_text("no metadata")
    for again in (archive, objects):
        with pytest.raises(Exception, match="Invalid JSON"):
            again()
    assert [(run["job"], run["status"], run["Failures"]) for run in told()] == [
        ("backfill", "ok", 0),
        ("backfill", "failed", 1),
        ("load", "failed", 1),
    ]
    assert recorded(lake) == [("backfill", "ok"), ("backfill", "failed"), ("load", "failed")]
