"""Options made from rows."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

from schemahub_lib.operations.cells import columns
from schemahub_lib.operations.charts import STATUS_COLOURS, bars, heat_map, lines, stacked_bars, stacks

NOON = datetime(2024, 2, 8, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)


def test_a_line_for_each_name_over_milliseconds_in_utc() -> None:
    rows = [{"at": NOON, "who": "b", "n": 1}, {"at": NOON, "who": "a", "n": 5}, {"at": NOON + HOUR, "who": "b", "n": 2}]
    option = lines("at", "n", "who", "trades")(rows).option
    assert option["useUTC"] is True
    assert {series["name"]: series["data"] for series in option["series"]} == {
        "b": [[1707393600000, 1], [1707397200000, 2]],
        "a": [[1707393600000, 5]],
    }


def test_a_status_has_the_same_colour_in_every_chart() -> None:
    rows = [{"at": NOON, "status": "failed", "n": 1, "audit": "x"}]
    drawn = (stacks("at", "n", "status", "runs")(rows), stacked_bars("audit", "n", "status", "audits")(rows))
    assert [chart.option["series"][0]["itemStyle"]["color"] for chart in drawn] == [STATUS_COLOURS["failed"]] * 2


def test_a_stack_has_a_part_of_each_status_at_each_time_from_good_to_bad() -> None:
    rows = [{"at": NOON, "status": "failed", "n": 1}, {"at": NOON + HOUR, "status": "ok", "n": 4}]
    series = stacks("at", "n", "status", "runs")(rows).option["series"]
    assert [(part["name"], [n for _, n in part["data"]]) for part in series] == [("ok", [0, 4]), ("failed", [1, 0])]


def test_bars_are_in_the_order_of_rows_and_as_high_as_there_are_many() -> None:
    rows = [{"name": f"table {number}", "jsonl_mb": 2.0, "parquet_mb": 1.0} for number in range(9)]
    few, many = (bars("name", ("jsonl_mb", "parquet_mb"), "MB")(part) for part in (rows[:1], rows))
    assert many.option["yAxis"]["data"] == [row["name"] for row in rows]
    assert [series["name"] for series in many.option["series"]] == ["jsonl MB", "parquet MB"]
    assert many.height > few.height


def test_cells_of_a_heat_map_are_places_of_times_and_names() -> None:
    rows = [
        {"hour": NOON + HOUR, "stream": "a", "percent": 99.12345},
        {"hour": NOON, "stream": "b", "percent": 100.0},
    ]
    option = heat_map("hour", "stream", "percent")(rows).option
    assert option["series"][0]["data"] == [[1, 0, 99.123], [0, 1, 100.0]]
    assert option["xAxis"]["data"] == ["02-08 12:00", "02-08 13:00"]


def test_options_are_plain_json_and_tooltips_no_html() -> None:
    rows = [{"hour": NOON, "stream": "<b>", "percent": 1.0}]
    for draw in (heat_map("hour", "stream", "percent"), lines("hour", "percent", "stream", "%")):
        option = draw(rows).option
        assert json.loads(json.dumps(option))["tooltip"]["renderMode"] == "richText"


def test_numbers_of_a_column_have_as_many_decimals_each_and_times_are_utc() -> None:
    east = NOON.astimezone()
    rows = [
        {"size_mb": 1.5, "rows": 12345, "at": east, "why": None},
        {"size_mb": 20.25, "rows": 7, "at": NOON, "why": "x" * 50},
    ]
    told = {column.heading: (column.kind, list(column.cells)) for column in columns(rows)}
    assert told == {
        "size MB": ("number", ["1.50", "20.25"]),
        "rows": ("number", ["12,345", "7"]),
        "at (UTC)": ("", ["2024-02-08 12:00:00"] * 2),
        "why": ("long", ["", "x" * 50]),
    }


def test_without_rows_there_are_no_columns() -> None:
    assert columns([]) == []
