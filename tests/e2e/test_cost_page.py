"""docs/cost.md is true: its examples are what the command says, and its formulas come to their dollars.

After an intended change: `SCHEMAHUB_UPDATE_GOLDEN=1 pytest tests/e2e/test_cost_page.py`.
"""

from __future__ import annotations

import json
import os
import re
import shlex
from collections.abc import Callable

import pytest

from tests.cost.formulas import OVER, TIMES, worth
from tests.e2e.conftest import Outcome
from tests.e2e.support import ROOT

UPDATE = os.environ.get("SCHEMAHUB_UPDATE_GOLDEN")  # now: a command line in a test sees no such variable
PAGE = ROOT / "docs" / "cost.md"
TEXT = PAGE.read_text(encoding="utf-8")
FORMULAS = re.findall(rf"`([^`]*[{TIMES}{OVER}][^`]*)` = \$([\d,.]*\d)", TEXT)
TOTALS = re.findall(r"\(`--on ([\w-]+)`\) \| ([\d.]+)", TEXT)
HISTORIES = re.findall(r"^\| (\w+): .* \| ([\d.]+) \|$", TEXT, re.MULTILINE)


def test_the_examples_are_what_the_command_says(cli: Callable[..., Outcome]) -> None:
    def answered(block: re.Match[str]) -> str:
        done = cli(*shlex.split(block[1])[1:])
        assert done.code == 0
        answer = "\n".join(line.rstrip() for line in done.out.splitlines())
        return f"```console\n$ {block[1]}\n{answer}\n```"

    told = re.sub(r"```console\n\$ (.*)\n(?:.*\n)*?```", answered, TEXT)
    if UPDATE:
        PAGE.write_text(told, encoding="utf-8")
    assert PAGE.read_text(encoding="utf-8") == told


@pytest.mark.parametrize(("formula", "dollars"), FORMULAS)
def test_a_formula_comes_to_its_dollars(formula: str, dollars: str) -> None:
    assert worth(formula) == pytest.approx(float(dollars.replace(",", "")), abs=0.00501)


def test_the_totals_compared_are_those_of_the_command(cli: Callable[..., Outcome]) -> None:
    told = json.loads(cli("estimate", "--sources", "coinbase", "--products", "50", "--json").out)
    dollars = {setup["setup"]: f"{setup['dollars']:.2f}" for setup in told["setups"]}
    assert {name: dollars[name] for name, _ in TOTALS} == dict(TOTALS)
    assert len(TOTALS) == 4


def test_the_histories_compared_are_those_of_the_command(cli: Callable[..., Outcome]) -> None:
    history = ("--products", "50", "--history", "100000000", "--json")
    for exchange, dollars in HISTORIES:
        told = json.loads(cli("estimate", "--sources", exchange.lower(), *history).out)
        assert f"{told['once_dollars']:.2f}" == dollars
    assert len(HISTORIES) == 4


def test_the_page_has_formulas() -> None:
    assert len(FORMULAS) > 20
