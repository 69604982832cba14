"""Jobs as AWS Glue and EMR start them: `--JOB_NAME x --key value …` turned into one command line call."""

from __future__ import annotations

import logging
import os
from collections.abc import Sequence

from schemahub_lib.cli import logs_in_json, main
from schemahub_lib.commands.base import PARTIAL_EXIT
from schemahub_lib.errors import UsageError
from schemahub_lib.logs import set_up_logging

log = logging.getLogger(__name__)

# Arguments Glue itself adds to a script's command line; none of them is ours.
GLUE_ARGUMENTS = frozenset(
    (
        "JOB_NAME JOB_ID JOB_RUN_ID TempDir SECURITY_CONFIGURATION job-bookmark-option job-bookmark-from "
        "job-bookmark-to job-language encryption-type enable-metrics enable-continuous-cloudwatch-log "
        "enable-spark-ui spark-event-logs-path enable-glue-datacatalog enable-auto-scaling datalake-formats conf "
        "extra-py-files additional-python-modules python-modules-installer-option extra-jars extra-files "
        "scriptLocation executor-cores RedshiftTempDir enable-job-insights enable-observability-metrics "
        "custom-logGroup-prefix custom-logStream-prefix"
    ).split()
)
VARIABLES = ("SCHEMAHUB_", "OPENLINEAGE_")
_FLAGS = frozenset(
    (
        "no-payload dry-run quiet json verbose fail-on-partial resume checkpoint-s3 gaps distributed skip-checkpoint "
        "full-refresh books"
    ).split()
)


def run_job(command: Sequence[str], argv: Sequence[str]) -> int:
    """Run a command line command with a job's arguments; returns the exit status.

    `--SCHEMAHUB_DATABASE x` sets that variable, and `--OPENLINEAGE_URL x` that, as Glue lets nobody set a job's
    environment.
    A partial run counts as success, so that one delisted product does not stop the schedule, unless
    `--fail-on-partial` says otherwise. What failed is in the log and in `schemahub_runs`.
    """
    try:
        arguments, variables, fail_on_partial = _translate(argv)
    except UsageError as error:
        set_up_logging("json" if logs_in_json(argv) else "text")
        log.error("%s", error)
        return error.exit_code
    os.environ.update(variables)
    code = main([*command, *arguments])
    if code == PARTIAL_EXIT and not fail_on_partial:
        log.warning("partial: some products failed, the rest landed; see above and schemahub_runs")
        return 0
    return code


def _translate(argv: Sequence[str]) -> tuple[list[str], dict[str, str], bool]:
    """Glue's `--key value` pairs as command line options: Glue's own left out, `--flag true` made a bare flag. Beside
    them the variables to set, and whether partial runs fail."""
    arguments: list[str] = []
    variables: dict[str, str] = {}
    fail_on_partial = False
    words = list(argv)
    while words:
        word = words.pop(0)
        if not word.startswith("--"):
            raise UsageError(f"job arguments come as --key value pairs; {word!r} stands alone")
        key, _, inline = word[2:].partition("=")
        has_value = bool(inline) or bool(words and not words[0].startswith("--"))
        value = inline or (words.pop(0) if has_value else "")
        if key in GLUE_ARGUMENTS:
            continue
        name = key.replace("_", "-")
        if name in _FLAGS:
            if value not in ("", "true", "false"):
                raise UsageError(f"--{key} is a switch: give it true or false, not {value!r}")
            switched_on = value != "false"
            if name == "fail-on-partial":
                fail_on_partial = switched_on
            elif switched_on:
                arguments.append(f"--{name}")
        elif not has_value:
            raise UsageError(f"--{key} needs a value")
        elif key.startswith(VARIABLES):
            variables[key] = value
        else:
            arguments += [f"--{name}", value]
    return arguments, variables, fail_on_partial
