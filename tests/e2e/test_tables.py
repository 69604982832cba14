"""`schemahub tables …` and `query --ref` as people type them."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.e2e.conftest import Outcome, assert_one_error
from tests.e2e.pipelines import lake_at
from tests.pipeline.trades import RAW, head, ingest

Cli = Callable[..., Outcome]


@pytest.fixture
def published(cli: Cli, tmp_path: Path) -> tuple[Cli, list[int]]:
    """Two publishes into Coinbase's raw table, and their snapshots; the command line is pointed at it."""
    lake = lake_at(tmp_path / "warehouse", {})
    snapshots = [ingest(lake, "one", 1, 5), ingest(lake, "two", 6, 8)]
    cli("status", SCHEMAHUB_WAREHOUSE=str(tmp_path / "warehouse"))
    return cli, snapshots


def now(tmp_path: Path) -> int:
    return head(lake_at(tmp_path / "warehouse", {}))


def test_history_lists_publishes_newest_first(published: tuple[Cli, list[int]]) -> None:
    cli, (first, second) = published
    run = cli("tables", "history", RAW.name)
    assert run.code == 0
    lines = [line for line in run.out.splitlines() if "append" in line]
    assert [str(second) in lines[0], "head" in lines[0], str(first) in lines[1], len(lines)] == [True, True, True, 3]
    short = cli("tables", "history", RAW.name, "--limit", "1")
    assert short.out.count("append") == 1
    assert "2 older ones: --limit 3" in short.out
    listed = json.loads(cli("tables", "history", RAW.name, "--json").out)
    assert [publish["snapshot_id"] for publish in listed[:2]] == [second, first]
    assert listed[0]["run_id"] == "two"


def test_a_dry_run_shows_what_a_rollback_means_and_changes_nothing(
    published: tuple[Cli, list[int]], tmp_path: Path
) -> None:
    cli, (first, second) = published
    run = cli("tables", "rollback", RAW.name, "--to", str(first), "--dry-run")
    assert run.code == 0
    for told in (f"from snapshot {second}", f"to   snapshot {first}", "1 publish with 3 rows vanish from", "6 to 8"):
        assert told in run.out
    assert now(tmp_path) == second


def test_nobody_to_ask_is_told_and_nothing_is_changed(published: tuple[Cli, list[int]], tmp_path: Path) -> None:
    cli, (first, second) = published
    run = cli("tables", "rollback", RAW.name, "--to", str(first))
    assert run.code == 2
    assert "1 publish with 3 rows vanish" in run.out
    assert_one_error(run.err, "nothing was changed: nobody can be asked here; give --yes to do it")
    assert now(tmp_path) == second


def test_yes_rolls_back_and_json_tells_what_was_planned(published: tuple[Cli, list[int]], tmp_path: Path) -> None:
    cli, (first, _) = published
    run = cli("tables", "rollback", RAW.name, "--to", str(first), "--yes", "--json")
    assert run.code == 0
    plan = json.loads(run.out)
    assert (plan["after"]["snapshot_id"], plan["vanish_rows"], plan["streams"][0]["product"]) == (first, 3, "BTC-USD")
    assert f"{RAW.name} is at snapshot {first} again" in run.err
    assert now(tmp_path) == first


@pytest.mark.parametrize(("answer", "code", "rolled_back"), [("y\n", 0, True), ("n\n", 130, False), ("", 130, False)])
def test_on_a_terminal_people_are_asked(
    answer: str,
    code: int,
    rolled_back: bool,
    published: tuple[Cli, list[int]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    import io

    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    cli, (first, second) = published
    monkeypatch.setattr("sys.stdin", Terminal(answer))
    run = cli("tables", "rollback", RAW.name, "--to", str(first))
    assert (run.code, now(tmp_path)) == (code, first if rolled_back else second)
    assert f"Roll {RAW.name} back? [y/N]" in run.err


def test_a_partition_plan_is_shown(published: tuple[Cli, list[int]]) -> None:
    cli, _ = published
    run = cli("tables", "plan-partitions", RAW.name)
    assert run.code == 0
    assert "measured: 8 rows in 2 files" in run.out
    assert "recommended: days(time), the present layout" in run.out
    assert json.loads(cli("tables", "plan-partitions", RAW.name, "--json").out)["statements"] == []


def test_a_branch_is_queried(published: tuple[Cli, list[int]], tmp_path: Path) -> None:
    cli, (first, _) = published
    table = lake_at(tmp_path / "warehouse", {}).find(RAW.name)
    assert table is not None
    table.manage_snapshots().create_branch(first, "blocked_1").commit()
    sql = f"SELECT count(*) AS n FROM {RAW.name}"
    assert json.loads(cli("query", sql, "--ref", "blocked_1", "--json").out) == [{"n": 5}]
    refused = cli("query", sql, "--ref", "blocked_1", "--as-of", "2024-02-08")
    assert refused.code == 2
    assert_one_error(refused.err, "--as-of and --ref each say which state of the tables to read")
