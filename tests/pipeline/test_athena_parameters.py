"""What somebody enters on a page reaches Athena as one literal, whatever is in it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

from hypothesis import given
from hypothesis import strategies as st
from sqlglot.dialects.trino import Trino
from sqlglot.tokens import TokenType

from schemahub_lib.pipeline.athena import literal


@given(st.text(st.characters(codec="utf-8")) | st.text("'\\\\\"-/*;? \n"))
def test_a_text_is_one_literal_that_says_it(text: str) -> None:
    (token,) = Trino().tokenize(literal(text))
    assert (token.token_type, token.text) == (TokenType.STRING, text)


def test_a_time_is_told_in_utc_to_the_microsecond() -> None:
    moment = datetime(2024, 2, 8, 16, 12, 4, 7, timezone(timedelta(hours=1)))
    assert literal(moment) == literal(moment.astimezone(UTC)) == "TIMESTAMP '2024-02-08 15:12:04.000007 UTC'"


def test_numbers_are_told_as_they_are() -> None:
    assert [literal(value) for value in (7, -7, 0.1)] == ["7", "-7", "0.1"]
