"""What a run was and did: the report that a verb returns."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from typing import Any, Literal
from uuid import uuid4

from schemahub_lib.http.stats import BreakerState, Stats
from schemahub_lib.pipeline.workers import Outcome, overall
from schemahub_lib.quality.audits import Finding
from schemahub_lib.tables.restatement import Sample

Status = Literal["ok", "partial", "failed", "nothing_new", "interrupted", "dry_run"]


def new_run_id() -> str:
    return f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}-{uuid4().hex[:8]}"


@dataclass
class Report:
    """One source's ingest, or one unify. `errors` maps a product (or the job itself) to what went wrong."""

    run_id: str
    job: str
    source: str
    status: Status = "ok"
    started_at: datetime = field(default_factory=lambda: datetime.now(UTC))
    seconds: float = 0.0
    rows: int = 0
    duplicates: int = 0
    quarantined: int = 0
    conflicts: int = 0
    changed: int = 0
    removed: int = 0
    filtered: int = 0
    publish_seconds: float = 0.0
    requests: int = 0
    retries: int = 0
    throttled: int = 0
    bytes: int = 0
    pace: float | None = None
    breaker: BreakerState | None = None
    breaker_opened: int = 0
    lag_seconds: float | None = None
    errors: dict[str, str] = field(default_factory=dict)
    sql: str | None = None  # of a dry run
    samples: list[Sample] = field(default_factory=list)  # of what a restatement changes
    audits: list[Finding] = field(default_factory=list)
    steps: dict[str, float] = field(default_factory=dict)  # seconds of each step of a publish

    def count(self, stats: Stats) -> None:
        """Take over what a client has sent, received and noticed."""
        for figure in ("requests", "retries", "throttled", "bytes", "pace", "breaker", "breaker_opened"):
            setattr(self, figure, getattr(stats, figure))

    def gather(self, outcomes: Sequence[Outcome]) -> None:
        """Take over what was done for each product, and what that makes of a run that was not interrupted."""
        self.rows = sum(outcome.trades for outcome in outcomes)
        self.duplicates = sum(outcome.duplicates for outcome in outcomes)
        self.quarantined = sum(outcome.set_aside for outcome in outcomes)
        self.errors = {outcome.product: outcome.error for outcome in outcomes if outcome.error}
        if self.status == "ok":
            self.status = overall([outcome.status for outcome in outcomes])
        if self.status == "ok" and not self.rows and not self.quarantined:
            self.status = "nothing_new"

    def finish(self, status: Status) -> None:
        self.status = status
        self.seconds = (datetime.now(UTC) - self.started_at).total_seconds()

    def as_row(self) -> dict[str, Any]:
        row = asdict(self)
        for told in ("sql", "samples", "audits", "steps"):
            del row[told]
        errors: dict[str, str] = row.pop("errors")
        return row | {"error": "\n".join(f"{where}: {what}" for where, what in errors.items()) or None}
