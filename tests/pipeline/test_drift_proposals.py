"""Drift that was found is turned into proposals: a column, a name and a type for it, and a patch."""

from __future__ import annotations

import ast
import json
from datetime import UTC, datetime, timedelta

import duckdb
import pytest
import sqlglot
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from sqlglot import exp

from schemahub_lib.config import Settings
from schemahub_lib.exchanges.base import Exchange
from schemahub_lib.exchanges.fields import NUMBER, Field
from schemahub_lib.pipeline.drift import Proposal, _column_name, proposals
from schemahub_lib.pipeline.patches import Series, _sent_as
from schemahub_lib.pipeline.unify import mappings_for
from schemahub_lib.quality.drift import Change, Watch, findings
from schemahub_lib.schemas import DRIFT
from schemahub_lib.tables.lake import Lake
from tests.pipeline.payloads import COINBASE, KNOWN, KRAKEN, Other, found_in, page_of, with_field

CONNECTOR = "schemahub_lib/exchanges/coinbase.py"


def proposal_of(lake: Lake, *payloads: str) -> Proposal:
    watch = Watch(COINBASE)
    for payload in payloads:
        watch.page("BTC-USD", page_of(payload))
    watch.settle(lake)
    (proposal,) = proposals(lake, COINBASE)
    return proposal


@pytest.mark.parametrize(
    ("values", "column", "kind"),
    [
        (['"0.5"', '"1e-5"'], "DOUBLE", "NUMBER"),
        (["0.5", "1"], "DOUBLE", "NUMBER"),
        (["12"], "BIGINT", "INTEGER"),
        (["-12"], "DOUBLE", "NUMBER"),
        (["true", "false"], "BOOLEAN", "FLAG"),
        (['"2024-02-08T12:00:00.5Z"'], "TIMESTAMP", "ISO8601"),
        (['"12345678901234567890"'], "STRING", "TEXT"),  # an id: digits alone stay text
        (['"maker"', '"0.5"'], "STRING", "TEXT"),
        (['"maker"', "5"], "STRING", "TEXT"),
        (["null", "true"], "BOOLEAN", "FLAG"),
    ],
)
def test_a_new_field_is_proposed_in_the_narrowest_type_that_takes_its_values(
    lake: Lake, values: list[str], column: str, kind: str
) -> None:
    proposal = proposal_of(lake, *(with_field("extraField", value) for value in values))
    assert proposal.addition is not None
    assert (proposal.addition.column.name, proposal.addition.column.type) == ("extra_field", column)
    assert proposal.declared_as == kind
    assert proposal.alter is not None
    assert " ".join(proposal.alter.split()).startswith(
        f"ALTER TABLE schemahub.schemahub.raw_coinbase_trades ADD COLUMN extra_field {column}"
    )


@pytest.mark.parametrize(
    "payload",
    [
        with_field("nested", '{"a":1}'),
        with_field("listed", "[1]"),
        with_field("nothing", "null"),
        with_field("x'); DROP TABLE y; --"),
        with_field("ключ"),
    ],
)
def test_what_no_column_can_hold_or_be_called_stays_in_the_payload(lake: Lake, payload: str) -> None:
    proposal = proposal_of(lake, payload)
    assert (proposal.addition, proposal.alter, proposal.declared_as) == (None, None, None)
    assert "stays in raw_coinbase_trades._raw_payload" in proposal.advice


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=4), inner, max_size=2),
    max_leaves=4,
)
sly = ["price", "a--b", "x\n--- a/y\n+++ b/y", "select", "_raw_payload"]
keys = st.text(min_size=1, max_size=8) | st.sampled_from(sly)


@pytest.fixture(scope="module")
def settled(tmp_path_factory: pytest.TempPathFactory) -> Lake:
    return Lake(Settings.load(warehouse=str(tmp_path_factory.mktemp("fuzz")), environment={}))


@pytest.mark.slow
@given(extra=st.dictionaries(keys, json_values, min_size=1, max_size=4))
@settings(max_examples=25, deadline=None, phases=[Phase.generate], suppress_health_check=[HealthCheck.too_slow])
def test_whatever_a_feed_sends_is_counted_and_its_proposals_are_well_formed(
    settled: Lake, extra: dict[str, object]
) -> None:
    settled.update_partition(DRIFT, "coinbase", lambda rows: [])
    watch = Watch(COINBASE)
    watch.page("BTC-USD", page_of(json.dumps(json.loads(KNOWN["coinbase"]) | extra)))
    watch.settle(settled)
    found = proposals(settled, COINBASE)
    assert len(found) <= len(extra)
    for proposal in found:
        if proposal.alter is not None:
            (statement,) = sqlglot.parse(proposal.alter, dialect="spark")
            assert isinstance(statement, exp.Alter)
    (spec,) = mappings_for(settled, "trades_unified", ["coinbase"])
    made = {patch.name: patch.text for patch in Series(settled).add(COINBASE, spec, found)}
    raw = made.get("01-coinbase-raw.patch", "")
    touched = [line for line in raw.splitlines() if line.startswith(("--- ", "+++ "))]
    assert touched in ([], [f"--- a/{CONNECTOR}", f"+++ b/{CONNECTOR}"])


@pytest.mark.parametrize("field", ["product_id", "select", "order", "group", "to"])
def test_a_new_field_called_like_a_column_or_a_word_of_sql_gets_another_name(lake: Lake, field: str) -> None:
    proposal = proposal_of(lake, with_field(field))
    assert proposal.addition is not None
    assert (proposal.addition.column.name, proposal.addition.path) == (f"payload_{field}", f"$.{field}")


def test_no_word_is_proposed_that_duckdb_wants_quoted() -> None:
    for (word,) in duckdb.sql("SELECT DISTINCT keyword_name FROM duckdb_keywords()").fetchall():
        name = _column_name(word, ())
        assert duckdb.sql(f'SELECT {name} FROM (SELECT 1 AS "{name}") WHERE {name} > 0').fetchall() == [(1,)]


def aged(lake: Lake, **changed: object) -> Proposal:
    """The proposal, when the ledger's only row has other figures."""
    lake.update_partition(DRIFT, "coinbase", lambda rows: [{**row, **changed} for row in rows])
    (proposal,) = proposals(lake, COINBASE)
    return proposal


def test_confidence_follows_how_often_how_long_and_how_uniformly_it_was_seen(lake: Lake) -> None:
    assert proposal_of(lake, with_field("fee")).confidence == "low"
    often = {"count": 40, "looked_at": 40}
    assert aged(lake, **often).confidence == "medium"
    assert aged(lake, **often, first_seen=datetime.now(UTC) - timedelta(days=3)).confidence == "high"
    assert aged(lake, count=15, looked_at=40).confidence == "low"
    both = proposal_of(lake, with_field("fee", "5"))
    assert both.confidence == "low"
    assert "as integer and string" in both.evidence


def test_a_required_field_that_is_gone_and_one_that_cannot_be_read_say_where_their_trades_are(lake: Lake) -> None:
    watch = Watch(COINBASE)
    watch.page("BTC-USD", page_of(rejected=(KNOWN["coinbase"].replace(',"side":"sell"', ""),)))
    watch.page("BTC-USD", page_of(rejected=(KNOWN["coinbase"].replace('"0.01"', "[]"),)))
    watch.settle(lake)
    side, size = proposals(lake, COINBASE)
    assert [side.field, size.field] == ["side", "size"]
    for proposal in (side, size):
        assert "schemahub_quarantine" in proposal.advice
        assert proposal.declared_as is None


def patched(lake: Lake, exchange: Exchange = COINBASE) -> str:
    """What the connector's patch adds."""
    patch = Series(lake).add(exchange, None, proposals(lake, exchange))[0]
    return "\n".join(line[1:].strip() for line in patch.text.splitlines() if line.startswith("+") and line[1] != "+")


def test_fields_that_would_be_called_alike_get_names_of_their_own(lake: Lake) -> None:
    watch = Watch(COINBASE)
    watch.page("BTC-USD", page_of(with_field("makerFee"), with_field("maker_fee"), with_field("maker-fee")))
    watch.page("BTC-USD", page_of(with_field("maker_fee")))
    watch.settle(lake)
    columns = [proposal.addition.column.name for proposal in proposals(lake, COINBASE) if proposal.addition]
    assert columns == ["maker_fee", "payload_maker_fee", "payload_payload_maker_fee"]
    assert patched(lake).count("Column(") == 3


def test_a_field_of_whole_and_other_numbers_is_declared_as_a_number(lake: Lake) -> None:
    watch = Watch(COINBASE)
    watch.page("BTC-USD", page_of(with_field("fee", "1"), with_field("fee", "0.5")))
    watch.settle(lake)
    assert 'Field("fee", "fee", NUMBER, optional=True' in patched(lake)
    assert 'json="number")' in patched(lake)


class Declared(type(COINBASE)):  # type: ignore[misc]
    fields = (*COINBASE.fields[:1], Field("price", "price", NUMBER, json="number"), *COINBASE.fields[2:])


def test_a_field_that_is_retyped_again_is_declared_once() -> None:
    source = 'fields = (\n    Field("price", "price", NUMBER, json="number", optional=True),\n)\n'
    (call,) = ast.parse(source).body[0].value.elts  # type: ignore[attr-defined]
    assert _sent_as(source, call, "string") == source.replace('"number"', '"string"')
    assert found_in(Declared(), KNOWN["coinbase"]) == {Change("price", "retyped", "number", "string"): '"10.00"'}


class Wider(type(KRAKEN)):  # type: ignore[misc]
    fields = (*KRAKEN.fields, Field("[8]", "member_8", NUMBER, optional=True))


def test_members_of_an_array_are_known_by_their_place() -> None:
    assert found_in(Wider(), KNOWN["kraken"].replace(",7]", ',7,"0.1","0.2"]')) == {
        Change("[7]", "new", None, "string"): '"0.1"'
    }


def test_a_finding_is_closed_once_the_connector_knows_of_it(lake: Lake) -> None:
    proposal_of(lake, with_field("maker_fee"))
    assert findings(lake, Other()) == []


def test_the_samples_of_a_finding_are_few(lake: Lake) -> None:
    proposal = proposal_of(lake, *(with_field("fee", str(number)) for number in range(20)))
    assert len(proposal.samples) == 5
    assert proposal.count == 20
