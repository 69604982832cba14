"""Reports, their row in the ledger, and the exit code they make."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

import pytest

from schemahub_lib.pipeline.reports import Report, Status, new_run_id
from schemahub_lib.pipeline.runs import exit_code, record
from schemahub_lib.schemas import RUNS
from schemahub_lib.tables.lake import Lake


def reports(*ingests: Status, unify: Status | None = None) -> list[Report]:
    made = [Report("r", "ingest", f"exchange {n}", status) for n, status in enumerate(ingests)]
    return [*made, Report("r", "unify", "trades_unified", unify)] if unify else made


@pytest.mark.parametrize(
    ("found", "code"),
    [
        (reports("ok"), 0),
        (reports("nothing_new", "ok", unify="ok"), 0),
        (reports("nothing_new", unify="nothing_new"), 0),
        (reports("partial"), 3),
        (reports("ok", "failed", unify="ok"), 3),
        (reports("nothing_new", "failed", unify="nothing_new"), 3),
        (reports("failed"), 1),
        (reports("failed", "failed", "failed", unify="nothing_new"), 1),
        ([Report("r", "unify", "trades_unified", "ok")], 0),
    ],
)
def test_the_exit_code_tells_all_some_or_nothing(found: list[Report], code: int) -> None:
    assert exit_code(found) == code


def test_a_run_id_sorts_by_time_and_is_its_own() -> None:
    ids = [new_run_id() for _ in range(100)]
    assert len(set(ids)) == 100
    assert all(re.fullmatch(r"\d{8}T\d{6}Z-[0-9a-f]{8}", run_id) for run_id in ids)


def test_finishing_takes_the_time() -> None:
    report = Report("r", "ingest", "coinbase", started_at=datetime.now(UTC) - timedelta(seconds=90))
    report.finish("ok")
    assert 90 <= report.seconds < 100


def test_a_report_becomes_a_row_with_its_errors_in_words(lake: Lake) -> None:
    report = Report("r1", "ingest", "coinbase", "partial", rows=7, lag_seconds=1.5, sql="SELECT 1")
    report.errors = {"A-USD": "it is gone", "B-USD": "so is that"}
    report.pace, report.breaker, report.breaker_opened = 0.5, "half-open", 2
    record(lake, [report, Report("r2", "ingest", "kraken")])
    table = lake.find(RUNS.name)
    assert table is not None
    first, second = table.scan().to_arrow().to_pylist()
    assert (first["run_id"], first["status"], first["rows"], first["lag_seconds"]) == ("r1", "partial", 7, 1.5)
    assert first["error"] == "A-USD: it is gone\nB-USD: so is that"
    assert (first["pace"], first["breaker"], first["breaker_opened"]) == (0.5, "half-open", 2)
    assert first["started_at"] == report.started_at
    assert (second["error"], second["lag_seconds"], second["pace"], second["breaker"]) == (None, None, None, None)
