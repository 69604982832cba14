"""`schemahub report`: one file that opens offline, in Debian's chromium where it is installed."""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from importlib import resources
from pathlib import Path
from typing import Any

import pytest

from schemahub_lib.operations.panels import PANELS
from schemahub_lib.schemas import TRADES_UNIFIED, WATERMARKS
from schemahub_lib.tables.lake import Lake
from tests.e2e.conftest import Outcome, assert_one_error
from tests.e2e.pipelines import rows
from tests.operations.runs import watched

Cli = Callable[..., Outcome]
HOSTILE = "<script>alert(1)</script>"
CHARTS = ("volume", "trades", "storage", "files", "growth", "outcomes", "speed", "freshness", "lag", "completeness")


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Lake:
    """What runs left, and a product with a hostile name."""
    lake = watched(tmp_path_factory.mktemp("report") / "warehouse").lake
    moment = datetime(2024, 2, 8, tzinfo=UTC)
    told = {"exchange": "COINBASE", "symbol": HOSTILE, "trade_id": "1", "price": 1.0, "quantity": 1.0}
    lake.append(TRADES_UNIFIED, [told | {"trade_ts": moment, "ingest_ts": moment}])
    lake.append(WATERMARKS, [{"source": "okx", "stream": HOSTILE, "last_ts": moment, "updated_at": moment}])
    return lake


@pytest.fixture
def report(cli: Cli, lake: Lake, tmp_path: Path) -> Path:
    """The file that the command writes."""
    out = tmp_path / "made" / "report.html"
    done = cli("report", "--out", str(out), SCHEMAHUB_WAREHOUSE=lake.settings.warehouse)
    assert done.code == 0, done.err
    assert done.out.startswith(f"{out}: {len(PANELS)} panels, ")
    assert [path.name for path in out.parent.iterdir()] == ["report.html"]
    return out


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    playwright = pytest.importorskip("playwright.sync_api")
    chromium = shutil.which("chromium")
    if chromium is None:
        pytest.skip("there is no chromium on this machine")
    with playwright.sync_playwright() as driver:
        opened = driver.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        yield opened
        opened.close()


@pytest.mark.parametrize(
    ("scheme", "width", "height"), [("light", 1280, 800), ("dark", 390, 844)], ids=["desk", "phone at night"]
)
def test_a_browser_draws_it_without_asking_anybody(
    report: Path, browser: Any, tmp_path: Path, scheme: str, width: int, height: int
) -> None:
    told: list[str] = []
    page = browser.new_page(color_scheme=scheme, viewport={"width": width, "height": height})
    page.on("console", lambda message: told.append(message.text))
    page.on("pageerror", lambda error: told.append(str(error)))
    page.on("dialog", lambda dialog: told.append(dialog.message))
    page.on("request", lambda request: told.append(request.url))
    page.goto(report.as_uri())
    page.wait_for_selector("#completeness svg path", state="attached")
    assert told == [report.as_uri()]
    assert [chart for chart in CHARTS if page.query_selector(f"#{chart} svg path") is None] == []
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert "okx <script>" in page.text_content("#freshness svg")
    shots = Path(os.environ.get("SCHEMAHUB_SCREENSHOTS") or tmp_path)
    page.screenshot(path=shots / f"report-{scheme}-{width}.png", full_page=True)
    assert violations(page) == []
    page.close()


def violations(page: Any) -> list[str]:
    """What axe-core finds that is serious, as rule and element."""
    pytest.importorskip("axe_playwright_python")
    page.evaluate((resources.files("axe_playwright_python") / "axe.min.js").read_text(encoding="utf-8"))
    found = page.evaluate("axe.run()")["violations"]
    return [
        f"{rule['id']}: {node['html']}"
        for rule in found
        if rule["impact"] in ("serious", "critical")
        for node in rule["nodes"]
    ]


def test_numbers_and_sql_can_be_read_and_copied(report: Path, browser: Any) -> None:
    page = browser.new_page()
    page.goto(report.as_uri())
    for summary in page.query_selector_all("#success summary, #storage summary"):
        summary.click()
    assert "75.0" in page.inner_text("#success table")
    assert "jsonl MB" in page.inner_text("#storage table")
    page.click("#success button")
    page.wait_for_selector("#success button:not(:text-is('Copy'))")
    assert page.inner_text("#success pre").startswith("SELECT")
    page.close()


def test_names_are_text_and_scripts_only_ours(report: Path) -> None:
    text = report.read_text(encoding="utf-8")
    assert HOSTILE not in text
    assert text.count("<script") == text.count("</script>") == 2
    assert "default-src &#39;none&#39;" in text
    assert "unsafe" not in text.partition("<title>")[0]


def test_machines_get_the_rows(cli: Cli, lake: Lake, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    done = cli("report", "--json", SCHEMAHUB_WAREHOUSE=lake.settings.warehouse)
    assert done.code == 0
    told = json.loads(done.out)
    assert list(told) == [panel.id for panel in PANELS]
    assert told["volume"]["rows"][-1]["trades"] == len(rows(lake, "raw_coinbase_trades"))
    assert list(tmp_path.iterdir()) == []


def test_an_empty_lake_says_what_to_run(cli: Cli, tmp_path: Path) -> None:
    out = tmp_path / "report.html"
    done = cli("report", "--out", str(out), SCHEMAHUB_WAREHOUSE=str(tmp_path / "none"))
    assert (done.code, done.err) == (0, "")
    assert f"{len(PANELS)} of them without rows" in done.out
    text = out.read_text(encoding="utf-8")
    assert text.count('<p class="empty">') == len(PANELS)
    assert "Nothing was fetched yet: schemahub run pipeline" in text
    assert not (tmp_path / "none").exists()


def test_where_it_cannot_be_written_it_says_so(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    done = cli("report", "--out", str(tmp_path / "file" / "r.html"), SCHEMAHUB_WAREHOUSE=str(tmp_path / "none"))
    assert done.code == 2
    assert_one_error(done.err, "r.html cannot be written: ")


def test_without_the_extra_it_says_what_to_install(cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in ("nicegui", "jinja2", "markupsafe"):
        monkeypatch.setitem(sys.modules, module, None)
    done = cli("report", "--out", str(tmp_path / "r.html"), SCHEMAHUB_WAREHOUSE=str(tmp_path / "none"))
    assert done.code == 2
    assert_one_error(done.err, "pip install 'schemahub[ui]'")
    assert list(tmp_path.iterdir()) == []
