"""EMR's requests are such as AWS takes, and start the pipeline as Glue does."""

from __future__ import annotations

import json
import shlex
from pathlib import Path
from typing import Any

from schemahub_lib.job_params import read_job_params
from tests.aws_calls import refusal

ROOT = Path(__file__).resolve().parents[2]
EMR = ROOT / "infra" / "emr"
PIPELINE = read_job_params(ROOT / "glue_job_params.json")["pipeline"]
DEFAULTS: dict[str, str] = json.loads((ROOT / "glue_job_params.json").read_text())["defaults"]["arguments"]
STEP = json.loads((EMR / "step.json").read_text())[0]
SERVERLESS: dict[str, Any] = json.loads((EMR / "serverless.json").read_text())


def pairs(words: list[str]) -> list[tuple[str, str]]:
    return list(zip(words[::2], words[1::2], strict=True))


def assert_as_on_glue(submit: list[tuple[str, str]], script: str, arguments: list[tuple[str, str]]) -> None:
    assert script == f"s3://BUCKET-artifacts/{PIPELINE['script']}"
    conf = {value for option, value in submit if option == "--conf"}
    assert set(DEFAULTS["--conf"].split(" --conf ")) <= conf
    bucket = {name: value.replace("${bucket}", "BUCKET") for name, value in DEFAULTS.items()}
    assert ("--py-files", bucket["--extra-py-files"]) in submit
    for name in ("--profile", "--warehouse", "--log-format"):
        assert (name, bucket[name]) in arguments


def test_the_step_is_one_that_emr_takes_and_starts_the_pipeline_as_glue_does() -> None:
    assert refusal("emr", "AddJobFlowSteps", {"JobFlowId": "j-1", "Steps": [STEP]}) == ""
    command, *words = STEP["HadoopJarStep"]["Args"]
    script = next(place for place, word in enumerate(words) if word.endswith(".py"))
    assert command == "spark-submit"
    assert_as_on_glue(pairs(words[:script]), words[script], pairs(words[script + 1 :]))


def test_the_run_is_one_that_emr_serverless_takes_and_starts_the_pipeline_as_glue_does() -> None:
    request = SERVERLESS | {
        "applicationId": "a1",
        "executionRoleArn": "arn:aws:iam::123456789012:role/x",
        "clientToken": "t",
    }
    assert refusal("emr-serverless", "StartJobRun", request) == ""
    submit = SERVERLESS["jobDriver"]["sparkSubmit"]
    words = shlex.split(submit["sparkSubmitParameters"])
    assert_as_on_glue(pairs(words), submit["entryPoint"], pairs(submit["entryPointArguments"]))


def test_what_emr_does_not_take_is_told() -> None:
    assert 'Missing required parameter in Steps[0].HadoopJarStep: "Jar"' in refusal(
        "emr", "AddJobFlowSteps", {"JobFlowId": "j-1", "Steps": [{"Name": "x", "HadoopJarStep": {}}]}
    )


def test_the_releases_are_one_and_the_same() -> None:
    releases = {
        word.partition("emr-7.")[2].split(":")[0].split(" ")[0]
        for file in ("README.md", "Dockerfile")
        for word in (EMR / file).read_text().split()
        if "emr-7." in word
    }
    assert releases == {"12.0"}
