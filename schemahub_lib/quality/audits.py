"""Audits of what is about to be published: judged on the branch, before anybody sees it."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Literal, Self

from sqlglot import exp

from schemahub_lib.exchanges.fields import moment
from schemahub_lib.mapping.audits import broken_rows
from schemahub_lib.mapping.spec import Constant, MappingSpec
from schemahub_lib.mapping.statements import averages_sql
from schemahub_lib.schemas import AUDITS as LEDGER
from schemahub_lib.schemas import Table
from schemahub_lib.tables.lake import Lake
from schemahub_lib.tables.publish import Branch
from schemahub_lib.tables.unified import EPOCH, Batch, Found, SourceFigures

BEFORE = timedelta(days=3)  # what a jump is measured against
LONGEST = timedelta(days=1)  # a batch that spans more is history, and has nothing before it to be compared with
SHORTEST = timedelta(minutes=10)  # a shorter time has too few trades to speak of their number an hour
ENOUGH = 100  # rows on both sides of a comparison

Status = Literal["passed", "warned", "blocked"]


@dataclass(frozen=True)
class Finding:
    """What one audit found in the rows of one raw table. `rows` counts the rows, keys or symbols that failed;
    `look` is a query (of `schemahub query`) that shows them on the branch."""

    source: str
    audit: str
    severity: str
    status: Status
    rows: int = 0
    message: str | None = None
    look: str | None = None

    def __str__(self) -> str:
        return f"{self.source}: audit {self.audit}: {self.message}"


def judge(
    target: Table,
    specs: Sequence[MappingSpec],
    batch: Batch,
    found: Mapping[str, Found],
    gained: Mapping[str, int],
    filtered: Mapping[str, int],
    averages: Averages,
    now: datetime,
) -> list[Finding]:
    """Every audit that a mapping has not switched off, by raw table.

    `gained` has the rows that each raw table gained by its own account, where its increment was read, and `filtered`
    how many of them filters leave out; `found` tells what is on the branch after the merge."""
    findings: list[Finding] = []
    conditions = broken_rows(target, now)
    for spec in specs:
        figures, there = batch.sources.get(spec.source, SourceFigures()), found.get(spec.source, Found())
        report = _Reporter(target, spec, findings)
        for name, condition in conditions.items():
            broken = figures.broken[name]
            report(name, broken, f"{broken:,} rows where {condition.sql('duckdb')}", condition)
        extra = there.found + there.missing - figures.rows
        report(
            "unique_key", extra, f"{extra:,} rows too many: keys that are there more than once", None, _repeated(target)
        )
        seen = figures.read + filtered.get(spec.source, 0)
        rows = gained.get(spec.source, seen)
        told = f"raw gained {rows:,} rows and {seen:,} were read; {there.missing:,} of their keys are not there"
        report("row_count", abs(rows - seen) + there.missing, told)
        again = there.differing
        became = {"ignore": "ignored", "update": "taken over", "quarantine": "set aside in schemahub_quarantine"}
        report("conflicts", again, f"{again:,} rows of known keys came with other values: {became[spec.on_conflict]}")
        if there.inserted:
            averages.judge(spec, report)
    return findings


class _Reporter:
    def __init__(self, target: Table, spec: MappingSpec, findings: list[Finding]) -> None:
        self._target, self.spec, self._findings = target, spec, findings

    def __call__(
        self, audit: str, failed: int, message: str, condition: exp.Expr | None = None, look: str | None = None
    ) -> None:
        severity = self.spec.audits[audit].severity
        if severity == "off":
            return
        if not failed:
            self._findings.append(Finding(self.spec.source, audit, severity, "passed"))
            return
        if condition is not None:
            look = exp.select("*").from_(self._target.name).where(condition).sql("duckdb")
        status: Status = "blocked" if severity == "block" else "warned"
        self._findings.append(Finding(self.spec.source, audit, severity, status, failed, message, look))


def _repeated(target: Table) -> str:
    select = exp.select(*target.key, "count(*) AS copies").from_(target.name)
    return select.group_by(*target.key).having("count(*) > 1").sql("duckdb")


class Averages:
    """How many trades there were, and at which average prices, in the newest part of a batch and in the days before it.

    Asked for in a thread as the block begins, and taken when judging: Spark is not busy with one question alone.
    """

    def __init__(self, lake: Lake, target: Table, branch: Branch, specs: Sequence[MappingSpec], batch: Batch) -> None:
        self._lake, self._target, self._branch = lake, target, branch
        self._start, self._end = batch.ranges[-1] if batch.ranges else (EPOCH, EPOCH + 2 * LONGEST)
        self._newest = {source: figures.newest for source, figures in batch.sources.items()}
        rules = (spec.audits[name].severity for spec in specs for name in ("volume_jump", "price_jump"))
        self._wanted = self._end - self._start <= LONGEST and any(severity != "off" for severity in rules)
        self._thread = ThreadPoolExecutor(1, "averages")
        self._rows: Future[list[dict[str, Any]]] | None = None

    def __enter__(self) -> Self:
        if self._wanted:
            self._rows = self._thread.submit(self._ask)
        return self

    def __exit__(self, *failure: object) -> None:
        self._thread.shutdown()

    def _ask(self) -> list[dict[str, Any]]:
        sql = averages_sql(self._target, self._branch.identifier, self._start - BEFORE, self._start, self._end)
        return [row.asDict() for row in self._lake.spark.sql(sql).collect()]

    def judge(self, spec: MappingSpec, report: _Reporter) -> None:
        """Tell of jumps in the rows of one mapping, which are those of one constant, such as the exchange."""
        first = spec.by_target[self._target.key[0]].origin
        if self._rows is None or not isinstance(first, Constant):
            return
        if self._newest.get(spec.source, EPOCH) < self._start:
            return  # it brought older trades alone, so that it has none here says nothing
        rows = [row for row in self._rows.result() if row[self._target.key[0]] == first.value]
        self._volume(report, rows, spec.audits["volume_jump"].limit or 1.0)
        self._price(report, rows, spec.audits["price_jump"].limit or 1.0)

    def _volume(self, report: _Reporter, rows: Iterable[Mapping[str, Any]], limit: float) -> None:
        before, since = sum(row["before"] for row in rows), sum(row["since"] for row in rows)
        if before < ENOUGH:
            return
        first = min(moment(row["first_ts"]) for row in rows)
        usual = _an_hour(before, self._start - first)
        now = _an_hour(since, self._end - self._start)
        message = (
            f"{now:,.0f} trades an hour from {self._start:%Y-%m-%d %H:%M}, {usual:,.0f} since {first:%Y-%m-%d %H:%M}"
        )
        jumped = not usual / limit <= now <= usual * limit
        report("volume_jump", int(jumped), f"{message} (limit: {limit:g} times more or less)")

    def _price(self, report: _Reporter, rows: Iterable[Mapping[str, Any]], limit: float) -> None:
        jumped = [
            row
            for row in rows
            if min(row["before"], row["since"]) >= ENOUGH
            and not row["price_before"] / limit <= row["price_since"] <= row["price_before"] * limit
        ]
        told = "; ".join(
            f"{row[self._target.key[-2]]} {row['price_before']:.8g} -> {row['price_since']:.8g}" for row in jumped[:3]
        )
        report(
            "price_jump",
            len(jumped),
            f"average prices left those of the 3 days before: {told} (limit: {limit:g} times)",
        )


def _an_hour(rows: int, time: timedelta) -> float:
    return rows / (max(time, SHORTEST) / timedelta(hours=1))


def record(lake: Lake, target: Table, run_id: str, findings: Sequence[Finding], branch: str | None) -> None:
    """Append findings to the ledger; `branch` is where a blocked publish stayed."""
    now = datetime.now(UTC)
    lake.append(
        LEDGER,
        [
            {
                "run_id": run_id,
                "target": target.name,
                "source": finding.source,
                "audit": finding.audit,
                "severity": finding.severity,
                "status": finding.status,
                "rows": finding.rows,
                "message": finding.message,
                "branch": branch,
                "audited_at": now,
            }
            for finding in findings
        ],
    )


def blocked_message(target: Table, findings: Sequence[Finding], branch: str) -> str:
    """What was found, how to look at it, and what to do."""
    blocking = [finding for finding in findings if finding.status == "blocked"]
    everything = exp.select("*").from_(target.name).sql("duckdb")
    look = next((finding.look for finding in blocking if finding.look), everything)
    return (
        "; ".join(map(str, blocking))
        + f". Nothing was published to {target.name}; it can be looked at on the branch {branch}: "
        + f'schemahub query --ref {branch} "{look}". '
        + _remedy(target, {finding.audit for finding in blocking})
    )


def _remedy(target: Table, audits: Collection[str]) -> str:
    if "unique_key" in audits:
        return f"Make these days anew: schemahub run unify {target.name} --from … --to …"
    if "conflicts" in audits:
        return "The other values are in the raw table; `on_conflict` in the mapping says what becomes of them"
    return "Mend the mapping, or give the audit another severity in it"
