"""How a drift is shown: its proposals, their patches, what came of trying them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import click

from schemahub_lib.render import show_table

if TYPE_CHECKING:
    from schemahub_lib.pipeline.drift import Proposal
    from schemahub_lib.pipeline.drift_trial import Trial
    from schemahub_lib.pipeline.patches import Patch


@dataclass(frozen=True)
class Told:
    """One source's drift."""

    source: str
    proposals: Sequence[Proposal]
    patches: Sequence[Patch]
    trials: Sequence[Trial]


def show(told: Sequence[Told]) -> None:
    """Every source's drift, or that there is none."""
    if not any(one.proposals for one in told):
        click.echo("no drift: every payload looked at is as its connector knows it")
    for one in told:
        for proposal in one.proposals:
            _show_proposal(proposal)
        for patch in one.patches:
            click.echo(f"{patch.name}:\n{patch.text}")
        for trial in one.trials:
            _show_trial(trial)


def _show_proposal(proposal: Proposal) -> None:
    click.echo(proposal.headline)
    click.echo(f"  evidence  {proposal.evidence}")
    if proposal.samples:
        click.echo(f"  samples   {', '.join(proposal.samples)}")
    click.echo(f"  advice    {proposal.advice}")
    if proposal.alter:
        click.echo("  " + " ".join(proposal.alter.split()))
    click.echo()


def _show_trial(trial: Trial) -> None:
    click.echo(
        f"tried on a stand-in for {trial.table}: of {trial.rows:,} rows fetched since {trial.since:%Y-%m-%d}, "
        f"{trial.shown:,} payloads have the field, {trial.filled:,} rows get a value in {trial.column}; "
        f"{trial.unified:,} unified trades would have one"
    )
    if others := trial.shown - trial.filled:
        click.echo(f"{others:,} payloads have something else there: with this column their trades would be set aside")
    rows = [(value.payload, value.column, f"{value.rows:,}") for value in trial.values]
    show_table("", ("payload", trial.column, "rows"), rows, numbers=("rows",))
