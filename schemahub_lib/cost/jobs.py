"""The jobs of glue_job_params.json, as far as they are billed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from schemahub_lib.errors import UsageError
from schemahub_lib.job_params import job_params_file, read_job_params

NEEDED = ("pipeline", "maintain", "backfill", "unify")
DPUS = {"G.1X": 1, "G.2X": 2, "G.4X": 4, "G.8X": 8, "G.12X": 12, "G.16X": 16}  # of a worker


@dataclass(frozen=True)
class Job:
    """`runs_a_day` are those of the job's own schedule, None without one."""

    workers: int
    worker_type: str
    timeout_seconds: float
    products_at_a_time: int
    runs_a_day: float | None

    @property
    def dpus(self) -> int:
        return DPUS[self.worker_type]


def read_jobs(path: str | None = None) -> dict[str, Job]:
    """The jobs by name, as `job_params_file` finds them. Raises UsageError."""
    place = job_params_file(path)
    try:
        jobs = {name: _job(job) for name, job in read_job_params(place).items()}
    except (KeyError, TypeError, ValueError) as error:
        raise UsageError(f"{place} has a job that cannot be understood: {error!r}") from error
    if missing := [name for name in NEEDED if name not in jobs]:
        raise UsageError(f"{place} has no job {missing[0]!r}, which is priced")
    return jobs


def runs_a_day(schedule: str) -> float:
    """How often a schedule of AWS's, `cron(…)` over minutes and hours, starts something. Raises UsageError."""
    minutes, hours, *days = schedule.removeprefix("cron(").removesuffix(")").split(" ")
    if not schedule.startswith("cron(") or set(days) - {"*", "?"} or "-" in minutes + hours:
        raise UsageError(f"the schedule {schedule!r} is not cron(…) of every day, without ranges: say --every")
    return _times(minutes, 60) * _times(hours, 24)


def _times(field: str, limit: int) -> int:
    first, _, step = field.partition("/")
    if step:
        return len(range(0 if first == "*" else int(first), limit, int(step)))
    return limit if field == "*" else len(field.split(","))


def _job(job: Mapping[str, Any]) -> Job:
    if job["worker_type"] not in DPUS:
        raise UsageError(f"worker type {job['worker_type']!r} is unknown: one of {', '.join(DPUS)}")
    return Job(
        job["number_of_workers"],
        job["worker_type"],
        job["timeout_minutes"] * 60,
        int(job["arguments"].get("--workers", 4)),
        runs_a_day(job["schedule"]) if job["schedule"] else None,
    )
