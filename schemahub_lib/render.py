"""Results on stdout: tables for people, JSON for machines."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from dataclasses import asdict, is_dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

import click
from rich.console import Console
from rich.table import Table as RichTable

from schemahub_lib.exchanges.fields import place_text

if TYPE_CHECKING:
    import pyarrow as pa

    from schemahub_lib.pipeline.doctor import Finding
    from schemahub_lib.pipeline.maintain import Upkeep
    from schemahub_lib.pipeline.plan import Plan
    from schemahub_lib.pipeline.reports import Report
    from schemahub_lib.pipeline.seeds import SeedChange
    from schemahub_lib.pipeline.status import LakeStatus
    from schemahub_lib.pipeline.workers import Outcome
    from schemahub_lib.schemas import Position
    from schemahub_lib.tables.due import Figures
    from schemahub_lib.tables.restatement import Sample
    from schemahub_lib.tables.state import Intervals

SHOWN_RANGES = 3


def show_json(value: Any) -> None:
    """One JSON document; dataclasses as objects, times as ISO 8601."""

    def encode(item: Any) -> Any:
        if is_dataclass(item) and not isinstance(item, type):
            return asdict(item)
        return item.isoformat() if isinstance(item, datetime) else str(item)

    click.echo(json.dumps(value, default=encode, indent=2))


def show_table(
    title: str, columns: Sequence[str], rows: Sequence[Sequence[Any]], *, numbers: Sequence[str] = ()
) -> None:
    table = RichTable(title=title, title_justify="left")
    for column in columns:
        table.add_column(column, justify="right" if column in numbers else "left", overflow="fold")
    for row in rows:
        table.add_row(*("" if cell is None else str(cell) for cell in row))
    # A pipe has no width: never cut there. Cells are data, in which `[/b]` and `:smile:` mean nothing.
    Console(width=None if sys.stdout.isatty() else 200, markup=False, emoji=False).print(table)


_SELDOM = ("filtered", "changed", "removed", "conflicts")  # shown only where they are not 0
_FIGURES = ("rows", "duplicates", *_SELDOM, "quarantined", "requests", "retries")


def show_reports(reports: Sequence[Report]) -> None:
    """What each part of a run did; what failed is named below."""
    figures: dict[str, list[str | None]] = {
        name: [f"{getattr(report, name):,}" for report in reports] for name in _FIGURES
    }
    figures["seconds"] = [f"{report.seconds:.1f}" for report in reports]
    figures["lag"] = [_duration(report.lag_seconds) for report in reports]
    shown = {name: texts for name, texts in figures.items() if name not in _SELDOM or set(texts) != {"0"}}
    rows = [
        (report.job, report.source, report.status.replace("_", " "), *(texts[place] for texts in shown.values()))
        for place, report in enumerate(reports)
    ]
    show_table("", ("job", "source", "status", *shown), rows, numbers=tuple(shown))
    for report in reports:
        for message in report.errors.values():
            click.echo(f"failed: {message}")
        if report.quarantined:
            click.echo(f"{report.source}: {report.quarantined} rows were set aside in schemahub_quarantine")
        if report.samples:
            show_samples(report.samples)
        if report.sql:
            click.echo(report.sql)


def show_samples(samples: Sequence[Sample]) -> None:
    told = list(samples[0].before or samples[0].after or {})

    def cell(sample: Sample, name: str) -> str:
        values = [_value(row[name]) for row in (sample.before, sample.after) if row is not None]
        return " -> ".join(dict.fromkeys(values))

    rows = [(s.change, *s.key.values(), *(cell(s, name) for name in told)) for s in samples]
    show_table("for example", ("", *samples[0].key, *told), rows)


def _value(value: Any) -> str:
    if isinstance(value, datetime):
        return f"{value:%Y-%m-%d %H:%M:%S.%f}"
    return "null" if value is None else str(value)


def show_outcomes(outcomes: Sequence[Outcome]) -> None:
    """What a backfill or a landing did for each product, without columns of zeros; what failed is named below."""
    figures: dict[str, list[str | None]] = {
        "trades": [f"{outcome.trades:,}" for outcome in outcomes],
        "duplicates": [f"{outcome.duplicates:,}" for outcome in outcomes],
        "set aside": [f"{outcome.set_aside:,}" for outcome in outcomes],
        "objects": [f"{outcome.objects:,}" for outcome in outcomes],
        "size": [size_text(outcome.bytes) for outcome in outcomes],
        "at trade": [outcome.last_trade_id for outcome in outcomes],
    }
    shown = {name: texts for name, texts in figures.items() if name == "trades" or set(texts) - {"0", "0 B", None}}
    rows = [
        (outcome.product, outcome.status, *(texts[place] for texts in shown.values()))
        for place, outcome in enumerate(outcomes)
    ]
    show_table("", ("product", "status", *shown), rows, numbers=tuple(shown))
    for outcome in outcomes:
        if outcome.error:
            click.echo(f"failed: {outcome.error}")


def show_plans(plans: Sequence[Plan]) -> None:
    """What a backfill would fetch of each product, and in all."""
    numbers = ("newest", "trades", "requests", "duration", "size")
    rows: list[tuple[Any, ...]] = [
        (
            plan.product,
            None if plan.newest is None else place_text(plan.newest, plan.position),
            None if plan.trades is None else f"{plan.trades:,}",
            None if plan.requests is None else f"{plan.requests:,}",
            _duration(plan.seconds),
            None if plan.bytes is None else size_text(plan.bytes),
        )
        for plan in plans
    ]
    if len(plans) > 1:
        trades, requests = (sum(getattr(plan, what) or 0 for plan in plans) for what in ("trades", "requests"))
        seconds, size = (sum(getattr(plan, what) or 0 for plan in plans) for what in ("seconds", "bytes"))
        rows.append(("all", None, f"{trades:,}", f"{requests:,}", _duration(seconds), size_text(size)))
    show_table("would fetch, at the rate limit:", ("product", *numbers), rows, numbers=numbers)
    for plan in plans:
        if plan.error:
            click.echo(f"cannot be planned: {plan.error}")
    click.echo("nothing fetched; without --dry-run it is")


def show_status(status: LakeStatus, warehouse: str) -> None:
    """Streams and tables."""
    if not status.tables:
        click.echo(f"{warehouse} holds no tables yet: schemahub run pipeline trades_unified")
        return
    show_table(
        "streams",
        ("source", "product", "last trade", "at (UTC)", "lag", "covered", "gaps", "missing", "last run", "status"),
        [
            (
                s.source,
                s.product,
                s.last_trade_id,
                f"{s.last_ts:%Y-%m-%d %H:%M:%S.%f}" if s.last_ts else None,
                _duration(s.lag_seconds),
                ranges_text(s.covered, s.position),
                len(s.gaps),
                _duration(s.missing / 1e6) if s.position == "time" else f"{s.missing:,}",
                f"{s.last_run:%Y-%m-%d %H:%M:%S}" if s.last_run else None,
                s.last_run_status,
            )
            for s in status.streams
        ],
        numbers=("lag", "gaps", "missing"),
    )
    show_table(
        "tables",
        ("table", "rows", "files", "average file", "snapshots", "needs"),
        [
            (t.name, f"{t.rows:,}", f"{t.files:,}", size_text(t.average_file_bytes), t.snapshots, t.needs)
            for t in status.tables
        ],
        numbers=("rows", "files", "average file", "snapshots"),
    )
    for warning in status.warnings:
        click.echo(f"warning: {warning}")


def show_upkeeps(upkeeps: Sequence[Upkeep], *, dry_run: bool) -> None:
    """Each table's size before and after, and what was done to it; of a dry run, what is due."""

    def shown(size: Figures) -> tuple[str, ...]:
        return (
            f"{size.files:,}",
            size_text(size.average_file_bytes),
            size_text(size.bytes),
            f"{size.manifests:,}",
            f"{size.snapshots:,}",
        )

    numbers = ("files", "average file", "bytes", "manifests", "snapshots")
    rows = []
    for upkeep in upkeeps:
        pairs = zip(shown(upkeep.before), shown(upkeep.after), strict=True)
        rows.append((upkeep.table, *(old if old == new else f"{old} -> {new}" for old, new in pairs)))
    show_table("", ("table", *numbers), rows, numbers=numbers)
    for upkeep in upkeeps:
        for text in upkeep.due if dry_run else upkeep.done:
            click.echo(f"{upkeep.table}: {text}")
        for text in upkeep.left:
            click.echo(f"{upkeep.table}: left for the next run: {text}")
        for text in upkeep.errors:
            click.echo(f"failed: {text}")
    if not any(upkeep.due for upkeep in upkeeps):
        click.echo("nothing is due")
    elif dry_run:
        click.echo("nothing done; without --dry-run it is")


def show_seed_change(change: SeedChange) -> None:
    """A seed file's difference, and what was left out of it or kept in it."""
    for sign, changed in (("+", change.added), ("-", change.removed)):
        for name in changed:
            click.echo(f"{sign} {name}")
    for what, reasons in (("left out", change.left_out), ("kept", change.kept)):
        for reason in sorted(set(reasons.values())):
            names = sorted(name for name, why in reasons.items() if why == reason)
            click.echo(f"{what}, {reason}: {', '.join(names)}")
    difference = f"{len(change.added)} new, {len(change.removed)} gone, {len(change.product_ids)} in all"
    if change.compared_with != change.path:
        difference += f", compared with {change.compared_with}"
    hint = "written" if change.written else "nothing written; --write does it"
    if not change.product_ids:
        hint = "nothing written, and --write refuses to leave nothing in it"
    click.echo(f"{change.path}: {difference} ({hint})")


def show_findings(findings: Sequence[Finding]) -> None:
    show_table("", ("", "what", "found", "do"), [(f.status, f.what, f.found, f.remedy) for f in findings])


def show_rows(rows: pa.Table, output: str) -> None:
    """A query's rows as a table, CSV, JSON lines or Parquet."""
    if output == "parquet":
        import pyarrow.parquet as pq

        if sys.stdout.isatty():
            raise click.UsageError(
                "Parquet is binary: redirect it, as in `schemahub query … --format parquet > x.parquet`"
            )
        pq.write_table(rows, sys.stdout.buffer)
    elif output == "csv":
        import pyarrow as pa
        import pyarrow.csv as pc

        if nested := [field.name for field in rows.schema if pa.types.is_nested(field.type)]:
            raise click.UsageError(
                f"CSV has no place for lists and structs ({', '.join(nested)}): select what is in them, as in "
                "bids[1].price, or take --format json"
            )
        pc.write_csv(rows, sys.stdout.buffer)
    elif output == "json":
        show_json(rows.to_pylist())
    else:
        numbers = [f.name for f in rows.schema if str(f.type).startswith(("int", "uint", "double", "float", "decimal"))]
        show_table("", rows.column_names, [tuple(row.values()) for row in rows.to_pylist()], numbers=numbers)


def ranges_text(covered: Intervals, position: Position) -> str:
    """The last of some ranges, as ids or as times."""
    more = [f"{len(covered) - SHOWN_RANGES} more"] if len(covered) > SHOWN_RANGES else []
    return "\n".join(
        more + [f"{place_text(low, position)} to {place_text(high, position)}" for low, high in covered[-SHOWN_RANGES:]]
    )


def _duration(seconds: float | None) -> str | None:
    if seconds is None:
        return None
    for size, unit in ((86400, "d"), (3600, "h"), (60, "m")):
        if seconds >= 2 * size:
            return f"{seconds / size:.1f}{unit}"
    return f"{seconds:.1f}s"


def size_text(size: float) -> str:
    for limit, unit in ((2**30, "GiB"), (2**20, "MiB"), (2**10, "KiB")):
        if size >= limit:
            return f"{size / limit:.1f} {unit}"
    return f"{size:.0f} B"
