"""docs/cli.md is made from the commands themselves.

After an intended change: `SCHEMAHUB_UPDATE_GOLDEN=1 pytest tests/test_reference.py`.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import click

from schemahub_lib.cli import main_group
from schemahub_lib.commands.base import GLOBAL_OPTIONS

PAGE = Path(__file__).resolve().parents[1] / "docs" / "cli.md"
GLOBAL = {
    parameter.name
    for parameter in main_group.params
    if isinstance(parameter, click.Option) and parameter.name != "version"
}
HEAD = """# The command line

Installed as `schemahub`; the same program is `python -m schemahub_lib`. Logs and progress go to stderr, results to
stdout. Exit codes: 0 done, 1 failed, 2 wrong usage or configuration, 3 partial, 130 interrupted.
"""


def leaves(group: click.Group, path: tuple[str, ...] = ("schemahub",)) -> Iterator[tuple[str, click.Command]]:
    for name, command in sorted(group.commands.items()):
        if isinstance(command, click.Group):
            yield from leaves(command, (*path, name))
        else:
            yield " ".join((*path, name)), command


def options_table(parameters: list[click.Parameter]) -> Iterator[str]:
    yield "| option | meaning |"
    yield "|---|---|"
    for parameter in parameters:
        if isinstance(parameter, click.Option):
            context = click.Context(main_group)
            record = parameter.get_help_record(context)
            assert record is not None
            name, text = (part.replace("|", "\\|").strip() for part in record)
            yield f"| `{name}` | {text} |"


def reference() -> str:
    lines = [HEAD, "## Options of every command", ""]
    lines += options_table([p for p in main_group.params if p.name in GLOBAL])
    for path, command in leaves(main_group):
        arguments = " ".join(
            p.make_metavar(click.Context(command)) for p in command.params if isinstance(p, click.Argument)
        )
        lines += ["", f"## `{path}{' ' + arguments if arguments else ''}`", "", (command.help or "").strip()]
        own = [p for p in command.params if isinstance(p, click.Option) and p.name not in GLOBAL]
        if own:
            lines += ["", *options_table(own)]
    return "\n".join(lines) + "\n"


def test_the_reference_page_is_what_the_commands_say() -> None:
    if os.environ.get("SCHEMAHUB_UPDATE_GOLDEN"):
        PAGE.write_text(reference(), encoding="utf-8")
    assert PAGE.read_text(encoding="utf-8") == reference()


def test_every_command_and_option_has_a_help_text() -> None:
    assert len(GLOBAL_OPTIONS) == len(GLOBAL)
    for path, command in leaves(main_group):
        assert command.help, path
        for parameter in command.params:
            assert not isinstance(parameter, click.Option) or parameter.help, (path, parameter.name)
