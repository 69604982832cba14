"""`schemahub report`: a file, or rows for machines. What a browser makes of the file is in tests/ui."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest

from schemahub_lib.operations.look import look_at_all
from schemahub_lib.operations.panels import PANELS
from schemahub_lib.schemas import TRADES_UNIFIED, WATERMARKS
from schemahub_lib.simulator import Simulator
from schemahub_lib.tables.lake import Lake
from tests.e2e.conftest import Outcome, assert_one_error
from tests.e2e.pipelines import NOW, SINCE, TARGET, WAYS, pipeline, rows, settings_for, unified
from tests.operations.runs import watched

pytestmark = pytest.mark.slow

Cli = Callable[..., Outcome]
HOSTILE = "<script>alert(1)</script>"


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


def test_names_are_text_and_scripts_only_ours(report: Path) -> None:
    text = report.read_text(encoding="utf-8")
    assert HOSTILE not in text
    assert text.count("<script") == text.count("</script>") == 2
    assert "default-src &#39;none&#39;" in text
    assert "unsafe" not in text.partition("<title>")[0]


def test_what_is_there_and_no_file_is_left_alone_and_a_link_is_followed(cli: Cli, lake: Lake, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "link").symlink_to(tmp_path / "kept.html")
    for name in ("pipe", "."):
        done = cli("report", "--out", str(tmp_path / name), SCHEMAHUB_WAREHOUSE=lake.settings.warehouse)
        assert done.code == 2
        assert done.err.endswith(f"{tmp_path / name} cannot be written: it is there, and is no file\n")
    assert (tmp_path / "pipe").is_fifo()
    done = cli("report", "--out", str(tmp_path / "link"), SCHEMAHUB_WAREHOUSE=lake.settings.warehouse)
    assert done.code == 0
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "kept.html").read_text(encoding="utf-8").startswith("<!DOCTYPE html>")


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


def test_after_runs_of_the_pipeline_it_tells_of_the_unified_table_too(make_lake: Callable[..., Lake]) -> None:
    with Simulator(seed=5, now=NOW, speed=0, trade_rate=0.1, rate_limits=False) as market:
        lake = make_lake(**settings_for(market.urls))
        reports = [pipeline(lake, *WAYS, since=SINCE)]
        market.advance(60)
        reports.append(pipeline(lake, *WAYS, since=SINCE))
    found = {look.panel.id: look for look in look_at_all(lake)}
    assert {name: look.error for name, look in found.items() if look.error} == {}
    count = len(unified(lake))
    assert sum(row["trades"] for row in found["trades"].rows) == count
    assert sum(row["trades"] for row in found["storage"].rows) == count
    assert {row["missing"] for row in found["completeness"].rows} == {0}
    assert {row["status"] for row in found["audits"].rows} == {"passed"}
    assert {row["run"] for row in found["speed"].rows} == {f"ingest {name}" for name in WAYS} | {"unify trades_unified"}
    success = {row["source"]: (row["runs"], row["success_percent"]) for row in found["success"].rows}
    assert success == {source: (len(reports), 100) for source in (*WAYS, TARGET)}
    assert {row["name"] for row in found["maintenance"].rows} >= {TARGET, *(f"raw_{name}_trades" for name in WAYS)}
