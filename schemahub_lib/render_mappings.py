"""Mappings for people: lineage as a table and as a diagram, and what became of examples."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from schemahub_lib.render import show_json, show_samples, show_table

if TYPE_CHECKING:
    from schemahub_lib.mapping.compiler import ColumnLineage
    from schemahub_lib.mapping.spec import MappingSpec
    from schemahub_lib.pipeline.examples import Outcome
    from schemahub_lib.pipeline.mapping_plan import MappingPlan


def show_mapping(spec: MappingSpec, lineage: Sequence[ColumnLineage], sql: str, *, as_json: bool) -> None:
    """Column lineage and generated SQL of one mapping."""
    if as_json:
        show_json({"file": spec.file, "columns": lineage, "sql": sql})
        return
    show_table(
        f"{spec.source} -> {spec.target_table}  ({spec.file})",
        ("column", "type", "from", "transform", "sql"),
        [(row.target, row.type, row.origin, row.transform, row.sql) for row in lineage],
    )
    click.echo(sql)


def mermaid(spec: MappingSpec, lineage: Sequence[ColumnLineage]) -> str:
    """The lineage as a Mermaid flowchart: origins on the left, the target's columns on the right."""
    lines = ["flowchart LR"]
    origins: dict[str, str] = {}
    for row in lineage:
        for origin in row.origin.split(", "):
            number = origins.setdefault(origin, f"o{len(origins)}")
            label = f'|"{row.transform}"|' if row.transform else ""
            lines.append(f'  {number}["{origin}"] -->{label} {row.target}["{spec.target_table}.{row.target}"]')
    return "\n".join(lines)


def show_examples(outcomes: Sequence[Outcome], without: Sequence[str], *, as_json: bool) -> None:
    """Which examples hold, how the others differ, and which mappings have none."""
    if as_json:
        show_json({"examples": outcomes, "without": without})
        return
    for outcome in outcomes:
        example = outcome.example
        click.echo(f"{'FAILED' if outcome.differences else 'ok':6} {example.file}:{example.line}: {example.name}")
        for difference in outcome.differences:
            click.echo(f"         {difference}")
    for file in without:
        click.echo(f"none   {file} has no examples")
    failed = sum(bool(outcome.differences) for outcome in outcomes)
    click.echo(f"{len(outcomes)} examples, {failed} failed", err=True)


def show_plans(plans: Sequence[MappingPlan], in_use: str, *, as_json: bool) -> None:
    """What changed mappings would do in place of those `in_use`, with samples, and how to do it."""
    if as_json:
        show_json(plans)
        return
    if not plans:
        click.echo(f"these mappings make the same rows as those in use, {in_use}")
    for plan in plans:
        changes = plan.changes
        click.echo(
            f"{plan.source} -> {plan.target}, of {plan.rows:,} raw rows from {plan.start:%Y-%m-%d %H:%M:%S} to "
            f"{plan.end:%Y-%m-%d %H:%M:%S}: {changes.inserted:,} rows come, {changes.changed:,} change, "
            f"{changes.removed:,} go (in use: {in_use})"
        )
        for note in plan.notes:
            click.echo(note)
        if plan.columns:
            show_table("changed rows by column", ("column", "rows"), [(n, f"{c:,}") for n, c in plan.columns.items()])
        if changes.samples:
            show_samples(changes.samples)
        if changes:
            click.echo(f"to apply it, once the new mapping is in use: {plan.command}")
