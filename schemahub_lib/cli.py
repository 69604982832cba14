"""The command line: parse, call one pipeline verb, print. Heavy libraries load inside the commands that need them."""

from __future__ import annotations

import logging
import os
import signal
import sys
import traceback
from collections.abc import Sequence
from itertools import pairwise
from typing import NoReturn

import click

from schemahub_lib.aws import refusal
from schemahub_lib.commands import (  # noqa: F401 - each adds its commands to the group
    drift,
    estimate,
    events,
    jobs,
    landing,
    look,
    mappings,
    report,
    run,
    tables,
    ui,
)
from schemahub_lib.commands.base import FAULT_EXIT, main_group
from schemahub_lib.errors import Interrupted, SchemaHubError, UsageError, sentence
from schemahub_lib.logs import set_up_logging

log = logging.getLogger(__name__)


def main(argv: list[str] | None = None) -> int:
    """Run the command line; returns the exit code. A SIGTERM ends it as Ctrl-C does."""
    words = sys.argv[1:] if argv is None else argv
    verbose = "-v" in words or "--verbose" in words
    in_json = logs_in_json(words)
    if in_json:
        set_up_logging("json")  # for a command line that is refused before its command does so
    if region := os.environ.get("AWS_REGION"):
        os.environ.setdefault("AWS_DEFAULT_REGION", region)  # the only name boto3 reads
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        # click returns the code of an Exit; commands return nothing
        code: int | None = main_group.main(argv, prog_name="schemahub", standalone_mode=False)
    except click.ClickException as error:
        log.error("%s", error.format_message()) if in_json else error.show()
        return UsageError.exit_code
    except (KeyboardInterrupt, click.Abort):
        log.error("stopped") if in_json else click.echo("stopped", err=True)
        return Interrupted.exit_code
    except Exception as error:  # noqa: BLE001 - a bug or a broken machine: people get a sentence first
        ours = isinstance(error, SchemaHubError)
        refused = None if ours else refusal(error)
        foreseen = ours or refused is not None
        _tell(refused or sentence(error), in_json=in_json, trace=verbose or (in_json and not foreseen))
        if not (foreseen or verbose or in_json):
            click.echo("Run it again with -v for the traceback.", err=True)
        return error.exit_code if isinstance(error, SchemaHubError) else FAULT_EXIT
    finally:
        signal.signal(signal.SIGTERM, before)
    return code or 0


def logs_in_json(words: Sequence[str]) -> bool:
    """Whether a command line asks for it: known before the command line is understood."""
    return "--log-format=json" in words or ("--log-format", "json") in pairwise(words)


def _tell(message: str, *, in_json: bool, trace: bool) -> None:
    """The last words of a command that failed, with the error's traceback or without."""
    if in_json:
        log.error("%s", message, exc_info=trace)
        return
    if trace:
        traceback.print_exc()
    click.echo(f"error: {message}", err=True)


def run_and_exit() -> NoReturn:
    """`main` for a process of its own. After Ctrl-C it ends at once: everything that counts is written by then, and
    Python would wait for threads that wait for an exchange."""
    code = main()
    if code == Interrupted.exit_code:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
    sys.exit(code)


if __name__ == "__main__":
    run_and_exit()
