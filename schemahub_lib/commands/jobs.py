"""`schemahub jobs …`: the jobs that glue_job_params.json tells AWS of."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from typing import Any

import click

from schemahub_lib.commands.base import Globals, command, main_group
from schemahub_lib.errors import UsageError
from schemahub_lib.job_params import job_params_file, read_job_params


@main_group.group("jobs")
def jobs_group() -> None:
    """The jobs that run on AWS Glue, as glue_job_params.json has them."""


@command(jobs_group, "list")
def jobs_list_command(options: Globals) -> None:
    """Each job's script, schedule and machines, with the arguments of its own."""
    from schemahub_lib import render

    jobs = read_job_params(job_params_file())
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
            " ".join(_own(job)),
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
    file = job_params_file()
    jobs = read_job_params(file)
    if name not in jobs:
        raise UsageError(f"there is no job {name!r} in {file.name}: choose one of {', '.join(jobs)}")
    if not local:
        raise UsageError(
            f"say where: `schemahub jobs run {name} --local` runs it here; on AWS it is started by its schedule, or by "
            "`aws glue start-job-run --job-name NAME`"
        )
    script = file.parent / jobs[name]["script"]
    if not script.is_file():
        raise UsageError(f"{script}, the script of this job, is not there")
    given = {key: value for key, value in vars(options).items() if value}
    chosen = [f"--{key.replace('_', '-')}={'true' if value is True else value}" for key, value in given.items()]
    # In the place of this process, so that a Ctrl-C reaches the job alone.
    os.execv(sys.executable, [sys.executable, str(script), "--JOB_NAME", name, *chosen, *_own(jobs[name]), *arguments])


def _own(job: Mapping[str, Any]) -> list[str]:
    return [part for argument in job["arguments"].items() for part in argument]
