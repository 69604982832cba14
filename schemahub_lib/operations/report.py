"""The panels as one HTML file, which asks nothing of anybody: ECharts, options, tables and SQL are all in it."""

from __future__ import annotations

import json
import re
from base64 import b64encode
from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from hashlib import sha256
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from schemahub_lib.errors import UsageError

if TYPE_CHECKING:
    from schemahub_lib.operations.look import Look

_POLICY = "default-src 'none'; base-uri 'none'; form-action 'none'; style-src '{style}'; script-src '{script}'"


def report(looks: Sequence[Look], warehouse: str, made_at: datetime) -> str:
    """The page. Raises UsageError without the [ui] extra, which brings ECharts."""
    echarts = _echarts()
    from markupsafe import Markup

    from schemahub_lib.operations.markup import filled, static, table

    style, script = static("report.css"), f"{echarts}\n{static('report.js')}"
    charts = {look.panel.id: asdict(look.chart) for look in looks if look.chart}
    return filled(
        "report.html",
        looks=looks,
        table=table,
        warehouse=warehouse,
        made_at=f"{made_at.astimezone(UTC):%Y-%m-%d %H:%M:%S}",
        policy=_POLICY.format(style=_hash(style), script=_hash(script)),
        style=Markup(style),
        script=Markup(script),
        charts=Markup(json.dumps(charts, allow_nan=False).replace("<", "\\u003c")),
    )


def _hash(text: str) -> str:
    return f"sha256-{b64encode(sha256(text.encode()).digest()).decode()}"


def _echarts() -> str:
    """ECharts as the text of a module in which it is called `echarts`, from where NiceGUI keeps it: a module that
    names it, and one that holds it under a name of its own."""
    nicegui = find_spec("nicegui")
    if nicegui is None or nicegui.origin is None:
        raise UsageError("a report's charts need ECharts, which comes with NiceGUI: pip install 'schemahub[ui]'")
    folder = Path(nicegui.origin).parent / "elements" / "echart" / "dist"
    try:
        named = (folder / "index.js").read_text(encoding="utf-8")
        (inner,) = re.findall(r"([\w$]+) as echarts\b", named)
        (outer,) = re.findall(rf"([\w$]+) as {re.escape(inner)}[,}}]", named)
        (file,) = re.findall(r'from"\./([^"]+)"', named)
        held = (folder / file).read_text(encoding="utf-8")
        (name,) = re.findall(rf"([\w$]+) as {re.escape(outer)}[,}}]", held)
    except (OSError, ValueError) as error:
        raise UsageError(
            "this version of NiceGUI keeps ECharts in another way: install that of 'schemahub[ui]'"
        ) from error
    return f"{held.partition('//# sourceMappingURL=')[0]}\nconst echarts = {name};"
