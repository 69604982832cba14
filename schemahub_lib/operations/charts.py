"""How panels are drawn: Apache ECharts options, plain JSON, made from rows.

Names come from exchanges and may hold anything, so no option has HTML: tooltips are drawn within the chart. They are
for ECharts' SVG renderer, which takes words in the `color` of the page around them, light or dark.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

Rows = Sequence[Mapping[str, Any]]

# Told apart by people who see colours unlike others, on white and on black (after Okabe and Ito).
PALETTE = ("#2f7fc1", "#d55e00", "#12936f", "#b8860b", "#b05a92", "#4aa3df", "#8c6d5a", "#7a7f87")
# From good to bad, as they are stacked.
STATUS_COLOURS = {
    "ok": "#12936f",
    "passed": "#12936f",
    "nothing_new": "#7a7f87",
    "partial": "#b8860b",
    "warned": "#b8860b",
    "failed": "#d55e00",
    "blocked": "#d55e00",
    "interrupted": "#b05a92",
}
INK = {"color": "currentColor"}
LINE = {"color": "rgba(128, 128, 128, 0.35)"}
TOOLTIP = {"trigger": "axis", "renderMode": "richText", "backgroundColor": "#22303d", "textStyle": {"color": "#ffffff"}}
HEIGHT = 280  # of a chart, in pixels
ROW_HEIGHT = 22  # of a name in one that has a row for each
AXES_HEIGHT = 90
FEW_POINTS = 30  # a line of no more has a mark at each


@dataclass(frozen=True)
class Chart:
    """An ECharts option, and how high it is drawn in pixels."""

    option: dict[str, Any]
    height: int = HEIGHT


Draw = Callable[[Rows], Chart]


def lines(x: str, y: str, by: str, unit: str) -> Draw:
    """A line for each value of `by` over the times `x`; `unit` says what `y` is."""

    def draw(rows: Rows) -> Chart:
        series = []
        for name, part in _grouped(rows, by).items():
            data = [[_milliseconds(row[x]), row[y]] for row in part]
            series.append(
                {"name": name, "type": "line", "symbol": "circle", "showSymbol": len(data) <= FEW_POINTS, "data": data}
            )
        return _over_time(series, unit)

    return draw


def stacks(x: str, y: str, by: str, unit: str) -> Draw:
    """A bar at each time `x`, with a part for each status `by`."""

    def draw(rows: Rows) -> Chart:
        times = sorted({row[x] for row in rows})
        series = []
        for name, part in _by_status(rows, by):
            found = {row[x]: row[y] for row in part}
            # A part of each bar, if only of 0: ECharts stacks those of a time by their place.
            data = [[_milliseconds(time), found.get(time, 0)] for time in times]
            series.append(_part(name, data) | {"barMaxWidth": 24, "barMinWidth": 2})
        return _over_time(series, unit)

    return draw


def bars(name: str, values: Sequence[str], unit: str) -> Draw:
    """A lying bar for each name and column of `values`, the first on top."""

    def draw(rows: Rows) -> Chart:
        series = [{"name": words(value), "type": "bar", "data": [row[value] for row in rows]} for value in values]
        names = [row[name] for row in rows]
        return _lying(series, names, unit, legend=len(values) > 1, bars_each=len(values))

    return draw


def stacked_bars(name: str, value: str, by: str, unit: str) -> Draw:
    """A lying bar for each name, with a part for each value of `by`."""

    def draw(rows: Rows) -> Chart:
        names = list(dict.fromkeys(row[name] for row in rows))
        series = [_part(part, [[row[value], row[name]] for row in found]) for part, found in _by_status(rows, by)]
        return _lying(series, names, unit, legend=True)

    return draw


def heat_map(x: str, y: str, percent: str) -> Draw:
    """A cell for each time `x` and name `y`, from 90 percent or less to 100."""

    def draw(rows: Rows) -> Chart:
        times, names = sorted({row[x] for row in rows}), list(dict.fromkeys(row[y] for row in rows))
        cells = [[times.index(row[x]), names.index(row[y]), round(row[percent], 3)] for row in rows]
        option = {
            "tooltip": TOOLTIP | {"trigger": "item"},
            "grid": {"left": 12, "right": 24, "top": 12, "bottom": 70},
            "xAxis": _axis("category", data=[f"{time:%m-%d %H:%M}" for time in times]),
            "yAxis": _names(names),
            "visualMap": {
                "min": 90,
                "max": 100,
                "orient": "horizontal",
                "left": "center",
                "bottom": 0,
                "text": ["100 %", "90 % or less"],
                "textStyle": INK,
                "inRange": {"color": ["#d55e00", "#f0c27b", "#12936f"]},
            },
        }
        border = {"borderWidth": 1, "borderColor": LINE["color"]}
        series = [{"name": "percent", "type": "heatmap", "data": cells, "itemStyle": border}]
        return _chart(series, option, _height(len(names)))

    return draw


def words(column: str) -> str:
    """A column's name for people."""
    return column.replace("_mb", "_MB").replace("_", " ")


def _over_time(series: list[dict[str, Any]], unit: str) -> Chart:
    option = {
        "grid": {"left": 12, "right": 24, "top": 58, "bottom": 28},
        "xAxis": _axis("time", axisLabel=INK | {"hideOverlap": True}),
        "yAxis": _axis("value", name=unit, nameTextStyle=INK | {"align": "left"}),
    }
    return _chart(series, option, legend=True)


def _lying(series: list[dict[str, Any]], names: Sequence[str], unit: str, *, legend: bool, bars_each: int = 1) -> Chart:
    option = {
        "tooltip": TOOLTIP | {"axisPointer": {"type": "shadow"}},
        "grid": {"left": 12, "right": 24, "top": 34 if legend else 8, "bottom": 34},
        "xAxis": _axis("value", name=unit, nameLocation="middle", nameGap=26, splitNumber=4),
        "yAxis": _names(names),
    }
    return _chart(series, option, _height(len(names) * bars_each), legend=legend)


def _chart(
    series: list[dict[str, Any]], option: dict[str, Any], height: int = HEIGHT, *, legend: bool = False
) -> Chart:
    common = {
        "useUTC": True,
        "animation": False,
        "backgroundColor": "transparent",
        "color": PALETTE,
        "tooltip": TOOLTIP,
        "legend": {"show": legend, "type": "scroll", "top": 0, "textStyle": INK, "pageTextStyle": INK},
        "series": series,
    }
    return Chart(common | option, height)


def _axis(kind: str, **more: Any) -> dict[str, Any]:
    lines = {"axisLine": {"lineStyle": LINE}, "splitLine": {"show": kind == "value", "lineStyle": LINE}}
    return {"type": kind, "axisLabel": INK, "nameTextStyle": INK} | lines | more


def _height(rows: int) -> int:
    return AXES_HEIGHT + ROW_HEIGHT * rows


def _names(names: Sequence[str]) -> dict[str, Any]:
    label = INK | {"width": 130, "overflow": "truncate", "interval": 0}
    return _axis("category", data=names, inverse=True, axisLabel=label)


def _part(name: str, data: list[Any]) -> dict[str, Any]:
    colour = {"itemStyle": {"color": STATUS_COLOURS[name]}} if name in STATUS_COLOURS else {}
    return {"name": words(name), "type": "bar", "stack": "all", "data": data} | colour


def _grouped(rows: Rows, by: str) -> dict[str, list[Mapping[str, Any]]]:
    """Rows by a column's values, in the order in which these come."""
    found: dict[str, list[Mapping[str, Any]]] = {}
    for row in rows:
        found.setdefault(row[by], []).append(row)
    return found


def _by_status(rows: Rows, by: str) -> list[tuple[str, list[Mapping[str, Any]]]]:
    """Rows by a column's values: statuses from good to bad, others in the order in which they come."""
    order = list(STATUS_COLOURS)
    return sorted(_grouped(rows, by).items(), key=lambda part: order.index(part[0]) if part[0] in order else -1)


def _milliseconds(time: datetime) -> int:
    return int(time.timestamp() * 1000)
