"""An estimate, for people."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from schemahub_lib.render import show_table

if TYPE_CHECKING:
    from schemahub_lib.cost.estimate import Estimate, Row


def show_estimate(estimate: Estimate) -> None:
    """The bill with its formulas, what it rests on, and the other setups."""
    once = f", and ${estimate.once_dollars:,.2f} once for its history" if estimate.once else ""
    click.echo(f"${estimate.dollars:,.2f} a month{once} ({estimate.setup}: {estimate.title})")
    click.echo(
        f"{estimate.products:,} products of {', '.join(estimate.sources)}; {estimate.trades_a_day:,.0f} trades and "
        f"{estimate.runs_a_day:,.10g} runs a day; {estimate.queries:,} queries; storage of month {estimate.month}; "
        f"prices of {estimate.region}, looked up on {estimate.looked_up}"
    )
    show_table(
        "What the bill rests on",
        ("", "value", "formula"),
        [(step.what, f"{step.value:,.10g} {step.unit}".rstrip(), step.formula) for step in estimate.steps],
        numbers=("value",),
    )
    _show_bill(f"{estimate.setup}: {estimate.title}", "$ a month", estimate.bill, estimate.dollars)
    if estimate.once:
        _show_bill(f"Once: {estimate.history:,} trades of history", "$ once", estimate.once, estimate.once_dollars)
    show_table(
        "Every setup (--on)",
        ("setup", "$ a month", ""),
        [(other.setup, f"{other.dollars:,.2f}", other.title) for other in estimate.setups],
        numbers=("$ a month",),
    )
    assumed = [figure for figure in estimate.figures if figure[2].startswith("assumed")]
    show_table("Assumed, not measured (all figures, and the prices' sources: --json)", ("", "value", ""), assumed)
    for note in estimate.notes:
        click.echo(f"note: {note}")


def _show_bill(title: str, dollars: str, rows: Sequence[Row], total: float) -> None:
    shown = [(row.service, row.what, _quantity(row), f"{row.dollars:,.3f}", row.formula) for row in rows]
    show_table(
        title,
        ("service", "what", "quantity", dollars, "formula"),
        [*shown, ("", "total", "", f"{total:,.2f}", "")],
        numbers=("quantity", dollars),
    )


def _quantity(row: Row) -> str:
    return f"{row.quantity:,.3f} {row.unit}" if row.quantity < 1000 else f"{row.quantity:,.0f} {row.unit}"
