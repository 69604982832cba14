from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemahub_lib.exchanges import rows
from schemahub_lib.http.messages import Rejected

values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=4), inner, max_size=4),
    max_leaves=8,
)
arrays = st.lists(values, max_size=6)
layouts = st.sampled_from(
    [{}, {"indent": 4}, {"separators": (",", ":")}, {"indent": "\t", "separators": (" ,", " :\r\n")}]
)


def as_text(value):
    """`value` as `parse` gives it: numbers as their JSON text."""
    return json.loads(json.dumps(value), parse_float=str, parse_int=str)


@given(array=arrays, layout=layouts)
def test_each_row_of_an_array_comes_with_its_own_text(array, layout):
    text = f" {json.dumps(array, **layout)}\n"
    found = rows.parse(text)
    assert [value for value, _ in found] == as_text(array)
    for (_, own), value in zip(found, array, strict=True):
        assert own in text
        assert json.loads(own) == value


@given(before=values, array=arrays, after=values, layout=layouts)
def test_rows_are_found_at_any_depth_and_what_is_around_them_is_plain(before, array, after, layout):
    body = {"before": before, "result": {"rows": array, "last": after if not isinstance(after, list) else None}}
    found = rows.parse(json.dumps(body, **layout), depth=2)
    assert found["before"] == as_text(before) or isinstance(before, dict)
    assert [value for value, _ in found["result"]["rows"]] == as_text(array)


@pytest.mark.parametrize("number", ["0.1000000000000000055511151", "1E+5", "1e-8", "105433.60000", "9007199254740993"])
def test_numbers_keep_their_text(number):
    assert rows.parse(f"[[{number}]]") == [([number], f"[{number}]")]


@pytest.mark.parametrize(
    "text",
    [
        *("", "[", "[1", "[1,", "[1 2]", "[1]]", "[,]", '["a', "[" * 100_000),
        *("{", '{"a"', '{"a":', '{"a":[1]', '{"a" [1]}', '{"a":[1] "b":2}', '{"a":[2]} x'),
        *("<html>", "nul"),
    ],
)
def test_what_is_not_json_is_refused(text):
    for depth in (0, 1):
        with pytest.raises(ValueError, match=r".+"):
            rows.parse(text, depth)


def test_empty_containers_are_fine():
    assert rows.parse("[ ]") == []
    assert rows.parse("{ }", 1) == {}
    assert rows.parse('{"a": []}', 1) == {"a": []}


@pytest.mark.parametrize("text", ["0", "1.5", "-2", "1e-8", "1E+5", "0.00001305", ".5", "5.", "12345678901234567890"])
def test_numbers_are_numbers(text):
    assert rows.number(text, "price") == text


@pytest.mark.parametrize(
    "value", ["", "NaN", "Infinity", "-Infinity", "1_000", " 1", "1,5", "0x1", "1e999", "\u0661", "1\n"]
)
def test_what_is_no_finite_number_is_refused(value):
    with pytest.raises(ValueError, match=r"price is .* not a number"):
        rows.number(value, "price")


@pytest.mark.parametrize("value", [None, True, ["1"], {"a": "1"}])
def test_what_is_no_text_is_no_number(value):
    for check in (rows.number, rows.integer, rows.text):
        if not (check is rows.text and isinstance(value, str)):
            with pytest.raises(ValueError, match="x is "):
                check(value, "x")


@pytest.mark.parametrize("value", ["1.0", "-1", "1e3", "", "1" * 20, "\u0663", "1\n"])
def test_what_is_no_id_is_refused(value):
    with pytest.raises(ValueError, match="not an integer"):
        rows.integer(value, "id")


@pytest.mark.parametrize(
    ("encoding", "text", "microseconds"),
    [
        ("iso8601", "2016-05-12T15:04:30.98209Z", 1463065470_982090),
        ("iso8601", "2016-05-12T15:04:30Z", 1463065470_000000),
        ("iso8601", "2016-05-12T15:04:30.123456789Z", 1463065470_123456),
        ("epoch_ms_or_us", "1775571561875", 1775571561_875000),
        ("epoch_ms_or_us", "1775571561875123", 1775571561_875123),
        ("epoch_s", "1762795433.9717445", 1762795433_971744),
        ("epoch_s", "1557895729.4", 1557895729_400000),
        ("epoch_s", "1557895729", 1557895729_000000),
    ],
)
def test_times_are_cut_to_microseconds(encoding, text, microseconds):
    assert rows.microseconds(text, encoding) == microseconds
    assert rows.time_text(text, encoding) == text


@pytest.mark.parametrize(
    ("encoding", "text"),
    [
        ("iso8601", t)
        for t in ("2016-05-12", "2016-05-12T15:04:30", "2016-02-30T15:04:30Z", "2016-05-12 15:04:30Z", "1463065470")
    ]
    + [("epoch_ms_or_us", t) for t in ("1775571561", "17755715618750", "1775571561.875", "NaN")]
    + [("epoch_s", t) for t in ("1.76e9", "1762795433971", "-1762795433.5", "1762795433.", "NaN", "")],
)
def test_a_time_that_cannot_be_meant_is_refused(encoding, text):
    with pytest.raises(ValueError, match=r".+"):
        rows.time_text(text, encoding)


def test_a_row_is_set_aside_with_the_reason_and_its_own_text():
    def trade(value, text):
        return {"price": rows.number(value["price"], "price")}

    found = rows.parse('[{"price": 1.50}, {"price": null}, {"cost": 1}]')
    assert rows.read(found, trade) == [
        {"price": "1.50"},
        Rejected("price is None, not a number", '{"price": null}'),
        Rejected("price is missing", '{"cost": 1}'),
    ]


def test_a_text_that_cannot_be_stored_is_refused():
    lone_surrogate = rows.parse(r'["\ud800"]')[0][0]
    for value in (lone_surrogate, "\x00", "a\nb"):
        with pytest.raises(ValueError, match="not a printable text"):
            rows.text(value, "misc")
