"""With a workgroup, what DuckDB would answer is answered by Athena: the same statements, the same rows.

Athena is a server on loopback here (`tests/athena_server.py`), by default with DuckDB behind it; with a Trino, such as
`python -m tests.trino pytest tests/pipeline/test_athena.py` starts, the statements are run by what Athena is made of.
"""

from __future__ import annotations

import json
import signal
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import uuid4

import boto3
import numpy as np
import pytest

from schemahub_lib.analysis.events import Search, find_events
from schemahub_lib.analysis.replay import Replay, replay
from schemahub_lib.config import Settings
from schemahub_lib.errors import SchemaHubError, UsageError
from schemahub_lib.operations.look import LIMITS, look
from schemahub_lib.operations.panels import PANELS, Panel
from schemahub_lib.pipeline.query import Limits, query
from schemahub_lib.pipeline.reports import Report
from schemahub_lib.pipeline.runs import record
from schemahub_lib.quality.audits import Finding
from schemahub_lib.quality.audits import record as record_audits
from schemahub_lib.schemas import TRADES_UNIFIED, WATERMARKS
from schemahub_lib.simulator.market import SECOND
from schemahub_lib.tables.lake import Lake
from tests.analysis.market import BURST, lake_with
from tests.e2e.aws_proxy import glue_error, refusing
from tests.e2e.support import environment, schemahub, start
from tests.operations.runs import watched

pytestmark = pytest.mark.slow

BEGUN = datetime.fromtimestamp(BURST.start_ns / SECOND, UTC)
HALF_AN_HOUR = timedelta(minutes=30)
# Seconds of work: two thousand million pairs.
SLOW = "SELECT count(*) AS n FROM trades_unified CROSS JOIN UNNEST(sequence(1, 10000)) AS u (x) WHERE price + x < {}"


@pytest.fixture(scope="module")
def place(aws: Mapping[str, str]) -> Iterator[dict[str, str]]:
    """The variables of a filled lake in a bucket and a database of its own, and of a workgroup; they are set."""
    name = f"athena-{uuid4().hex[:12]}"
    lake = {"SCHEMAHUB_PROFILE": "glue", "SCHEMAHUB_WAREHOUSE": f"s3://{name}/lake"}
    variables = dict(aws) | lake | {"SCHEMAHUB_DATABASE": name.replace("-", "_")}
    with pytest.MonkeyPatch.context() as patch:
        for variable, value in aws.items():
            patch.setenv(variable, value)
        boto3.client("s3").create_bucket(Bucket=name)
        configuration = {"ResultConfiguration": {"OutputLocation": f"s3://{name}/results/"}}
        boto3.client("athena").create_work_group(Name=name, Configuration=configuration)
        warehouse = variables["SCHEMAHUB_WAREHOUSE"]
        ran = watched(warehouse, **variables).lake
        earlier = datetime.now(UTC) - timedelta(hours=3)
        record(ran, [Report("1", job, "coinbase", "ok", earlier, 10, rows=5) for job in ("ingest", "unify")])
        record_audits(ran, TRADES_UNIFIED, "1", [Finding("raw", "unique_key", "block", "passed")], None)
        lake_with(warehouse, BEGUN - HALF_AN_HOUR, BEGUN + HALF_AN_HOUR, "BTC", "ETH", **variables)
        yield variables | {"SCHEMAHUB_ATHENA_WORKGROUP": name}


@pytest.fixture
def lake(place: Mapping[str, str]) -> Lake:
    """Read by Athena."""
    return Lake(Settings.load(environment=place))


@pytest.fixture
def by_duckdb(place: Mapping[str, str]) -> Lake:
    """The same lake, read by DuckDB."""
    return Lake(Settings.load(environment={**place, "SCHEMAHUB_ATHENA_WORKGROUP": ""}))


def ask(lake: Lake, sql: str, **options: Any) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = query(lake, sql, **options).to_pylist()
    return rows


def executions() -> dict[str, str]:
    """How the queries ended that Athena was asked, by their statements."""
    athena = boto3.client("athena")
    found = [
        athena.get_query_execution(QueryExecutionId=one)["QueryExecution"]
        for one in athena.list_query_executions()["QueryExecutionIds"]
    ]
    return {one["Query"]: one["Status"]["State"] for one in found}


@pytest.mark.parametrize("panel", PANELS, ids=lambda panel: panel.id)
def test_a_panel_shows_the_same(panel: Panel, lake: Lake, by_duckdb: Lake) -> None:
    patient = replace(LIMITS, seconds=600)  # the machine may be busy
    found, expected = look(lake, panel, patient), look(by_duckdb, panel, patient)
    assert (found.error, found.sql) == (None, expected.sql)
    assert len(found.rows) == len(expected.rows) > 0
    for row, other in zip(found.rows, expected.rows, strict=True):
        assert row.keys() == other.keys()
        for name, value in row.items():
            assert type(value) is type(other[name]), name
            if isinstance(value, float):
                assert value == pytest.approx(other[name], rel=1e-12, abs=2 if name == "minutes_old" else 0), name
            else:
                assert value == other[name], name


def same(one: Replay, other: Replay) -> bool:
    assert one.trades == other.trades
    for venue, again in zip(one.venues, other.venues, strict=True):
        assert (venue.exchange, venue.symbol, venue.quote) == (again.exchange, again.symbol, again.quote)
        for column in ("time", "price", "side"):
            assert np.array_equal(getattr(venue.ticks, column), getattr(again.ticks, column)), column
        assert np.array_equal(venue.quantity, again.quantity)
    return True


@pytest.mark.parametrize(
    ("asset", "start", "length", "venues", "thinned"),
    [
        ("BTC", BEGUN, timedelta(seconds=12), (), False),
        ("BTC", BEGUN, timedelta(minutes=5), ("KRAKEN", "COINBASE"), False),
        ("BTC", BEGUN - HALF_AN_HOUR, 2 * HALF_AN_HOUR, (), True),
        ("BTC' OR 'a' = 'a", BEGUN, timedelta(seconds=12), (), False),
        ("BTC", BEGUN, timedelta(seconds=12), ("KRAKEN' OR 'a' = 'a",), False),
    ],
    ids=["all venues", "some", "of too many trades some", "an asset with quotes", "a venue with quotes"],
)
def test_a_replay_is_the_same(
    lake: Lake, by_duckdb: Lake, asset: str, start: datetime, length: timedelta, venues: tuple[str, ...], thinned: bool
) -> None:
    shown = replay(lake, asset, start, length, venues)
    assert same(shown, replay(by_duckdb, asset, start, length, venues))
    assert shown.thinned == thinned
    assert bool(shown.venues) == ("OR" not in asset + "".join(venues))


def test_a_replay_as_the_lake_knew_it_is_the_same(lake: Lake, by_duckdb: Lake) -> None:
    table = lake.find(TRADES_UNIFIED.name)
    assert table is not None
    first = datetime.fromtimestamp(table.metadata.snapshot_log[1].timestamp_ms / 1000, UTC)
    then = replay(lake, "BTC", BEGUN, as_of=first)
    assert same(then, replay(by_duckdb, "BTC", BEGUN, as_of=first))
    assert 0 < len(then.venues) < len(replay(lake, "BTC", BEGUN).venues)


def test_the_same_bursts_are_found(lake: Lake, by_duckdb: Lake) -> None:
    for assets in ((), ("ETH",), ("nobody's",)):
        search = Search(BEGUN - HALF_AN_HOUR, BEGUN + HALF_AN_HOUR, assets)
        found, expected = find_events(lake, search), find_events(by_duckdb, search)
        assert [event.asset for event in found] == [event.asset for event in expected]
        assert len(found) == {0: 2, 1: 1 if assets == ("ETH",) else 0}[len(assets)]
        for one, other in zip(found, expected, strict=True):
            assert (one.starts_at, one.ends_at, one.peak_at) == (other.starts_at, other.ends_at, other.peak_at)
            assert one.ratio == pytest.approx(other.ratio)


def test_what_iceberg_knows_is_the_same(lake: Lake, by_duckdb: Lake) -> None:
    for sql in (
        'SELECT file_path, record_count, file_size_in_bytes FROM "trades_unified$files" ORDER BY 1',
        "SELECT snapshot_id, committed_at, element_at(summary, 'total-records') AS total "
        'FROM "trades_unified$snapshots" ORDER BY committed_at',
    ):
        found = ask(lake, sql)
        assert found == ask(by_duckdb, sql, dialect="athena")
        assert found


def test_of_the_past_athena_knows_rows_and_not_files(lake: Lake) -> None:
    now = datetime.now(UTC)
    assert ask(lake, f"SELECT count(*) > 0 AS some FROM {TRADES_UNIFIED.name}", as_of=now) == [{"some": True}]
    with pytest.raises(UsageError, match=r"trades_unified\$files as it is now only"):
        query(lake, 'SELECT * FROM "trades_unified$files"', as_of=now)


def test_values_have_the_types_that_duckdb_gives_them(lake: Lake) -> None:
    sql = """
    SELECT 1 < 2 AS yes, CAST(7 AS BIGINT) AS whole, 1e-7 AS small, CAST('1.50' AS DECIMAL(5, 2)) AS exact,
           'é "x", ''y''\n' AS text, '' AS empty, CAST(NULL AS VARCHAR) AS missing, CAST(NULL AS BIGINT) AS number,
           DATE '2024-02-08' AS day, TIMESTAMP '2024-02-08 12:00:00.000007 UTC' AS time, 1 AS twice, 2 AS twice
    """
    found = query(lake, sql)
    assert [column.to_pylist() for column in found.columns] == [
        *([True], [7], [1e-7], [Decimal("1.50")], ["é \"x\", 'y'\n"], [""], [None], [None]),
        *([datetime(2024, 2, 8).date()], [datetime(2024, 2, 8, 12, 0, 0, 7, UTC)], [1], [2]),
    ]
    assert str(found.schema.field("time").type) == "timestamp[us, tz=UTC]"
    assert query(lake, "SELECT CAST(NULL AS BIGINT) AS n").to_pylist() == [{"n": None}]


def test_an_answer_may_be_long(lake: Lake, by_duckdb: Lake) -> None:
    sql = "SELECT exchange, trade_id, price, trade_ts FROM trades_unified WHERE base_asset = 'ETH' ORDER BY 1, 2"
    found = query(lake, sql)
    assert found.num_rows > 5000
    assert found.equals(query(by_duckdb, sql).cast(found.schema))


def test_parameters_are_values_and_never_sql(lake: Lake) -> None:
    sql = (
        "SELECT stream, last_ts FROM schemahub_watermarks "
        "WHERE (stream = :stream OR :any = 1) AND last_ts < :before ORDER BY stream"
    )

    def found(stream: str, any_: int = 0) -> list[str]:
        given = {"stream": stream, "any": any_, "before": datetime.now(UTC)}
        return [row["stream"] for row in ask(lake, sql, parameters=given)]

    assert found("BTC-USD") == ["BTC-USD"]
    assert found("", 1) == ["BTC-USD", "ETH-USD"]
    for text in ("x' OR 'a' = 'a", "x''", "?", ":any", "\\' OR 1 = 1 --", "é\n\t"):
        assert found(text) == []
    (sent,) = (sql for sql in executions() if ":" not in sql and "stream = ? OR ? = 1" in sql)
    assert "BTC-USD" not in sent


def test_tables_may_be_named_with_their_database(lake: Lake, place: Mapping[str, str]) -> None:
    sql = f"WITH marks AS (SELECT 1 AS n FROM {place['SCHEMAHUB_DATABASE']}.{WATERMARKS.name}) SELECT n FROM marks"
    assert ask(lake, sql) == [{"n": 1}, {"n": 1}]


@pytest.mark.parametrize(
    ("sql", "told"),
    [
        ("SELECT nothing FROM schemahub_watermarks", "the query does not run: .*nothing"),
        ("SELECT * FROM nowhere", "there is no table nowhere"),
        ("DROP TABLE schemahub_watermarks", "expected one SELECT"),
        ("SELECT 1 WHERE 1 = ?", "the query does not run: .*ncorrect number of parameters"),
    ],
)
def test_a_statement_that_does_not_run_is_told_in_athenas_words(lake: Lake, sql: str, told: str) -> None:
    with pytest.raises(UsageError, match=told):
        query(lake, sql)


ENOUGH = Limits(rows=10, seconds=60, megabytes=100)


def test_rows_beyond_the_limit_are_refused(lake: Lake) -> None:
    sql = "SELECT trade_id FROM trades_unified ORDER BY trade_id"
    with pytest.raises(SchemaHubError, match="the answer has more than 10 rows"):
        query(lake, sql, limits=ENOUGH)
    assert query(lake, f"{sql} LIMIT 10", limits=ENOUGH).num_rows == 10
    assert any(sent.endswith("LIMIT 11") for sent in executions())


def state_of(part: str) -> str:
    """How the query ended whose statement has this part."""
    (state,) = (state for sql, state in executions().items() if part in sql)
    return state


def test_a_query_that_takes_too_long_is_stopped_in_athena(lake: Lake) -> None:
    with pytest.raises(SchemaHubError, match=r"longer than 0\.2 s and was stopped"):
        query(lake, SLOW.format(-1), limits=replace(ENOUGH, seconds=0.2))
    assert state_of("< -1") == "CANCELLED"


def test_ctrl_c_stops_the_query_in_athena(place: Mapping[str, str]) -> None:
    process = start(
        environment({}, place["SCHEMAHUB_WAREHOUSE"], **place), ["-m", "schemahub_lib", "query", SLOW.format(-2)]
    )
    while not any("< -2" in sql for sql in executions()):
        assert process.poll() is None
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    _, told = process.communicate(timeout=60)
    assert (process.returncode, told.splitlines()[-1]) == (130, "stopped")
    assert state_of("< -2") == "CANCELLED"


Answers = Callable[[str, Callable[[], tuple[int, str] | None]], None]


@pytest.fixture
def answers(place: Mapping[str, str], monkeypatch: pytest.MonkeyPatch) -> Iterator[Answers]:
    """Lets Athena answer an operation as told, where None is as it would itself; and tries once only."""
    told: dict[str, Callable[[], tuple[int, str] | None]] = {}

    def refuse(_: str, what: str) -> tuple[int, str] | None:
        return told.get(what.rpartition(".")[2], lambda: None)()

    with refusing(place["AWS_ENDPOINT_URL"], refuse) as url:
        monkeypatch.setenv("AWS_ENDPOINT_URL_ATHENA", url)
        monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
        yield told.__setitem__


def ended(state: str, reason: str, category: int) -> tuple[int, str]:
    """What Athena tells of a query that ended so."""
    status = {"State": state, "StateChangeReason": reason, "AthenaError": {"ErrorCategory": category}}
    return 200, json.dumps({"QueryExecution": {"Status": status, "ResultConfiguration": {}}})


@pytest.mark.parametrize(
    ("operation", "answer", "kind", "told"),
    [
        (
            "StartQueryExecution",
            glue_error("AccessDeniedException", "not authorized to perform: athena:StartQueryExecution"),
            SchemaHubError,
            "AWS refused StartQueryExecution: not authorized .*let these credentials do that there, or use others",
        ),
        (
            "StartQueryExecution",
            glue_error("TooManyRequestsException", "Rate exceeded"),
            SchemaHubError,
            "Rate exceeded .*it is busy: run again later",
        ),
        (
            "GetQueryExecution",
            ended("CANCELLED", "Bytes scanned limit was exceeded", 2),
            SchemaHubError,
            "would scan more than its workgroup allows and was stopped; ask for less.*or raise the limit of workgroup",
        ),
        (
            "GetQueryExecution",
            ended("CANCELLED", "Query timeout", 1),
            SchemaHubError,
            "the query was stopped: Query timeout",
        ),
        (
            "GetQueryExecution",
            ended("FAILED", "Query exhausted resources at this scale factor", 1),
            SchemaHubError,
            "failed in Athena: Query exhausted resources .*run it again later",
        ),
        (
            "GetQueryExecution",
            ended("SUCCEEDED", "", 0),
            UsageError,
            "keeps results to itself: give it a location in S3",
        ),
    ],
    ids=["denied", "throttled", "beyond what may be scanned", "timed out", "exhausted", "with managed results"],
)
def test_what_athena_refuses_is_told_with_what_to_do(
    lake: Lake, answers: Answers, operation: str, answer: tuple[int, str], kind: type[Exception], told: str
) -> None:
    answers(operation, lambda: answer)
    with pytest.raises(kind, match=told) as raised:
        query(lake, "SELECT 1 AS one")
    assert type(raised.value) is kind


def test_a_workgroup_that_is_not_there_or_has_no_place_for_results(place: Mapping[str, str]) -> None:
    boto3.client("athena").create_work_group(Name="nowhere-to-put-it")
    for workgroup, told in (
        ("nobody-made-it", "is not found.*; create and enable workgroup nobody-made-it, or correct SCHEMAHUB_ATHENA_"),
        ("nowhere-to-put-it", "No output location.*; give workgroup nowhere-to-put-it a location in S3 for results"),
    ):
        lake = Lake(Settings.load(environment={**place, "SCHEMAHUB_ATHENA_WORKGROUP": workgroup}))
        with pytest.raises(UsageError, match=told):
            query(lake, "SELECT 1 AS one")


def test_a_query_is_tried_again_where_athena_was_busy(
    lake: Lake, answers: Answers, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "3")
    busy = iter([glue_error("ThrottlingException", "Rate exceeded")])
    answers("StartQueryExecution", lambda: next(busy, None))
    assert ask(lake, "SELECT 2 AS two") == [{"two": 2}]


def test_a_query_that_cannot_be_watched_is_stopped(lake: Lake, answers: Answers) -> None:
    answers("GetQueryExecution", lambda: glue_error("AccessDeniedException"))
    with pytest.raises(SchemaHubError, match="AWS refused GetQueryExecution"):
        query(lake, SLOW.format(-3))
    answers("GetQueryExecution", lambda: None)
    assert state_of("< -3") == "CANCELLED"


def test_a_query_that_cannot_be_stopped_is_named(
    lake: Lake, answers: Answers, caplog: pytest.LogCaptureFixture
) -> None:
    answers("StopQueryExecution", lambda: glue_error("AccessDeniedException"))
    with pytest.raises(SchemaHubError, match="longer than 0 s"):
        query(lake, SLOW.format(-4), limits=replace(ENOUGH, seconds=0))
    assert "goes on in Athena until it ends by itself, as it cannot be stopped" in caplog.text


def test_the_command_speaks_athenas_sql(place: Mapping[str, str]) -> None:
    sql = "SELECT max_by(stream, last_trade_id) AS stream, count_if(source = 'coinbase') AS n FROM schemahub_watermarks"
    done = schemahub(environment({}, place["SCHEMAHUB_WAREHOUSE"], **place), "query", sql, "--format", "json")
    assert int(json.loads(done.stdout)[0]["n"]) == 2, done.stderr


@pytest.mark.parametrize("profile", ["local", "rest"])
def test_other_profiles_have_no_athena(profile: str, tmp_path: Path) -> None:
    told = {"SCHEMAHUB_ATHENA_WORKGROUP": "schemahub-dev", "SCHEMAHUB_REST_URI": "http://127.0.0.1:9"}
    warehouse = str(tmp_path) if profile == "local" else "s3://bucket/lake"
    with pytest.raises(UsageError, match=f"is for profile 'glue'.*unset it for profile '{profile}'"):
        Settings.load(profile=profile, warehouse=warehouse, environment=told)
