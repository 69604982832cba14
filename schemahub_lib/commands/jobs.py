"""`schemahub jobs …`: the jobs that glue_job_params.json tells AWS of."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

import click

from schemahub_lib.commands.base import Globals, command, main_group
from schemahub_lib.errors import UsageError

PARAMETERS = "glue_job_params.json"


@main_group.group("jobs")
def jobs_group() -> None:
    """The jobs that run on AWS Glue, as glue_job_params.json has them."""


@command(jobs_group, "list")
def jobs_list_command(options: Globals) -> None:
    """Each job's script, schedule and machines, with the arguments of its own."""
    from schemahub_lib import render

    parameters = _parameters()
    jobs = {name: parameters["defaults"] | job for name, job in parameters["jobs"].items()}
    if options.json:
        render.show_json(jobs)
        return
    rows = [
        (
            name,
            job["description"],
            job["schedule"],
            f"{job['number_of_workers']} x {job['worker_type']}",
            f"{job['timeout_minutes']} min",
            " ".join(part for pair in parameters["jobs"][name]["arguments"].items() for part in pair),
        )
        for name, job in jobs.items()
    ]
    render.show_table("", ("job", "does", "schedule", "workers", "timeout", "arguments"), rows)


@command(jobs_group, "run", context_settings={"ignore_unknown_options": True})
@click.argument("name")
@click.option("--local", is_flag=True, help="On this machine: its script and its own arguments, but not Glue's.")
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
def jobs_run_command(options: Globals, name: str, local: bool, arguments: tuple[str, ...]) -> None:
    """Run a job as Glue would, by its script and with its arguments; ARGUMENTS (--key value) come after them."""
    jobs = _parameters()["jobs"]
    if name not in jobs:
        raise UsageError(f"there is no job {name!r} in {PARAMETERS}: choose one of {', '.join(jobs)}")
    if not local:
        raise UsageError(
            f"say where: `schemahub jobs run {name} --local` runs it here; on AWS it is started by its schedule, or by "
            "`aws glue start-job-run --job-name NAME`"
        )
    script, own = Path(jobs[name]["script"]), [part for pair in jobs[name]["arguments"].items() for part in pair]
    if not script.is_file():
        raise UsageError(f"{script} is not here: run this at the top of a checkout")
    given = {key: value for key, value in vars(options).items() if value}
    chosen = [f"--{key.replace('_', '-')}={'true' if value is True else value}" for key, value in given.items()]
    # In the place of this process, so that a Ctrl-C reaches the job alone.
    os.execv(sys.executable, [sys.executable, str(script), "--JOB_NAME", name, *chosen, *own, *arguments])


def _parameters() -> dict[str, Any]:
    try:
        found: dict[str, Any] = json.loads(Path(PARAMETERS).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UsageError(f"there is no {PARAMETERS} here: run this at the top of a checkout") from None
    except ValueError as error:
        raise UsageError(f"{PARAMETERS} is no JSON: {error}") from None
    return found
