"""The jobs of glue_job_params.json, as far as they are billed."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from schemahub_lib.errors import UsageError, words

FILE = "glue_job_params.json"
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
    """The jobs by name, of `path`, else of the file in this folder, else of the checkout the library is in.

    Raises UsageError when there is no such file, or when it is not to be understood.
    """
    places = (Path(path),) if path else (Path(FILE), Path(__file__).resolve().parents[2] / FILE)
    place = next((place for place in places if place.is_file()), places[0])
    try:
        document = json.loads(place.read_text(encoding="utf-8"))
        jobs = {name: _job(document["defaults"], job) for name, job in document["jobs"].items()}
    except OSError as error:
        raise UsageError(f"{place} cannot be read: {words(error)}; name the jobs' file with --params") from error
    except (ValueError, KeyError, TypeError) as error:
        raise UsageError(f"{place} is not a file of Glue jobs that can be understood: {error!r}") from error
    if missing := [name for name in NEEDED if name not in jobs]:
        raise UsageError(f"{place} has no job {missing[0]!r}, which is priced")
    return jobs


def runs_a_day(schedule: str) -> float:
    """How often a schedule of AWS's, `cron(…)` over minutes and hours, starts something. Raises UsageError."""
    minutes, hours, *days = schedule.removeprefix("cron(").removesuffix(")").split(" ")
    if not schedule.startswith("cron(") or set(days) - {"*", "?"}:
        raise UsageError(f"the schedule {schedule!r} is not cron(…) of every day: say how often with --every")
    return _times(minutes, 60) * _times(hours, 24)


def _times(field: str, limit: int) -> int:
    first, _, step = field.partition("/")
    if step:
        return len(range(0 if first == "*" else int(first), limit, int(step)))
    return limit if field == "*" else len(field.split(","))


def _job(defaults: dict[str, Any], own: dict[str, Any]) -> Job:
    job = defaults | own
    if job["worker_type"] not in DPUS:
        raise UsageError(f"worker type {job['worker_type']!r} is unknown: one of {', '.join(DPUS)}")
    return Job(
        job["number_of_workers"],
        job["worker_type"],
        job["timeout_minutes"] * 60,
        int(own["arguments"].get("--workers", 4)),
        runs_a_day(job["schedule"]) if job["schedule"] else None,
    )
