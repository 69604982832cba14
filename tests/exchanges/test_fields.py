from __future__ import annotations

import pytest

from schemahub_lib.exchanges import fields

KINDS = {"iso8601": fields.ISO8601, "epoch_ms_or_us": fields.EPOCH_MS_OR_US, "epoch_s": fields.EPOCH_S}


@pytest.mark.parametrize("text", ["0", "1.5", "-2", "1e-8", "1E+5", "0.00001305", ".5", "5.", "12345678901234567890"])
def test_numbers_are_numbers(text):
    assert fields.number(text, "price") == text


@pytest.mark.parametrize(
    "value", ["", "NaN", "Infinity", "-Infinity", "1_000", " 1", "1,5", "0x1", "1e999", "\u0661", "1\n"]
)
def test_what_is_no_finite_number_is_refused(value):
    with pytest.raises(ValueError, match=r"price is .* not a number"):
        fields.number(value, "price")


@pytest.mark.parametrize("value", [None, True, ["1"], {"a": "1"}])
def test_what_is_no_text_is_no_number(value):
    for check in (fields.number, fields.integer, fields.text):
        if not (check is fields.text and isinstance(value, str)):
            with pytest.raises(ValueError, match="x is "):
                check(value, "x")


@pytest.mark.parametrize("value", ["1.0", "-1", "1e3", "", "1" * 20, "\u0663", "1\n"])
def test_what_is_no_id_is_refused(value):
    with pytest.raises(ValueError, match="not an integer"):
        fields.integer(value, "id")


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
    assert fields.microseconds(text, encoding) == microseconds
    assert KINDS[encoding].read(text, "time") == text


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
        KINDS[encoding].read(text, "time")


def test_a_text_that_cannot_be_stored_is_refused():
    for value in ("\ud800", "\x00", "a\nb"):
        with pytest.raises(ValueError, match="not a printable text"):
            fields.text(value, "misc")
