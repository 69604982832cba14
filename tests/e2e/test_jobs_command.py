"""`schemahub jobs`: what glue_job_params.json says, and a job run on this machine by its own script."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from schemahub_lib.job_params import FILE
from schemahub_lib.simulator import Simulator
from tests.e2e.conftest import Outcome, assert_one_error
from tests.e2e.pipelines import NOW, SINCE
from tests.e2e.support import ROOT, environment, schemahub

Cli = Callable[..., Outcome]
PARAMETERS = json.loads((ROOT / FILE).read_text())


def test_every_job_is_listed_with_what_holds_for_all(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    listed = json.loads(cli("jobs", "list", "--json").out)
    assert listed.keys() == PARAMETERS["jobs"].keys()
    assert (listed["backfill"]["timeout_minutes"], listed["backfill"]["glue_version"]) == (2880, "5.1")
    shown = cli("jobs", "list").out
    assert all(f"│ {name} " in shown for name in PARAMETERS["jobs"])
    assert "cron(0/30 * * * ? *)" in shown


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("pipelin", "--local"), "there is no job 'pipelin' in glue_job_params.json: choose one of pipeline"),
        (("pipeline",), "schemahub jobs run pipeline --local"),
    ],
)
def test_what_cannot_run_is_refused(
    cli: Cli, monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...], told: str
) -> None:
    monkeypatch.chdir(ROOT)
    run = cli("jobs", "run", *arguments)
    assert run.code == 2
    assert_one_error(run.err, told)


def test_a_file_that_is_none_is_refused(cli: Cli, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / FILE).write_text("{")
    for command in (("list",), ("run", "pipeline", "--local")):
        run = cli("jobs", *command)
        assert run.code == 2
        assert_one_error(run.err, f"{FILE} is not a file of Glue jobs that can be understood")


def test_a_job_without_its_script_is_refused(cli: Cli, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / FILE).write_text(json.dumps(PARAMETERS))
    assert_one_error(cli("jobs", "run", "unify", "--local").err, "jobs/unify.py, the script of this job, is not there")


@pytest.mark.slow
def test_a_job_runs_here_by_its_script_and_with_its_own_arguments(tmp_path: Path) -> None:
    with Simulator(seed=2, now=NOW, speed=0, trade_rate=0.1, rate_limits=False) as simulator:
        env = environment(simulator.urls, tmp_path)
        since = ("--since", f"{SINCE:%Y-%m-%dT%H:%MZ}")
        ran = schemahub(env, "jobs", "run", "ingest_coinbase", "--local", "--products", "BTC-USD", *since, "--json")
        assert ran.returncode == 0, ran.stderr
        (report,) = json.loads(ran.stdout)
        assert (report["source"], report["status"]) == ("coinbase", "ok")
        refused = schemahub(env, "jobs", "run", "backfill", "--local", "--products", "BTC-USD", "--s3-bucket", "x")
        assert refused.returncode == 2
        assert "--to raw" in refused.stderr  # its own argument, which does not go with a bucket
