"""The report's file in a browser: drawn, read and copied without asking anybody."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest
from playwright.sync_api import Browser, expect

from schemahub_lib.operations.look import Look, look_at_all
from schemahub_lib.operations.report import report
from schemahub_lib.schemas import WATERMARKS
from tests.operations import runs
from tests.ui.conftest import Watched, keep, opened, violations

pytestmark = pytest.mark.slow

HOSTILE = "<script>alert(1)</script>"
NOON = datetime(2024, 2, 8, 12, tzinfo=UTC)


@pytest.fixture(scope="module", autouse=True)
def looks(tmp_path_factory: pytest.TempPathFactory) -> list[Look]:
    """Panels of a lake that runs filled, with a stream of a hostile name. Made first: the simulator and Playwright each
    have a loop."""
    lake = runs.watched(tmp_path_factory.mktemp("report")).lake
    lake.append(WATERMARKS, [{"source": "okx", "stream": HOSTILE, "last_ts": NOON, "updated_at": NOON}])
    return list(look_at_all(lake))


@pytest.fixture(scope="module")
def address(looks: list[Look], tmp_path_factory: pytest.TempPathFactory) -> str:
    """Of the file."""
    file: Path = tmp_path_factory.mktemp("file") / "report.html"
    file.write_text(report(looks, "a warehouse", NOON), encoding="utf-8")
    return file.as_uri()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", [(1280, 800), (390, 844)])
def test_it_is_drawn_fits_is_accessible_and_asks_nobody(
    chromium: Browser, address: str, looks: list[Look], size: tuple[int, int], scheme: str
) -> None:
    with opened(chromium, size, scheme) as watched:
        page = watched.page
        page.on("dialog", lambda dialog: watched.complaints.append(dialog.message))
        page.goto(address)
        for look in looks:
            expect(page.locator(f"#{look.panel.id} svg")).to_have_count(1 if look.chart else 0)
            expect(page.locator(f"#{look.panel.id} .empty")).to_have_count(0 if look.rows else 1)
        expect(page.locator("#freshness svg")).to_contain_text("okx <script>")
        assert page.evaluate("document.documentElement.scrollWidth") <= size[0]
        assert violations(page) == []
        keep(page, f"report-{scheme}-{size[0]}")
        assert (watched.complaints, watched.asked) == ([], {address})


def test_numbers_can_be_read_and_sql_copied(watched: Watched, address: str, looks: list[Look]) -> None:
    page = watched.page
    page.goto(address)
    expect(page.locator("#success tbody tr")).to_contain_text("75.0")
    storage = page.locator("#storage")
    storage.get_by_text("Numbers").click()
    (row,) = next(look.rows for look in looks if look.panel.id == "storage")
    expect(storage.locator("tbody td").nth(1)).to_have_text(f"{row['trades']:,}")
    storage.get_by_text("SQL, for Athena").click()
    storage.get_by_role("button", name="Copy").click()
    expect(storage.get_by_role("button", name="Copied")).to_be_visible()
    assert page.evaluate("navigator.clipboard.readText()") == next(
        look.sql for look in looks if look.panel.id == "storage"
    )


def test_on_paper_it_is_dark_on_white(chromium: Browser, address: str) -> None:
    with opened(chromium, scheme="dark") as watched:
        page = watched.page
        page.goto(address)
        page.emulate_media(media="print", color_scheme="dark")
        assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
        label = page.locator("#volume svg text").first
        assert label.evaluate("node => getComputedStyle(node).fill") == "rgb(0, 0, 0)"


def test_charts_tell_utc_wherever_the_reader_is(chromium: Browser, address: str) -> None:
    told = set()
    for zone in ("UTC", "Asia/Kolkata"):
        context = chromium.new_context(timezone_id=zone)
        page = context.new_page()
        page.goto(address)
        expect(page.locator("#lag svg text").first).to_be_visible()
        told.add(page.locator("#lag svg").text_content())
        context.close()
    assert len(told) == 1
