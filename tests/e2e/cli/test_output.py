"""What commands tell: results on stdout and everything else on stderr, one clear sentence an error."""

from __future__ import annotations

import io
import json
import re
import shlex
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from schemahub_lib.cli import main_group
from schemahub_lib.exchanges import EXCHANGES
from schemahub_lib.simulator import Simulator
from schemahub_lib.tables.lake import Lake
from tests.e2e.cli.conftest import DEAD, INGEST, SINCE_TEXT, Cli
from tests.e2e.conftest import assert_one_error
from tests.e2e.pipelines import PRODUCTS, settings_for, tape
from tests.e2e.support import ROOT, environment


def leaves(group: click.Group = main_group, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    for name, command in group.commands.items():
        if isinstance(command, click.Group):
            yield from leaves(command, (*path, name))
        yield (*path, name)


def test_results_go_to_stdout_and_logs_to_stderr(on_filled: Cli) -> None:
    run = on_filled("run", "ingest", "kraken", "-v", "--json")
    assert run.code == 0
    assert [report["source"] for report in json.loads(run.out)] == ["kraken"]
    quiet = on_filled("run", "ingest", "kraken", "--quiet")
    assert quiet.err == ""
    assert "nothing new" in quiet.out


def test_one_exchange_configured_wrongly_does_not_stop_the_others(cli: Cli, market: Simulator, tmp_path: Path) -> None:
    run = cli(
        *("run", "ingest", "coinbase", "kraken", "--since", SINCE_TEXT, "--json"),
        **settings_for(market.urls),
        SCHEMAHUB_WAREHOUSE=str(tmp_path / "warehouse"),
        SCHEMAHUB_KRAKEN_KEY="a-key-without-its-secret",
    )
    assert run.code == 3
    coinbase, kraken = json.loads(run.out)
    assert (coinbase["status"], kraken["status"]) == ("ok", "failed")
    assert "set SCHEMAHUB_KRAKEN_SECRET" in kraken["errors"]["kraken"]
    recorded = cli("query", "SELECT source, status FROM schemahub_runs ORDER BY 1", "--json")
    assert [run["status"] for run in json.loads(recorded.out)] == ["ok", "failed"]


def test_update_seed_shows_the_difference_and_writes_only_when_told(
    cli: Cli, market: Simulator, tmp_path: Path
) -> None:
    command = ("update-seed", "--fetch", "--path", str(tmp_path / "seed.yaml"), "--filter-regex", "(BTC|ETH)-USD")
    shown = cli(*command, **settings_for(market.urls))
    assert shown.out.splitlines()[:2] == ["+ BTC-USD", "+ ETH-USD"]
    assert "2 new, 0 gone, 2 in all (nothing written; --write does it)" in shown.out
    assert "nothing written" in cli(*command, "--write", "--dry-run").out
    assert not (tmp_path / "seed.yaml").exists()
    assert "--write refuses to leave nothing in it" in cli(*command[:-1], "no-such").out
    assert "(written)" in cli(*command, "--write").out
    assert json.loads(cli(*command, "--json").out)["added"] == []


def test_json_logs_are_one_object_a_line(on_filled: Cli) -> None:
    run = on_filled(*INGEST, "--products", "BTC-USD,NO-SUCH", "--log-format", "json")
    assert run.code == 3
    entries = [json.loads(line) for line in run.err.splitlines()]
    assert {"warning", "error"} <= {entry["level"] for entry in entries}
    assert all({"time", "level", "logger", "message"} <= entry.keys() for entry in entries)
    (failed,) = (entry for entry in entries if entry.get("event") == "stream_failed")
    assert (failed["source"], failed["stream"]) == ("coinbase", "NO-SUCH")
    (finished,) = (entry for entry in entries if entry.get("event") == "run_finished")
    assert finished["run_id"] == failed["run_id"]
    assert (finished["job"], finished["source"], finished["status"]) == ("ingest", "coinbase", "partial")


def test_a_runs_last_line_is_what_cloudwatch_makes_metrics_of(on_filled: Cli) -> None:
    """By AWS's specification of the embedded metric format: each declared name is a member, dimensions are texts."""
    run = on_filled(*INGEST, "--products", "BTC-USD,NO-SUCH", "--log-format", "json")
    (line,) = (line for line in map(json.loads, run.err.splitlines()) if "_aws" in line)
    assert abs(line["_aws"]["Timestamp"] / 1000 - time.time()) < 600
    (declared,) = line["_aws"]["CloudWatchMetrics"]
    assert declared["Namespace"] == "SchemaHub"
    assert {name: line[name] for names in declared["Dimensions"] for name in names} == {
        "Database": "schemahub",
        "Job": "ingest",
        "Source": "coinbase",
    }
    assert {"Rows", "Requests", "Failures", "Seconds"} <= {metric["Name"] for metric in declared["Metrics"]}
    for metric in declared["Metrics"]:
        assert isinstance(line[metric["Name"]], int | float)
        assert metric["Unit"] in ("Count", "Seconds")
    assert line["Failures"] == 1


@pytest.mark.parametrize(
    ("command", "code", "told"),
    [
        (("status", "--no-such-option"), 2, "No such option"),
        (("query", "SELECT 1 FROM nowhere"), 2, "nowhere"),
        (("run", "load", "coinbase", "--from", "no-such-folder"), 2, "no-such-folder: there is no such folder or file"),
    ],
)
def test_a_failed_commands_last_line_is_an_error_to_machines(
    cli: Cli, tmp_path: Path, command: tuple[str, ...], code: int, told: str
) -> None:
    run = cli(*command, "--log-format", "json", SCHEMAHUB_WAREHOUSE=str(tmp_path / "warehouse"))
    assert (run.code, run.out) == (code, "")
    last = [json.loads(line) for line in run.err.splitlines()][-1]
    assert last["level"] == "error"
    assert told in last["message"]


@pytest.mark.parametrize(
    ("command", "job", "status"),
    [
        (("ingest", "BTC-USD"), "land", "nothing_new"),
        (("backfill", "--products", "BTC-USD", "--since", SINCE_TEXT), "land history", "ok"),
    ],
)
def test_landing_tells_machines_what_it_came_to_too(
    on_filled: Cli,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    command: tuple[str, ...],
    job: str,
    status: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    run = on_filled(*command, "--out", str(tmp_path / "landed"), "--log-format", "json")
    (line,) = (line for line in map(json.loads, run.err.splitlines()) if "_aws" in line)
    assert (line["Job"], line["status"]) == (job, status)
    assert (line["Rows"] > 0) == (status == "ok")


def test_status_of_an_empty_lake_creates_nothing(cli: Cli, tmp_path: Path) -> None:
    settings = {"SCHEMAHUB_WAREHOUSE": str(tmp_path / "warehouse")}
    assert "holds no tables yet: schemahub run pipeline" in cli("status", **settings).out
    assert json.loads(cli("status", "--json").out) == {"streams": [], "tables": [], "warnings": []}
    assert not (tmp_path / "warehouse").exists()


def test_status_tells_every_stream_and_table(on_filled: Cli, market: Simulator) -> None:
    found = json.loads(on_filled("status", "--json").out)
    on_tape = Counter(key[:2] for key in tape(market.urls))
    assert {(s["source"].upper(), s["product"]) for s in found["streams"]} == on_tape.keys()
    assert all(s["missing"] == 0 and s["lag_seconds"] > 0 and s["last_run"] for s in found["streams"])
    tables = {t["name"]: t["rows"] for t in found["tables"]}
    assert tables["trades_unified"] == on_tape.total()
    text = on_filled("status").out
    assert "BTC-USD" in text
    assert "raw_kraken_trades" in text


def test_query_prints_csv_json_and_parquet(on_filled: Cli, market: Simulator) -> None:
    sql = "SELECT exchange, count(*) AS trades FROM trades_unified GROUP BY 1 ORDER BY 1"
    expected = sorted(Counter(key[0] for key in tape(market.urls)).items())
    assert on_filled("query", sql, "--format", "csv").out.splitlines() == [
        '"exchange","trades"',
        *(f'"{name}",{count}' for name, count in expected),
    ]
    listed = [{"exchange": name, "trades": count} for name, count in expected]
    assert json.loads(on_filled("query", sql, "--format", "json").out) == listed
    assert json.loads(on_filled("--json", "query", sql).out) == listed
    assert "COINBASE" in on_filled("query", sql).out


def test_query_prints_parquet(filled: Lake) -> None:
    import pyarrow.parquet as pq

    run = subprocess.run(
        [sys.executable, "-m", "schemahub_lib", "query", "SELECT 7 AS seven", "--format", "parquet"],
        env=environment({}, filled.settings.warehouse),
        cwd=ROOT,
        capture_output=True,
        check=True,
    )
    assert pq.read_table(io.BytesIO(run.stdout)).to_pylist() == [{"seven": 7}]


@pytest.mark.parametrize(
    "sql",
    [
        "INSERT INTO trades_unified SELECT * FROM trades_unified",
        "DELETE FROM trades_unified",
        "DROP TABLE trades_unified",
        "SELECT 1; SELECT 2",
        "COPY (SELECT 1) TO '/tmp/stolen.csv'",
        "ATTACH '/tmp/other.db'",
        "SELECT * FROM read_csv('/etc/passwd')",
        "SELECT * FROM read_text('/etc/passwd')",
        "SELECT * FROM '/etc/passwd'",
        "SELECT content FROM glob('/etc/*')",
        "INSTALL httpfs",
        "SET enable_external_access = true",
        "SELEC 1",
        "",
    ],
)
def test_query_only_reads_and_only_tables(sql: str, on_filled: Cli) -> None:
    run = on_filled("query", sql)
    assert run.code == 2
    assert run.out == ""
    assert_one_error(run.err, "error: ")
    assert "root:" not in run.err


def test_a_mistyped_table_gets_a_hint(on_filled: Cli) -> None:
    assert "did you mean trades_unified?" in on_filled("query", "SELECT 1 FROM trade_unified").err


def test_doctor_finds_nothing_wrong_where_all_is_well(on_filled: Cli) -> None:
    run = on_filled("doctor", "--json")
    assert run.code == 0
    findings = json.loads(run.out)
    assert {f["what"] for f in findings} >= {"Python", "Java", "jars", "catalog", *PRODUCTS}
    assert not [f for f in findings if f["status"] == "fail"]


def test_doctor_names_the_exchange_that_is_down_and_still_checks_the_rest(
    on_filled: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("schemahub_lib.pipeline.doctor.ENDPOINT_DEADLINE", 0.5)
    run = on_filled("doctor", "--json", SCHEMAHUB_KRAKEN_URL=DEAD)
    assert run.code == 1
    failed = [f for f in json.loads(run.out) if f["status"] == "fail"]
    assert [f["what"] for f in failed] == ["kraken"]
    assert "SCHEMAHUB_KRAKEN_URL" in failed[0]["remedy"]


def test_mappings_validate_names_the_files_that_are_well(cli: Cli) -> None:
    run = cli("mappings", "validate")
    assert run.code == 0
    names = (*(f"{name}_trades{kind}" for name in sorted(EXCHANGES) for kind in ("", "_test")), "symbols")
    assert run.out.splitlines() == [f"ok  mappings/{name}.yaml" for name in names]


def test_mappings_test_fails_where_an_example_does(cli: Cli, tmp_path: Path, spark_jvm: None) -> None:
    mapping = (ROOT / "mappings" / "coinbase_trades.yaml").read_text()
    examples = (ROOT / "mappings" / "coinbase_trades_test.yaml").read_text()
    (tmp_path / "coinbase_trades.yaml").write_text(mapping)
    (tmp_path / "coinbase_trades_test.yaml").write_text(
        examples.replace("price: 46568.73\n      quantity", "price: 1\n      quantity")
    )
    run = cli("mappings", "test", "--mappings", str(tmp_path))
    assert run.code == 1
    assert f"FAILED {tmp_path}/coinbase_trades_test.yaml:11: the maker bought, so the taker sold" in run.out
    assert "price: expected 1.0, got 46568.73" in run.out
    assert run.out.count("\nok ") == 2


def test_mappings_show_draws_the_lineage(cli: Cli) -> None:
    run = cli("mappings", "show", "binance", "--mermaid")
    assert run.out.splitlines()[0] == "flowchart LR"
    label = '|"taker_from_is_buyer_maker"|'
    assert f'["raw_binance_trades.is_buyer_maker"] -->{label} side["trades_unified.side"]' in run.out


def test_mappings_show_tells_where_each_column_comes_from(cli: Cli) -> None:
    shown = json.loads(cli("mappings", "show", "kraken", "--json").out)
    origin = {column["target"]: column["origin"] for column in shown["columns"]}
    assert origin["quantity"] == "raw_kraken_trades.volume"
    assert "raw_kraken_trades" in shown["sql"]
    assert "taker_from_code" in cli("mappings", "show", "kraken").out


def test_every_command_answers_help(cli: Cli) -> None:
    for path in [(), *leaves()]:
        run = cli(*path, "--help")
        assert run.code == 0
        assert run.out.startswith(f"Usage: {' '.join(('schemahub', *path))}")


def readme_commands() -> list[str]:
    blocks = re.findall(r"```bash\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    return [line for block in blocks for line in block.splitlines() if line.startswith("schemahub ")]


@pytest.mark.parametrize("line", readme_commands())
def test_the_commands_of_the_readme_exist(line: str) -> None:
    command: click.Command = main_group
    arguments = shlex.split(line, comments=True)[1:]
    while isinstance(command, click.Group):
        found = command.get_command(click.Context(command), arguments.pop(0))
        assert found is not None, line
        command = found
    command.make_context(line, arguments)


def test_the_readme_shows_commands() -> None:
    assert len(readme_commands()) >= 8
