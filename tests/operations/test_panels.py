"""What each panel says, against the tables and the reports of the runs that made them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from schemahub_lib.config import Settings
from schemahub_lib.cost.estimate import estimate
from schemahub_lib.cost.jobs import read_jobs
from schemahub_lib.cost.workload import Workload
from schemahub_lib.exchanges import EXCHANGES, book_tables, raw_tables
from schemahub_lib.operations.look import LIMITS, Look, look, look_at_all
from schemahub_lib.operations.panels import PANELS, Panel
from schemahub_lib.operations.statements import statement
from schemahub_lib.pipeline.maintain import our_tables
from schemahub_lib.pipeline.query import Limits
from schemahub_lib.pipeline.reports import Report
from schemahub_lib.pipeline.runs import record
from schemahub_lib.pipeline.usage import usage
from schemahub_lib.quality.audits import Finding
from schemahub_lib.quality.audits import record as record_audits
from schemahub_lib.schemas import LEDGERS, RUNS, TRADES_UNIFIED, WATERMARKS
from schemahub_lib.tables.due import figures
from schemahub_lib.tables.lake import Lake
from tests.analysis.market import VENUES, lake_with
from tests.e2e.pipelines import rows
from tests.market_days import publish_trades
from tests.operations.runs import Watched, watched

pytestmark = pytest.mark.slow

RAW = EXCHANGES["coinbase"].raw_table.name
PANEL = {panel.id: panel for panel in PANELS}
START = datetime(2026, 11, 1, tzinfo=UTC)


@pytest.fixture(scope="module")
def seen(tmp_path_factory: pytest.TempPathFactory) -> Watched:
    return watched(tmp_path_factory.mktemp("operations"))


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    return Lake(Settings.load(warehouse=str(tmp_path / "warehouse"), environment={}))


def ask(lake: Lake, panel: str) -> list[dict[str, Any]]:
    """A panel's rows; that they can be drawn is looked at too."""
    found = look(lake, PANEL[panel])
    assert found.error is None
    assert (found.chart is not None) == (found.panel.draw is not None and bool(found.rows))
    return found.rows


def files_of(lake: Lake, table: str) -> tuple[int, float]:
    """How many data files a table has, and their megabytes, by its own account."""
    found = lake.find(table)
    assert found is not None
    size = figures(found)
    return size.files, size.bytes / 1e6


def test_volume_is_what_runs_brought_added_up(seen: Watched) -> None:
    told = ask(seen.lake, "volume")
    assert {row["exchange"] for row in told} == {"coinbase"}
    assert told[-1]["trades"] == sum(report.rows for report in seen.reports) == len(rows(seen.lake, RAW))


def test_volume_is_of_trades_less_those_rolled_back(lake: Lake) -> None:
    for hour, (job, source, count) in enumerate(
        [
            ("ingest", "okx", 100),
            ("rollback", "raw_okx_trades", -40),
            ("unify", "trades_unified", 60),
            ("ingest", "raw_okx_books", 8),
            ("record", "okx", 5),
        ]
    ):
        record(lake, [Report(str(hour), job, source, started_at=START + timedelta(hours=hour), rows=count)])
    assert [(row["exchange"], row["trades"]) for row in ask(lake, "volume")] == [("okx", 100), ("okx", 60), ("okx", 65)]


def test_trades_are_counted_by_exchange_and_product(tmp_path: Path) -> None:
    lake = lake_with(tmp_path, START, START + timedelta(minutes=2), "BTC")
    counted = {(row["exchange"], row["product"]): row["trades"] for row in ask(lake, "trades")}
    there = [(row["exchange"], row["canonical_symbol"]) for row in rows(lake, TRADES_UNIFIED.name)]
    assert counted == {key: there.count(key) for key in there}
    assert {exchange for exchange, _ in counted} == {venue.upper() for venue in VENUES}


def test_jsonl_is_the_payloads_a_line_each_and_parquet_the_files(seen: Watched) -> None:
    (told,) = ask(seen.lake, "storage")
    payloads = [row["_raw_payload"] for row in rows(seen.lake, RAW)]
    json_mb = sum(len(payload.encode()) + 1 for payload in payloads) / 1e6
    _, parquet_mb = files_of(seen.lake, RAW)
    assert (told["name"], told["trades"]) == (RAW, len(payloads))
    assert (told["jsonl_mb"], told["parquet_mb"]) == pytest.approx((json_mb, parquet_mb))
    assert told["times_smaller"] == pytest.approx(json_mb / parquet_mb)
    assert told["times_smaller"] > 2


def test_a_line_is_as_long_as_those_of_the_last_48_hours(lake: Lake) -> None:
    publish_trades(lake, 1, 2 * 144, ("BTC-USD",))  # two days of payloads {}
    table = lake.find(RAW)
    assert table is not None
    later = table.scan().to_arrow().slice(0, 1).to_pylist()[0]
    later |= {"trade_id": "999", "time": later["time"] + timedelta(days=10), "_raw_payload": "x" * 9}
    lake.append(EXCHANGES["coinbase"].raw_table, [later])
    (told,) = ask(lake, "storage")
    assert told["jsonl_mb"] == pytest.approx(10 * (2 * 144 + 1) / 1e6)


def test_every_table_with_rows_has_its_size(seen: Watched) -> None:
    told = {row["name"]: (row["files"], pytest.approx(row["size_mb"])) for row in ask(seen.lake, "files")}
    assert told == {name: files_of(seen.lake, name) for name in seen.lake.table_names() if rows(seen.lake, name)}
    assert {row["name"]: row["rows"] for row in ask(seen.lake, "files")}[RUNS.name] == len(seen.reports)


def test_size_over_time_ends_at_the_present_one(seen: Watched) -> None:
    newest = ask(seen.lake, "growth")[-1]
    assert newest["name"] == RAW
    assert (newest["files"], newest["size_mb"]) == pytest.approx(files_of(seen.lake, RAW))


def test_runs_are_counted_by_how_they_ended(seen: Watched) -> None:
    counted: dict[str, int] = {}
    for row in ask(seen.lake, "outcomes"):
        counted[row["status"]] = counted.get(row["status"], 0) + row["runs"]
    assert counted == {"ok": 3, "failed": 1}


def test_the_success_rate_is_of_runs_that_ended_well(seen: Watched) -> None:
    (told,) = ask(seen.lake, "success")
    assert (told["job"], told["source"], told["runs"], told["failed"]) == ("ingest", "coinbase", 4, 1)
    assert told["success_percent"] == 75
    assert told["average_seconds"] == pytest.approx(sum(report.seconds for report in seen.reports) / 4)


def test_a_failure_has_its_words(seen: Watched) -> None:
    (told,) = ask(seen.lake, "failures")
    assert told["status"] == "failed"
    assert told["error"].startswith("NO-SUCH: ")


def test_speed_is_rows_by_the_seconds_of_runs_that_brought_some(seen: Watched) -> None:
    some = [report for report in seen.reports if report.rows]
    told = ask(seen.lake, "speed")
    assert {row["run"] for row in told} == {"ingest coinbase"}
    each = [report.rows / report.seconds for report in some]
    assert min(each) <= told[0]["rows_a_second"] <= max(each)


def test_freshness_is_the_age_of_each_streams_newest_trade(seen: Watched) -> None:
    marks = {f"coinbase {row['stream']}": row["last_ts"] for row in rows(seen.lake, WATERMARKS.name)}
    told = ask(seen.lake, "freshness")
    assert {row["stream"]: row["newest_trade"] for row in told} == marks
    now = datetime.now(UTC)
    for row in told:
        assert row["minutes_old"] == pytest.approx((now - row["newest_trade"]) / timedelta(minutes=1), abs=2)


def test_lag_is_what_runs_found_at_their_end(seen: Watched) -> None:
    lags = [report.lag_seconds for report in seen.reports if report.lag_seconds is not None]
    assert max(row["lag_seconds"] for row in ask(seen.lake, "lag")) == max(lags)


def test_what_was_fetched_without_a_hole_is_complete(seen: Watched) -> None:
    told = ask(seen.lake, "completeness")
    assert {row["stream"] for row in told} == {"coinbase BTC-USD", "coinbase ETH-USD"}
    refused = sum(report.quarantined for report in seen.reports)  # by ids they are missing, and so they are
    assert sum(row["missing"] for row in told) == refused
    assert sum(row["trades"] for row in told) == len(rows(seen.lake, RAW))


def test_a_hole_in_the_ids_is_told_in_the_hour_that_follows_it(lake: Lake) -> None:
    publish_trades(lake, 1, 9, ("BTC-USD",))  # one every ten minutes
    publish_trades(lake, 15, 17, ("BTC-USD",))
    told = [(row["hour"].hour, row["trades"], row["missing"]) for row in ask(lake, "completeness")]
    assert told == [(0, 5, 0), (1, 4, 0), (2, 3, 5)]
    assert [row["complete_percent"] for row in ask(lake, "completeness")] == [100, 100, 37.5]


def test_a_trade_that_came_twice_does_not_hide_a_hole(lake: Lake) -> None:
    publish_trades(lake, 1, 2, ("BTC-USD",))
    publish_trades(lake, 4, 5, ("BTC-USD",))
    table = lake.find(RAW)
    assert table is not None
    table.append(table.scan().to_arrow())
    assert [(row["trades"], row["missing"]) for row in ask(lake, "completeness")] == [(4, 1)]


def test_quarantined_rows_are_counted_by_reason(seen: Watched) -> None:
    told = ask(seen.lake, "quarantine")
    assert sum(row["findings"] for row in told) == sum(report.quarantined for report in seen.reports) > 0
    assert {row["source"] for row in told} == {"coinbase"}


def test_drift_names_the_field(seen: Watched) -> None:
    told = {(row["stream"], row["field"], row["kind"]) for row in ask(seen.lake, "drift")}
    assert told == {(product, "maker_fee", "new") for product in ("BTC-USD", "ETH-USD")}


def test_audits_are_counted_by_how_they_ended(lake: Lake) -> None:
    for number, (status, message) in enumerate([("passed", None), ("passed", None), ("blocked", "2 rows too many")]):
        finding = Finding(RAW, "unique_key", "block", status, message=message)  # type: ignore[arg-type]
        record_audits(lake, TRADES_UNIFIED, str(number), [finding], None)
    told = {row["status"]: (row["times"], row["last_message"]) for row in ask(lake, "audits")}
    assert told == {"passed": (2, None), "blocked": (1, f"{RAW}: 2 rows too many")}


def test_many_small_files_are_due_for_compaction(lake: Lake) -> None:
    for number in range(5):
        record(lake, [Report(str(number), "maintain", RAW, started_at=START + timedelta(days=number))])
    publish_trades(lake, 1, 2)
    told = {row["name"]: row for row in ask(lake, "maintenance")}
    assert (told[RUNS.name]["due"], told[RAW]["due"]) == ("compaction", "nothing")
    assert (told[RUNS.name]["files"], told[RAW]["files"]) == (5, files_of(lake, RAW)[0])
    assert (told[RUNS.name]["last_maintained"], told[RAW]["last_maintained"]) == (None, START + timedelta(days=4))


def test_the_bill_is_that_of_the_estimate(lake: Lake) -> None:
    lake.append(WATERMARKS, [{"source": "kraken", "stream": "XBTUSD"}])
    for number in range(3):
        run = (str(number), "ingest", "kraken", "ok", START + timedelta(hours=number), 10, 4000)
        record(lake, [Report(*run)])  # type: ignore[arg-type]
    total, *lines = ask(lake, "cost")
    jobs = read_jobs()
    sources, seconds = usage(lake, list(EXCHANGES.values()))
    assert sources[0].trades_a_day == 96_000
    expected = estimate(Workload(tuple(sources), jobs["pipeline"].runs_a_day or 0, seconds), jobs)
    assert (total["what"], total["dollars"]) == ("total", pytest.approx(expected.dollars))
    assert sum(line["dollars"] for line in lines) == pytest.approx(total["dollars"])


def test_runs_of_a_minute_make_no_bill(seen: Watched) -> None:
    assert ask(seen.lake, "cost") == []


@pytest.mark.parametrize("panel", PANELS, ids=lambda panel: panel.id)
def test_an_empty_lake_says_what_to_run_and_stays_empty(panel: Panel, lake: Lake) -> None:
    found = look(lake, panel)
    assert (found.rows, found.error, found.chart) == ([], None, None)
    assert panel.empty
    assert not Path(lake.settings.warehouse).exists()


def test_tables_without_rows_are_as_good_as_none(lake: Lake) -> None:
    for table in (*raw_tables().values(), *book_tables().values(), TRADES_UNIFIED, *LEDGERS):
        lake.ensure(table)
    assert [(found.panel.id, found.rows, found.error) for found in look_at_all(lake)] == [
        (panel.id, [], None) for panel in PANELS
    ]


@pytest.mark.parametrize("dialect", ["athena", "trino"])
@pytest.mark.parametrize("panel", PANELS, ids=lambda panel: panel.id)
def test_a_statement_is_one_select_over_tables_of_the_catalog(panel: Panel, dialect: str) -> None:
    from sqlglot import exp, parse

    (tree,) = parse(statement(panel, dict.fromkeys(panel.tables, START)), dialect=dialect)
    assert isinstance(tree, exp.Query)
    assert not list(tree.find_all(exp.Placeholder, exp.Parameter))
    common = {cte.alias for cte in tree.find_all(exp.CTE)}
    asked = {table.name.partition("$")[0] for table in tree.find_all(exp.Table)} - common
    assert asked <= set(our_tables())
    assert not [node for node in tree.find_all(exp.Identifier, exp.Literal) if node.name.startswith("each_")]


def test_beyond_the_limits_a_panel_says_so_in_words(seen: Watched) -> None:
    found = look(seen.lake, PANEL["files"], Limits(1, LIMITS.seconds, LIMITS.megabytes))
    assert (found.rows, found.error) == ([], "the answer has more than 1 rows")


def test_what_is_wrong_with_one_panel_does_not_keep_others_from_being_shown(tmp_path: Path) -> None:
    lake = lake_with(tmp_path, START, START + timedelta(minutes=1), "BTC", venues=("coinbase",))
    lake.append(RUNS, [{"run_id": "1", "job": "ingest", "source": "okx", "status": "ok", "started_at": START}])
    table = lake.find(RUNS.name)
    assert table is not None
    for task in table.scan().plan_files():
        Path(task.file.file_path.removeprefix("file://")).unlink()
    found: dict[str, Look] = {look.panel.id: look for look in look_at_all(lake)}
    assert found["success"].error
    assert found["trades"].rows
