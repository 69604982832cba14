"""The Operations page as a person uses it: each panel by itself, with its numbers and the SQL behind them."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Locator, Page, expect

from schemahub_lib.config import Settings
from schemahub_lib.operations.look import look
from schemahub_lib.operations.panels import PANELS
from schemahub_lib.pipeline.query import DIALECT, query
from schemahub_lib.pipeline.reports import Report
from schemahub_lib.pipeline.runs import record
from schemahub_lib.schemas import RUNS, WATERMARKS
from schemahub_lib.tables.lake import Lake
from tests.analysis.market import lake_with
from tests.operations import runs
from tests.ui.conftest import Watched, keep, opened, served, violations

pytestmark = pytest.mark.slow

HOSTILE = "<img src=x onerror=alert(1)>"
NOON = datetime(2024, 2, 8, 12, tzinfo=UTC)


@pytest.fixture(scope="module", autouse=True)
def lake(tmp_path_factory: pytest.TempPathFactory) -> Lake:
    """What runs left, and a stream with a hostile name. Made first: the simulator and Playwright each have a loop."""
    lake = runs.watched(tmp_path_factory.mktemp("operations")).lake
    lake.append(WATERMARKS, [{"source": "okx", "stream": HOSTILE, "last_ts": NOON, "updated_at": NOON}])
    return lake


@pytest.fixture(scope="module")
def address(lake: Lake) -> Iterator[str]:
    with served("--warehouse", lake.settings.warehouse) as found:
        yield f"{found}/operations"


def go(page: Page, address: str) -> None:
    """Open the page and wait until each panel was read."""
    page.goto(address)
    expect(page.locator(".as-of")).to_have_count(len(PANELS))


def panel(page: Page, name: str) -> Locator:
    return page.locator(f"section#{name}")


def test_each_panel_is_drawn_by_this_server_alone(watched: Watched, address: str, lake: Lake) -> None:
    go(watched.page, address)
    for one in PANELS:
        shown, found = panel(watched.page, one.id), look(lake, one)
        expect(shown.get_by_role("heading", name=one.title)).to_be_visible()
        expect(shown.locator(".panel-chart svg")).to_have_count(1 if found.chart else 0)
        expect(shown.locator(".empty")).to_have_count(0 if found.rows else 1)
    keep(watched.page, "operations")
    assert {url for url in watched.asked if not url.startswith((address.removesuffix("/operations"), "ws:"))} == set()


def test_its_numbers_are_those_of_the_tables(watched: Watched, address: str, lake: Lake) -> None:
    go(watched.page, address)
    shown = panel(watched.page, "storage")
    shown.get_by_text("Numbers").click()
    (row,) = look(lake, next(one for one in PANELS if one.id == "storage")).rows
    expect(shown.locator("tbody td").nth(1)).to_have_text(f"{row['trades']:,}")
    expect(panel(watched.page, "success").locator("tbody tr")).to_contain_text("75.0")
    expect(panel(watched.page, "failures").locator("tbody tr")).to_contain_text("NO-SUCH")


def test_the_sql_that_is_copied_is_the_one_that_was_run(watched: Watched, address: str, lake: Lake) -> None:
    page = watched.page
    go(page, address)
    shown = panel(page, "files")
    shown.get_by_text("SQL, for Athena").click()
    shown.get_by_role("button", name="copy SQL").click()
    expect(page.get_by_text("copied")).to_be_visible()
    found = look(lake, next(one for one in PANELS if one.id == "files"))
    copied = page.evaluate("navigator.clipboard.readText()")
    assert copied == found.sql
    assert query(lake, copied, dialect=DIALECT).num_rows == len(found.rows)


def test_a_panel_is_read_again_when_asked(watched: Watched, tmp_path: Path) -> None:
    lake = Lake(Settings.load(warehouse=str(tmp_path), environment={}))
    record(lake, [Report("early", "ingest", "okx", "failed", errors={"okx": "it is in maintenance"})])
    page = watched.page
    with served("--warehouse", str(tmp_path)) as address:
        go(page, f"{address}/operations")
        failures = panel(page, "failures")
        expect(failures.locator("tbody tr")).to_have_count(1)
        record(lake, [Report("late", "unify", "trades_unified", "failed", errors={"trades_unified": "no room left"})])
        failures.get_by_role("button", name="read Failures again").click()
        expect(failures.locator("tbody tr")).to_have_count(2)
        expect(failures).to_contain_text("no room left")


def test_the_dialects_of_its_sql_are_there_before_threads_ask_for_them() -> None:
    """A dialect that one thread is importing another has by halves: a panel then said NameError."""
    code = "import sys, schemahub_lib.ui.server; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, check=True).stdout.split()
    assert {"sqlglot.dialects.athena", "sqlglot.dialects.duckdb"} <= set(loaded)


def test_a_hostile_name_is_text(watched: Watched, address: str) -> None:
    watched.page.on("dialog", lambda dialog: watched.complaints.append(dialog.message))
    go(watched.page, address)
    shown = panel(watched.page, "freshness")
    shown.get_by_text("Numbers").click()
    expect(shown.locator("tbody tr").first).to_contain_text(HOSTILE)
    expect(watched.page.locator("img[src=x]")).to_have_count(0)


def test_what_cannot_be_read_is_told_in_its_place(watched: Watched, tmp_path: Path) -> None:
    lake = lake_with(tmp_path, NOON, NOON + timedelta(minutes=1), "BTC", venues=("kraken",))
    record(lake, [Report("1", "ingest", "okx")])
    found = lake.find(RUNS.name)
    assert found is not None
    shutil.rmtree(f"{found.location().removeprefix('file://')}/data")
    with served("--warehouse", str(tmp_path)) as address:
        go(watched.page, f"{address}/operations")
        expect(panel(watched.page, "success").get_by_role("alert")).to_be_visible()
        expect(panel(watched.page, "trades").locator(".panel-chart svg")).to_be_visible()


def test_an_empty_lake_says_what_to_run(watched: Watched, tmp_path: Path) -> None:
    with served("--warehouse", str(tmp_path / "none")) as address:
        go(watched.page, f"{address}/operations")
        expect(watched.page.locator(".empty")).to_have_text([one.empty for one in PANELS])


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", [(1280, 800), (390, 844)])
def test_it_fits_and_is_accessible(chromium: Browser, address: str, size: tuple[int, int], scheme: str) -> None:
    with opened(chromium, size, scheme) as watched:
        page = watched.page
        go(page, address)
        for summary in page.locator("#volume summary, #lag summary").all():
            summary.click()
        expect(page.locator("#lag tbody tr")).not_to_have_count(0)
        assert page.evaluate("document.documentElement.scrollWidth") <= size[0]
        assert violations(page) == []
        keep(page, f"operations-{scheme}-{size[0]}")
