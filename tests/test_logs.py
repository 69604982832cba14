"""docs/aws.md tells what machines can read in logs, as it is declared; and every event declared is one that is logged.

After an intended change: `SCHEMAHUB_UPDATE_GOLDEN=1 pytest tests/test_logs.py`.
"""

from __future__ import annotations

import ast
from pathlib import Path
from typing import get_args

from schemahub_lib.logs import EVENTS, Event
from schemahub_lib.pipeline.runs import METRICS
from schemahub_lib.schemas import RUNS
from tests.pages import assert_declared, table

LIBRARY = Path(__file__).resolve().parents[1] / "schemahub_lib"
FAILURES = ("Failures", "Count", "products that failed, or 1 where the run as a whole did")


def test_the_tables_of_the_page_are_the_declarations() -> None:
    metrics = [(name, unit, RUNS.column(figure).comment) for figure, (name, unit) in METRICS.items()]
    rows = [f"| `{name}` | {unit} | {meaning} |" for name, unit, meaning in (*metrics, FAILURES)]
    events = [f"| `{name}` | {meaning} |" for name, meaning in EVENTS.items()]
    made = {"events": table("| event | |", events), "metrics": table("| metric | unit | |", rows)}
    assert_declared("aws.md", made)


def test_every_event_declared_is_logged_somewhere() -> None:
    logged = {
        node.args[0].value
        for path in LIBRARY.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "event"
        if isinstance(node.args[0], ast.Constant)
    }
    assert logged == EVENTS.keys() == set(get_args(Event))
