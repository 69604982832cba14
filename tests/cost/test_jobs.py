"""The jobs' own parameters are what is priced."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from schemahub_lib.cost.jobs import read_jobs, runs_a_day
from schemahub_lib.errors import UsageError

FILE = Path(__file__).resolve().parents[2] / "glue_job_params.json"


def test_the_jobs_of_this_checkout_are_read() -> None:
    jobs = read_jobs()
    pipeline = jobs["pipeline"]
    assert (pipeline.workers, pipeline.dpus, pipeline.runs_a_day) == (2, 1, 48)
    assert (jobs["maintain"].runs_a_day, jobs["backfill"].timeout_seconds) == (1, 172_800)


@pytest.mark.parametrize(
    ("schedule", "times"),
    [
        ("cron(0/30 * * * ? *)", 48),
        ("cron(15 3 * * ? *)", 1),
        ("cron(0/45 * * * ? *)", 48),  # at 0 and 45 of every hour
        ("cron(0,20,40 0/6 * * ? *)", 12),
        ("cron(* * * * ? *)", 1440),
    ],
)
def test_a_schedule_starts_so_often_a_day(schedule: str, times: float) -> None:
    assert runs_a_day(schedule) == times


@pytest.mark.parametrize(
    "schedule", ["rate(45 minutes)", "cron(0 12 ? * MON-FRI *)", "cron(0 9-17 * * ? *)", "cron(0-59 * * * ? *)"]
)
def test_a_schedule_of_another_kind_is_refused(schedule: str) -> None:
    with pytest.raises(UsageError, match="--every"):
        runs_a_day(schedule)


def changed(folder: Path, **job: object) -> str:
    document = json.loads(FILE.read_text())
    document["jobs"]["pipeline"] |= job
    place = folder / "jobs.json"
    place.write_text(json.dumps(document))
    return str(place)


def test_a_jobs_own_parameters_go_before_the_defaults(tmp_path: Path) -> None:
    jobs = read_jobs(changed(tmp_path, number_of_workers=5, worker_type="G.2X"))
    assert (jobs["pipeline"].workers, jobs["pipeline"].dpus, jobs["unify"].workers) == (5, 2, 2)


def test_files_that_are_not_of_jobs_are_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"X\.9X"):
        read_jobs(changed(tmp_path, worker_type="X.9X"))
    with pytest.raises(UsageError, match=r"none\.json cannot be read: .*top of a checkout"):
        read_jobs(str(tmp_path / "none.json"))
    (tmp_path / "none.json").write_text('{"defaults": {}, "jobs": {}}')
    with pytest.raises(UsageError, match=r"none\.json has no job 'pipeline'"):
        read_jobs(str(tmp_path / "none.json"))
    (tmp_path / "other.json").write_text("{}")
    with pytest.raises(UsageError, match=r"other\.json is not a file of Glue jobs"):
        read_jobs(str(tmp_path / "other.json"))
