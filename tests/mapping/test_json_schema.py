"""The JSON Schema editors use is the language as it is, and travels with the mappings.

After an intended change: `SCHEMAHUB_UPDATE_GOLDEN=1 pytest tests/mapping/test_json_schema.py`.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path

import pytest
import yaml
from jsonschema import Draft7Validator

from schemahub_lib.errors import MappingError
from schemahub_lib.mapping.json_schema import json_schema
from schemahub_lib.mapping.parser import parse_mapping
from schemahub_lib.schemas import TARGETS, Table
from tests.mapping.test_spec import BINANCE, COINBASE

MAPPINGS = Path(__file__).resolve().parents[2] / "mappings"
FILE = MAPPINGS / "mapping.schema.json"
SHIPPED = sorted(MAPPINGS.glob("*_trades.yaml"))


@pytest.fixture(scope="module")
def validator(raw_tables: Mapping[str, Table]) -> Draft7Validator:
    schema = json_schema(raw_tables, TARGETS)
    Draft7Validator.check_schema(schema)
    return Draft7Validator(schema)


def test_the_published_schema_is_the_language_as_it_is(raw_tables: Mapping[str, Table]) -> None:
    now = json.dumps(json_schema(raw_tables, TARGETS), indent=1, ensure_ascii=False) + "\n"
    if os.environ.get("SCHEMAHUB_UPDATE_GOLDEN"):
        FILE.write_text(now, encoding="utf-8")
    assert FILE.read_text(encoding="utf-8") == now


@pytest.mark.parametrize("file", SHIPPED, ids=lambda file: file.stem)
def test_each_shipped_mapping_names_it_first_and_meets_it(file: Path, validator: Draft7Validator) -> None:
    text = file.read_text(encoding="utf-8")
    assert text.splitlines()[0] == f"# yaml-language-server: $schema={FILE.name}"
    assert list(validator.iter_errors(yaml.safe_load(text))) == []


def test_the_mappings_of_the_brief_meet_it(validator: Draft7Validator) -> None:
    for text in (BINANCE, COINBASE):
        assert list(validator.iter_errors(yaml.safe_load(text))) == []


WHOLE = """
source: raw_coinbase_trades
target_table: trades_unified
description: Coinbase
owner: me
key: [exchange, symbol, trade_id]
mappings: {trade_id: trade_id, product_id: symbol, price: price, time: trade_ts, side: side}
expressions: {quantity: size * 1}
constants: {exchange: COINBASE}
defaults: {side: BUY}
transforms: {side: taker_from_maker}
filters: [price > 0]
on_conflict: update
audits: {positive: warn, price_jump: {severity: block, limit: 2}}
"""


def test_what_the_parser_takes_the_schema_takes(validator: Draft7Validator, raw_tables: Mapping[str, Table]) -> None:
    parse_mapping(WHOLE, "m.yaml", raw_tables)
    assert list(validator.iter_errors(yaml.safe_load(WHOLE))) == []


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("source: raw_coinbase_trades", "source: raw_coinbas_trades"),
        ("source: raw_coinbase_trades", "sourc: raw_coinbase_trades"),
        ("product_id: symbol", "produkt_id: symbol"),
        ("product_id: symbol", "pair: symbol"),  # a column of another source
        ("product_id: symbol", "product_id: symbl"),
        ("exchange: COINBASE", "exchange: [COINBASE]"),
        ("exchange: COINBASE", "ingest_ts: '2024-01-01'"),
        ("side: taker_from_maker", "side: taker_from_makr"),
        ("[price > 0]", "price > 0"),
        ("on_conflict: update", "on_conflict: replace"),
        ("positive: warn", "positiv: warn"),
        ("limit: 2", "limit: 1"),
    ],
)
def test_what_an_editor_marks_the_parser_refuses_too(
    old: str, new: str, validator: Draft7Validator, raw_tables: Mapping[str, Table]
) -> None:
    assert old in WHOLE
    text = WHOLE.replace(old, new, 1)
    assert list(validator.iter_errors(yaml.safe_load(text)))
    with pytest.raises(MappingError):
        parse_mapping(text, "m.yaml", raw_tables)
