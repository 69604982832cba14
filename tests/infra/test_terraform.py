"""infra/ hangs together: what `terraform validate` would say, and what it cannot know."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import Any

import pytest

from schemahub_lib.cli import main
from tests.infra.checks import problems
from tests.infra.configuration import ROOT, Configuration, strings, variable_values
from tests.infra.provider_schema import SCHEMA

INFRA = ROOT / "infra"
PARAMS: dict[str, Any] = json.loads((ROOT / "glue_job_params.json").read_text())


PROVIDER: dict[str, Any] = json.loads(SCHEMA.read_text())


@pytest.fixture(scope="module")
def schema() -> dict[str, Any]:
    return PROVIDER["types"]


@pytest.fixture(scope="module")
def configuration() -> Configuration:
    return Configuration.read(INFRA)


def test_every_type_argument_and_reference_exists_and_everything_is_documented(
    configuration: Configuration, schema: dict[str, Any]
) -> None:
    assert problems(configuration, schema) == []


BROKEN = {
    "an unknown type": ("modules/jobs/main.tf", '"aws_glue_job"', '"aws_glue_jobs"', "aws_glue_jobs is not in"),
    "an unknown argument": ("modules/jobs/main.tf", "worker_type  ", "worker_kind  ", "has no argument worker_kind"),
    "an unknown nested argument": (
        "modules/jobs/main.tf",
        "python_version",
        "python",
        "command has no argument python",
    ),
    "an unknown block": ("modules/jobs/main.tf", "  command {", "  commands {", "has no block commands"),
    "an unknown argument in a dynamic block": (
        "modules/storage/main.tf",
        "days          =",
        "months =",
        "transition has no argument months",
    ),
    "a missing argument": (
        "modules/jobs/main.tf",
        "  role_arn          = var.role_arns[each.key]\n",
        "",
        "lacks role_arn",
    ),
    "a block written as an argument": ("modules/iam/main.tf", "condition {", "condition = {", "condition is a block"),
    "a dangling variable": ("modules/jobs/main.tf", "var.settings", "var.setting", "var.setting: no such variable"),
    "a dangling local": ("main.tf", "local.sources", "local.source", "local.source: no such local"),
    "a dangling resource": (
        "modules/jobs/main.tf",
        "aws_s3_object.script[",
        "aws_s3_object.scripts[",
        "aws_s3_object.scripts.key: no such resource",
    ),
    "a dangling data source": (
        "modules/storage/key.tf",
        "data.aws_region.current",
        "data.aws_region.here",
        "data.aws_region.here.region: no such resource",
    ),
    "an unknown attribute": (
        "modules/storage/outputs.tf",
        "aws_kms_key.this.arn",
        "aws_kms_key.this.urn",
        "aws_kms_key has no attribute urn",
    ),
    "a dangling module": ("outputs.tf", "module.alarms", "module.alarm", "module.alarm.topic_arn: no such module"),
    "a dangling output": ("outputs.tf", "topic_arn\n}", "topic\n}", "module.alarms.topic: no such output"),
    "each where nothing repeats": ("modules/alarms/budget.tf", "var.name\n", "each.key\n", "its block has no for_each"),
    "a name nobody bound": ("main.tf", "if job.schedule", "if jobs.schedule", "jobs.schedule: no such resource"),
    "an input the module has not": ("main.tf", "  destroyable = var", "  erasable = var", "has no variable erasable"),
    "a forgotten input": ("main.tf", "  bucket      = local.bucket\n", "", "module storage is not given bucket"),
    "an unknown function": ("main.tf", "startswith(", "beginswith(", "beginswith(): no such function"),
    "a resource twice": (
        "modules/network/main.tf",
        '"aws_route" "out"',
        '"aws_vpc" "this"',
        "aws_vpc this is there twice",
    ),
    "an undocumented variable": (
        "modules/network/variables.tf",
        '  description = "Prefix of names."\n',
        "",
        "variable name has no description",
    ),
    "an undocumented output": (
        "modules/alarms/outputs.tf",
        '  description = "The topic that every alarm is sent to."\n',
        "",
        "output topic_arn has no description",
    ),
    "an unused variable": ("modules/network/main.tf", "var.name", '"x"', "variable name is never read"),
    "an unused local": ("modules/jobs/main.tf", "local.log_groups", "{}", "local log_groups is never read"),
}


@pytest.mark.parametrize(("file", "right", "wrong", "problem"), BROKEN.values(), ids=BROKEN)
def test_a_broken_copy_is_found_out(
    tmp_path: Path, schema: dict[str, Any], file: str, right: str, wrong: str, problem: str
) -> None:
    copy = shutil.copytree(INFRA, tmp_path / "infra")
    text = (copy / file).read_text()
    assert right in text
    (copy / file).write_text(text.replace(right, wrong))
    assert problem in "\n".join(problems(Configuration.read(copy), schema))


def test_the_schema_is_that_of_the_oldest_provider_that_infra_allows() -> None:
    constraint = re.search(r'hashicorp/aws"\s+version = "~> (.+)"', (INFRA / "versions.tf").read_text())
    assert constraint is not None
    assert PROVIDER["version"] == f"{constraint[1]}.0"


@pytest.mark.parametrize("environment", ["dev", "staging", "prod"])
def test_an_environment_sets_variables_that_exist_and_all_that_have_no_default(
    configuration: Configuration, environment: str
) -> None:
    variables = configuration.root.of("variable")
    required = {name for name, block in variables.items() if "default" not in block.attributes}
    values = variable_values(INFRA / "environments" / f"{environment}.tfvars")
    assert required <= values <= set(variables)


def test_what_terraform_reads_of_a_job_is_in_the_parameter_file(configuration: Configuration) -> None:
    type_ = configuration.children["jobs"].of("variable")["jobs"].attributes["type"]
    read = {str(token) for key in type_.find_data("object_elem_key") for token in key.scan_values(lambda _: True)}
    assert {"script", "arguments", "glue_version"} <= read
    for job in PARAMS["jobs"].values():
        assert read <= set(PARAMS["defaults"] | job)


def test_the_parameter_file_leaves_only_the_bucket_to_terraform() -> None:
    assert set(re.findall(r"\$\{(.*?)\}", json.dumps(PARAMS))) == {"bucket"}


# Calls for which AWS knows no resource.
FOR_ANY_RESOURCE = {"cloudwatch:PutMetricData", "ecr:GetAuthorizationToken"}


def test_a_role_may_do_named_things_to_named_resources(configuration: Configuration) -> None:
    granted = 0
    for document in configuration.resources():
        for statement in document.nested():
            # What names principals is a resource's own policy, in which the resource is known.
            if "actions" in statement.attributes and not any(block.kind == "principals" for block in statement.blocks):
                granted += 1
                actions = set(strings(statement.attributes["actions"]))
                assert not {action for action in actions if "*" in action}, statement.where
                assert actions <= FOR_ANY_RESOURCE or "*" not in strings(statement.attributes["resources"])
    assert granted > 10


def test_the_tasks_command_is_one_that_the_command_line_has() -> None:
    (command,) = re.findall(r"command +(= \[.*\])", (INFRA / "modules/ecs/main.tf").read_text())
    assert main([*json.loads(command.removeprefix("= ")), "--help"]) == 0


def test_every_check_that_is_skipped_has_a_written_reason() -> None:
    skips = [
        line.strip()
        for file in [*INFRA.rglob("*.tf"), INFRA / "docker" / "Dockerfile"]
        for line in file.read_text().splitlines()
        if "checkov:skip" in line
    ]
    assert skips
    assert [line for line in skips if not re.fullmatch(r"# checkov:skip=CKV2?_[A-Z]+_\d+:\w.{20,}", line)] == []


def test_what_terraform_puts_into_the_bucket_is_what_make_makes() -> None:
    uploaded = re.findall(
        r'^  (?:package|wheels) += "(.+)"', (INFRA / "modules/jobs/main.tf").read_text(), re.MULTILINE
    )
    assert uploaded == [
        "dist/schemahub_lib.zip",
        "dist/schemahub.gluewheels.zip",
    ]  # Glue knows a zip of wheels by its end
    made = (ROOT / "Makefile").read_text()
    for file in uploaded:
        assert re.search(rf"^\t.*{re.escape(file)}( |$)", made, re.MULTILINE)
