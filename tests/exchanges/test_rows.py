from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemahub_lib.exchanges import EXCHANGES, rows
from schemahub_lib.exchanges.fields import EPOCH_MS_OR_US, FLAG, INTEGER, ISO8601, NUMBER, Field, one_of
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


def test_a_row_is_set_aside_with_the_reason_and_its_own_text():
    found = rows.read_page('[{"price": 1.50}, {"price": null}, {"cost": 1}, 7]', (Field("price", "cost", NUMBER),))
    reasons = ("price is None, not a number", "price is missing", "the row is not an object")
    payloads = ('{"price": null}', '{"cost": 1}', "7")
    assert found.columns["cost"] == ["1.50", None, None, None]
    assert found.rejected == {n: Rejected(*told) for n, told in enumerate(zip(reasons, payloads, strict=True), start=1)}
    page = found.page("9")
    assert page.records == [{"cost": "1.50", "_raw_payload": '{"price": 1.50}'}]
    assert page.rejected == list(found.rejected.values())


FIELDS = (
    Field("n", "number", NUMBER),
    Field("i", "id", INTEGER),
    Field("t", "time", ISO8601),
    Field("e", "epoch", EPOCH_MS_OR_US),
    Field("f", "flag", FLAG, optional=True),
    Field("s", "side", one_of({"buy": "BUY", "sell": "SELL"})),
)
# For each field values of every sort: good, nearly good, of another type. As JSON text.
quoted = {
    "n": ["1.50", "-0.1", "1e-8", "1E999", ".5", "5.", "", "NaN", "1_0", " 1", "1,5"],
    "i": ["7", "007", "1" * 20, "-1", "1.0", ""],
    "t": [
        *("2024-03-13T11:00:17.123456Z", "2016-02-29T00:00:00Z", "2015-02-29T00:00:00Z", "2016-04-31T00:00:00Z"),
        *("2016-12-31T23:59:60Z", "2016-05-12T15:04:30", "2016-05-12T24:00:00Z", "1899-01-01T00:00:00Z", "soon"),
    ],
    "e": ["1775571561875", "1775571561875123", "0775571561875", "1775571561"],
    "f": ["true"],
    "s": ["buy", "sell", "BUY", "buyer", ""],
}
bare = {
    "n": ["1.50", "-0.1", "1e-8", "0", "00", "NaN", "null", "1.", "true", "{}", "[1]"],
    "i": ["7", "0", "07", "-1", "1.0", "null"],
    "t": ["null", "1"],
    "e": ["1775571561875", "1775571561875123", "0775571561875", "1.7e12"],
    "f": ["true", "false", "null", "0", "True"],
    "s": ["null", "buy"],
    "x": ["1", "null", '"any, {thing}"', r'"a \" b"', "[1]", "NaN", '"\x01"'],
}
members = st.fixed_dictionaries(
    {
        key: st.sampled_from([f'"{text}"' for text in quoted.get(key, [])] + bare[key])
        | st.just(f'"{quoted[key][0]}"' if key in quoted and key != "f" else bare[key][0])
        for key in "nites"
    },
    optional={key: st.sampled_from([f'"{text}"' for text in quoted.get(key, [])] + bare[key]) for key in "fx"},
)
good = st.sampled_from(
    [
        '{"i":7,"n":"1.50","t":"2024-03-13T11:00:17.123456Z","e":1775571561875,"f":true,"s":"buy"}',
        '{"i":8,"n":"0.25","t":"2016-10-30T00:00:00Z","e":1775571561875123,"f":false,"s":"sell"}',
    ]
)


@st.composite
def pages(draw):
    """Pages as they come: mostly good rows of one shape, and now and then anything else."""
    space = draw(st.sampled_from(["", "", "", " ", "\n"]))

    def a_row():
        if draw(st.integers(0, 3)):
            return draw(good)
        held = draw(members)
        order = draw(st.permutations(list(held)))
        return "{" + f",{space}".join(f'"{key}":{space}{held[key]}' for key in order) + "}"

    found = [a_row() for _ in range(draw(st.integers(0, 5)))]
    text = draw(
        st.sampled_from(["[%s]", "[%s]", "[%s]", " [%s]\n", "[%s", "[%s]]", "[%s,]", "[%s,", "%s", "\u00a0[%s]"])
    )
    return text.replace("%s", f",{space}".join(found))


@settings(max_examples=500)
@given(text=pages())
def test_a_page_read_at_once_is_what_it_is_row_by_row(text):
    try:
        found = rows.parse(text)
        by_row = rows.read(found, FIELDS) if isinstance(found, list) else None
    except ValueError:
        by_row = None
    if by_row is None:
        with pytest.raises(ValueError, match=r".+"):
            rows.read_page(text, FIELDS)
    else:
        at_once = rows.read_page(text, FIELDS)
        assert {name: list(values) for name, values in at_once.columns.items()} == by_row.columns
        assert at_once.rejected == by_row.rejected


def test_what_the_exchanges_send_is_read_at_once():
    """Or else nobody would notice that it is not, but for the time it takes."""
    coinbase = '{"time":"2016-05-12T15:04:30.98Z","trade_id":8,"price":"453.30000000","size":"0.04","side":"buy"}'
    today = '{"trade_id":9,"side":"sell","size":"0.01","price":"72666.00","time":"2024-03-13T11:00:17.123456Z"}'
    binance = (
        '{"id":28457,"price":"0.88780000","qty":"95.00000000","quoteQty":"84.34100000","time":1525447926543,'
        '"isBuyerMaker":false,"isBestMatch":true}'
    )
    for exchange, row in (("coinbase", coinbase), ("coinbase", today), ("binance", binance)):
        found = rows._read_at_once(f"[{row},{row}]", EXCHANGES[exchange].fields)
        assert found is not None
        assert list(found.columns["_raw_payload"]) == [row, row]


def test_rows_are_cut_turned_and_joined_together_with_those_set_aside():
    found = rows.read_page('[{"n":1},{"n":2},{"m":3},{"n":4}]', (Field("n", "n", NUMBER),))
    turned = found[::-1]
    assert turned.columns["n"] == ["4", None, "2", "1"]
    assert list(turned.rejected) == [1]
    assert list(found[2:].rejected) == [0]
    assert found[:2].rejected == {}
    both = rows.joined([found[:2], found[2:]])
    assert (both.columns, both.rejected) == (found.columns, found.rejected)
    assert list(rows.joined([found, found]).rejected) == [2, 6]
    assert found.only([0, 2]).columns["n"] == ["1", None]
