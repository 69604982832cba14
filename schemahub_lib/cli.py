"""The command line: parse, call one pipeline verb, print. Heavy libraries load inside the commands that need them."""

from __future__ import annotations

import os
import signal
import sys
import traceback
from typing import NoReturn

import click

from schemahub_lib.commands import (  # noqa: F401 - each adds its commands to the group
    drift,
    estimate,
    jobs,
    landing,
    look,
    mappings,
    run,
    tables,
)
from schemahub_lib.commands.base import FAULT_EXIT, main_group
from schemahub_lib.errors import Interrupted, SchemaHubError, UsageError


def main(argv: list[str] | None = None) -> int:
    """Run the command line; returns the exit code. A SIGTERM ends it as Ctrl-C does."""
    verbose = "-v" in (argv or sys.argv) or "--verbose" in (argv or sys.argv)
    if region := os.environ.get("AWS_REGION"):
        os.environ.setdefault("AWS_DEFAULT_REGION", region)  # the only name boto3 reads
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        # click returns the code of an Exit; commands return nothing
        code: int | None = main_group.main(argv, prog_name="schemahub", standalone_mode=False)
    except click.ClickException as error:
        error.show()
        return UsageError.exit_code
    except (KeyboardInterrupt, click.Abort):
        click.echo("stopped", err=True)
        return Interrupted.exit_code
    except SchemaHubError as error:
        if verbose:
            traceback.print_exc()
        click.echo(f"error: {error}", err=True)
        return error.exit_code
    except Exception as error:  # noqa: BLE001 - a bug or a broken machine: people get a sentence first
        if verbose:
            traceback.print_exc()
        click.echo(f"error: {type(error).__name__}: {error}", err=True)
        if not verbose:
            click.echo("Run it again with -v for the traceback.", err=True)
        return FAULT_EXIT
    finally:
        signal.signal(signal.SIGTERM, before)
    return code or 0


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
