"""What the `tables` commands found, for people."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING

import click

from schemahub_lib.render import ranges_text, show_table, size_text

if TYPE_CHECKING:
    from schemahub_lib.pipeline.partitions import PartitionPlan
    from schemahub_lib.pipeline.publishes import Publish
    from schemahub_lib.pipeline.rollback import Rollback
    from schemahub_lib.watermark import Watermark


def show_publishes(publishes: Sequence[Publish], limit: int) -> None:
    """Published heads, newest first."""
    numbers = ("rows added", "rows", "files")
    show_table(
        "",
        ("published (UTC)", "snapshot", "operation", "run", *numbers, ""),
        [
            (
                _moment(p.published_at),
                p.snapshot_id,
                p.operation,
                p.run_id,
                "?" if p.added_rows is None else f"{p.added_rows:,}",
                f"{p.total_rows:,}",
                f"{p.files:,}",
                "rolled back" if p.rolled_back else "head" if place == 0 else "",
            )
            for place, p in enumerate(publishes[:limit])
        ],
        numbers=numbers,
    )
    if len(publishes) > limit:
        click.echo(f"{len(publishes) - limit:,} older ones: --limit {len(publishes)}")


def show_rollback(plan: Rollback) -> None:
    """What a rollback does, before it is done."""
    for what, publish in (("from", plan.before), ("to", plan.after)):
        click.echo(
            f"{what:4} snapshot {publish.snapshot_id}, published {_moment(publish.published_at)} UTC"
            f"{f' by run {publish.run_id}' if publish.run_id else ''}, {publish.total_rows:,} rows"
        )
    for verb, count, rows in (
        ("vanish from", plan.vanish_publishes, plan.vanish_rows),
        ("come back to", plan.return_publishes, plan.return_rows),
    ):
        if count:
            with_rows = f"with {_many(rows, 'row')}" if rows >= 0 else f"that took out {_many(-rows, 'row')}"
            click.echo(f"{_many(count, 'publish', 'publishes')} {with_rows} {verb} {plan.table}")
    if plan.streams:
        show_table(
            "streams, whose watermark and coverage go with the table:",
            ("product", "last trade", "at (UTC)", "", "last trade", "at (UTC)", "no longer covered"),
            [
                (s.product, *_watermark(s.before), "->", *_watermark(s.after), ranges_text(s.uncovered, plan.position))
                for s in plan.streams
            ],
        )
    if any(stream.uncovered for stream in plan.streams):
        click.echo(
            "the next `run ingest` fetches what is after these watermarks again; what `backfill` or `run load` brought "
            "below them, those bring again"
        )
    if plan.objects:
        click.echo(
            f"{_many(plan.objects, 'landed object')} no longer loaded: `run load` brings what they hold in again"
        )
    for merged in plan.merged:
        if merged.rows is None:
            told = "which is not in this table's history: the next `run unify` compares all rows by key"
        elif merged.rows:
            told = (
                f"with {_many(merged.rows, 'row')} that vanish: the next `run unify` takes out those not fetched again"
            )
        else:
            told = "with none of the rows that vanish"
        click.echo(f"{merged.target} has merged up to snapshot {merged.snapshot_id}, {told}")
    for source in plan.sources:
        told = f"{_many(source.rows, 'row')} of {_many(source.snapshots, 'snapshot')} again"
        if source.since_is == "rolled back":
            told += ", and takes out what that table lost when it was rolled back"
        elif source.since_is == "expired":
            told = f"all {_many(source.rows, 'row')}, compared by key: snapshot {source.since} is expired"
        click.echo(f"the next `run unify` reads {source.source}: {told}")
    for warning in plan.warnings:
        click.echo(f"warning: {warning}")


def show_partition_plan(plan: PartitionPlan) -> None:
    """What was measured, what each layout is estimated to cost, and which one it should be."""
    volume, symbols = plan.volume, plan.symbols
    click.echo(f"{plan.table}, now by {plan.present}")
    click.echo(
        f"measured: {_many(volume.rows, 'row')} in {_many(volume.files, 'file')}, {size_text(volume.bytes)}; "
        f"{_many(volume.days, 'day')} with trades from {volume.first_day} to {volume.last_day}, "
        f"{size_text(volume.day_bytes)} a day (median), {size_text(volume.largest_day_bytes)} at most"
    )
    click.echo(
        f"{'measured' if symbols.all_files else f'estimated from {symbols.files:,} files'}: "
        f"{_many(len(symbols.shares), 'symbol')} in {_many(symbols.rows, 'row')}, "
        f"the largest with {max(symbols.shares.values()):.1%} of them"
    )
    figures: list[tuple[str, ...]] = [
        ("partitions", *(f"{e.partitions:,}" for e in plan.candidates)),
        ("files", *(f"{e.files:,}" for e in plan.candidates)),
        ("average file", *(size_text(e.average_file_bytes) for e in plan.candidates)),
        ("files of a half-hour batch", *(f"{e.batch_files:,}" for e in plan.candidates)),
        ("their size", *(size_text(e.batch_file_bytes) for e in plan.candidates)),
    ]
    for query in plan.candidates[0].reads:
        parts = (f"{e.reads[query]:.2%} / {e.reads_sorted[query]:.2%}" for e in plan.candidates)
        figures.append((f"read for {query}", *parts))
    layouts = [e.layout for e in plan.candidates]
    click.echo(
        f"estimated, for files of {size_text(volume.target_file_bytes)}; reads are parts of the table's bytes, with "
        "each file sorted by symbol and time / with each partition sorted as a whole:"
    )
    show_table(
        "",
        ("", *layouts),
        figures,
        numbers=layouts,
    )
    click.echo(f"recommended: {plan.recommended}{'' if plan.statements else ', the present layout'}")
    click.echo(plan.reason)
    for statement in plan.statements:
        click.echo(f"  {statement};")
    for note in plan.notes:
        click.echo(f"note: {note}")


def _many(count: int, one: str, many: str | None = None) -> str:
    return f"{count:,} {one if count == 1 else many or one + 's'}"


def _watermark(mark: Watermark | None) -> tuple[str, str]:
    return (mark.last_trade_id, f"{mark.last_ts:%Y-%m-%d %H:%M:%S.%f}") if mark else ("none", "")


def _moment(moment: datetime) -> str:
    """To the millisecond, which is what Iceberg keeps: copied into --as-of or --to it is that very publish."""
    return f"{moment:%Y-%m-%d %H:%M:%S.%f}"[:-3]
