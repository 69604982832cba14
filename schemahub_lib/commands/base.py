"""What every command shares: the group, the global options, the ways in and out."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import click

from schemahub_lib import __version__
from schemahub_lib.errors import UsageError

if TYPE_CHECKING:
    from datetime import datetime

    from schemahub_lib.tables.lake import Lake

FAULT_EXIT = 1
PARTIAL_EXIT = 3


@dataclass
class Globals:
    """The options every command takes, before or after its name."""

    profile: str | None = None
    warehouse: str | None = None
    mappings: str | None = None
    log_format: str = "text"
    verbose: bool = False
    quiet: bool = False
    json: bool = False

    def lake(self) -> Lake:
        from schemahub_lib.config import Settings
        from schemahub_lib.tables.lake import Lake

        return Lake(Settings.load(profile=self.profile, warehouse=self.warehouse, mappings=self.mappings))


GLOBAL_OPTIONS = (
    click.option("--profile", type=click.Choice(["local", "glue", "rest"]), help="Catalog profile  [default: local]."),
    click.option("--warehouse", help="Folder or s3:// URI of the tables  [default: ./warehouse]."),
    click.option("--mappings", help="Folder or s3:// URI of mapping files, in place of those shipped."),
    click.option("--log-format", type=click.Choice(["text", "json"]), help="How logs on stderr look."),
    click.option("-v", "--verbose", is_flag=True, default=None, help="More logs, and tracebacks of errors."),
    click.option("--quiet", is_flag=True, default=None, help="Only warnings and errors on stderr."),
    click.option("--json", is_flag=True, default=None, help="The result as JSON on stdout."),
)


def _with_globals(function: Callable[..., Any]) -> Callable[..., Any]:
    for option in reversed(GLOBAL_OPTIONS):
        function = option(function)
    return function


def command(group: click.Group, name: str, **attributes: Any) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """A leaf command: global options are taken here too, and the function gets them as its first argument."""

    def decorate(function: Callable[..., Any]) -> Callable[..., Any]:
        @click.pass_context
        def run(context: click.Context, /, **values: Any) -> Any:
            options: Globals = context.obj
            for option in vars(options):
                given = values.pop(option)
                if given is not None:
                    setattr(options, option, given)
            _set_up_logging(options)
            return function(options, **values)

        run.__doc__ = function.__doc__
        run.__click_params__ = getattr(function, "__click_params__", [])  # type: ignore[attr-defined]
        group.command(name, **attributes)(_with_globals(run))
        return function

    return decorate


def _set_up_logging(options: Globals) -> None:
    from schemahub_lib.logs import set_up_logging

    set_up_logging(options.log_format, verbose=options.verbose, quiet=options.quiet)


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, prog_name="schemahub")
@_with_globals
@click.pass_context
def main_group(context: click.Context, /, **values: Any) -> None:
    """Trades of crypto exchanges in Apache Iceberg tables, unified exactly once."""
    context.obj = Globals(**{name: value for name, value in values.items() if value is not None})


def names(listed: str | None, told_by: str) -> tuple[str, ...]:
    """The names in a comma-separated list; none where it was not given.

    Raises UsageError for one without names: an empty shell variable must not stand for everything there is.
    """
    found = tuple(name.strip() for name in (listed or "").split(",") if name.strip())
    if listed is not None and not found:
        raise UsageError(f"{told_by} is empty: name at least one, or leave it out")
    return found


def product_names(listed: str | None, seed_path: str | None, told_by: str = "--products") -> tuple[str, ...]:
    """The products that are named, else none. Raises UsageError where they would come from a seed file too."""
    found = names(listed, told_by)
    if found and seed_path is not None:
        raise UsageError(f"{told_by} says which products, so --seed-path has no effect: leave one of them out")
    return found


def period(
    since: str | None, until: str | None, flags: tuple[str, str] = ("--since", "--until")
) -> tuple[datetime | None, datetime | None]:
    """The times given with two flags. Raises UsageError for a period that cannot be."""
    from datetime import UTC, datetime

    from schemahub_lib.config import parse_time

    start, end = (parse_time(text) if text is not None else None for text in (since, until))
    if start and end and start >= end:
        raise UsageError(f"{flags[0]} {since} is not before {flags[1]} {until}")
    if start and start > datetime.now(UTC):
        raise UsageError(f"{flags[0]} {since} is in the future")
    return start, end


def live(options: Globals) -> bool:
    return sys.stderr.isatty() and not options.quiet and options.log_format == "text"
