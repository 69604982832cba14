"""How panels are drawn: Apache ECharts options, plain JSON, made from rows.

Names come from exchanges and may hold anything, so no option has HTML: tooltips are drawn within the chart.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

Rows = Sequence[Mapping[str, Any]]

# Told apart by people who see colours unlike others, on white and on black (after Okabe and Ito).
PALETTE = ("#2f7fc1", "#d55e00", "#12936f", "#b8860b", "#b05a92", "#4aa3df", "#8c6d5a", "#7a7f87")
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
            series.append({"name": name, "type": "line", "showSymbol": len(data) <= FEW_POINTS, "data": data})
        return _over_time(series, unit)

    return draw


def stacks(x: str, y: str, by: str, unit: str) -> Draw:
    """A bar at each time `x`, with a part for each status `by`."""

    def draw(rows: Rows) -> Chart:
        series = [
            _part(name, [[_milliseconds(row[x]), row[y]] for row in part]) | {"barMaxWidth": 24, "barMinWidth": 2}
            for name, part in _grouped(rows, by).items()
        ]
        return _over_time(series, unit)

    return draw


def bars(name: str, values: Sequence[str], unit: str) -> Draw:
    """A lying bar for each name and column of `values`, the first on top."""

    def draw(rows: Rows) -> Chart:
        series = [
            {"name": value.replace("_", " "), "type": "bar", "data": [row[value] for row in rows]} for value in values
        ]
        names = [row[name] for row in rows]
        return _lying(series, names, unit, legend=len(values) > 1, bars_each=len(values))

    return draw


def stacked_bars(name: str, value: str, by: str, unit: str) -> Draw:
    """A lying bar for each name, with a part for each value of `by`."""

    def draw(rows: Rows) -> Chart:
        names = list(dict.fromkeys(row[name] for row in rows))
        series = [
            _part(part, [[row[value], row[name]] for row in of_part]) for part, of_part in _grouped(rows, by).items()
        ]
        return _lying(series, names, unit, legend=True)

    return draw


def heat_map(x: str, y: str, percent: str) -> Draw:
    """A cell for each time `x` and name `y`, from 90 percent or less to 100."""

    def draw(rows: Rows) -> Chart:
        times, names = sorted({row[x] for row in rows}), list(dict.fromkeys(row[y] for row in rows))
        cells = [[times.index(row[x]), names.index(row[y]), round(row[percent], 3)] for row in rows]
        option = {
            "tooltip": {"renderMode": "richText"},
            "grid": {"left": 12, "right": 24, "top": 12, "bottom": 76},
            "xAxis": {"type": "category", "data": [f"{time:%m-%d %H:%M}" for time in times]},
            "yAxis": _names(names),
            "visualMap": {
                "min": 90,
                "max": 100,
                "orient": "horizontal",
                "left": "center",
                "bottom": 0,
                "text": ["100 %", "90 % or less"],
                "inRange": {"color": ["#d55e00", "#f0c27b", "#12936f"]},
            },
        }
        return _chart([{"name": "percent", "type": "heatmap", "data": cells}], option, _height(len(names)))

    return draw


def _over_time(series: list[dict[str, Any]], unit: str) -> Chart:
    time_axis = {"type": "time", "axisLabel": {"hideOverlap": True}}
    value_axis = {"type": "value", "name": unit, "nameTextStyle": {"align": "left"}}
    return _chart(series, {"xAxis": time_axis, "yAxis": value_axis}, legend=True)


def _lying(series: list[dict[str, Any]], names: Sequence[str], unit: str, *, legend: bool, bars_each: int = 1) -> Chart:
    value_axis = {"type": "value", "name": unit, "nameLocation": "middle", "nameGap": 26, "splitNumber": 4}
    option = {
        "tooltip": {"trigger": "axis", "axisPointer": {"type": "shadow"}, "renderMode": "richText"},
        "xAxis": value_axis,
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
        "tooltip": {"trigger": "axis", "renderMode": "richText"},
        "legend": {"show": legend, "type": "scroll", "top": 0},
        "grid": {"left": 12, "right": 24, "top": 58 if legend else 12, "bottom": 48},
        "series": series,
    }
    return Chart(common | option, height)


def _height(rows: int) -> int:
    return AXES_HEIGHT + ROW_HEIGHT * rows


def _names(names: Sequence[str]) -> dict[str, Any]:
    label = {"width": 130, "overflow": "truncate", "interval": 0}
    return {"type": "category", "data": names, "inverse": True, "axisLabel": label}


def _part(name: str, data: list[Any]) -> dict[str, Any]:
    colour = {"itemStyle": {"color": STATUS_COLOURS[name]}} if name in STATUS_COLOURS else {}
    return {"name": name.replace("_", " "), "type": "bar", "stack": "all", "data": data} | colour


def _grouped(rows: Rows, by: str) -> dict[str, list[Mapping[str, Any]]]:
    """Rows by a column's values, in the order in which these come."""
    found: dict[str, list[Mapping[str, Any]]] = {}
    for row in rows:
        found.setdefault(row[by], []).append(row)
    return found


def _milliseconds(time: datetime) -> int:
    return int(time.timestamp() * 1000)
