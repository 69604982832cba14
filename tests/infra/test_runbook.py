"""docs/aws.md says of every alarm what it means and what to do."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import hcl2

ROOT = Path(__file__).resolve().parents[2]
ALARMS = ROOT / "infra" / "modules" / "alarms"


def declared(file: str) -> dict[str, Any]:
    with (ALARMS / file).open() as text:
        found: dict[str, Any] = hcl2.load(text)
    return found


def test_every_alarm_has_its_line() -> None:
    (metrics,), (logs,) = declared("metrics.tf")["locals"], declared("logs.tf")["locals"]
    alarms = [*metrics["rules"], "volume", *logs["findings"], "budget", "job or task failed"]
    assert {"stale", "failing", "quarantine", "errors", "out_of_memory"} <= set(alarms)
    page = (ROOT / "docs" / "aws.md").read_text(encoding="utf-8")
    lines = [line.split("|")[1] for line in page.partition("## When an alarm comes")[2].splitlines() if "|" in line]
    assert [alarm for alarm in alarms if not any(alarm in line for line in lines)] == []
