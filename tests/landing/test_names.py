"""A landed object's name says whose it is, and nothing else is taken for one."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from functools import partial

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemahub_lib.landing.names import (
    ObjectName,
    checkpoint_key,
    default_prefix,
    local_checkpoint_key,
    lock_key,
    object_key,
    parse_key,
    watermark_key,
)

WHEN = datetime(2025, 12, 15, 10, 30, 45, 123456, tzinfo=UTC)
OBJECT = "raw/raw_coinbase_trades_BTC-USD_20251215T103045123456Z_123456.jsonl"
# Lone surrogates are in no exchange's JSON and no file's name.
texts = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=30)
names = st.one_of(texts, st.text("_/:%.T0Z-é币", min_size=1, max_size=20))


def test_the_briefs_example() -> None:
    key = object_key(default_prefix("coinbase"), "coinbase", "BTC-USD", WHEN, "123456", ".jsonl")
    assert key == "schemahub/raw_coinbase_trades/raw_coinbase_trades_BTC-USD_20251215T103045123456Z_123456.jsonl"
    assert parse_key(key) == ObjectName(key, "coinbase", "BTC-USD", WHEN, "123456", ".jsonl")


@settings(deadline=None)
@given(
    names,
    names,
    st.datetimes(datetime(1970, 1, 1), datetime(2200, 1, 1), timezones=st.just(UTC)),
    st.sampled_from([".jsonl", ".jsonl.gz", ".jsonl.zst", ".parquet"]),
    st.sampled_from(["a", "a/b_c/d", "schemahub/raw_coinbase_trades"]),
)
def test_every_name_is_read_back(product: str, trade_id: str, when: datetime, suffix: str, prefix: str) -> None:
    key = object_key(prefix, "kraken", product, when, trade_id, suffix)
    assert parse_key(key) == ObjectName(key, "kraken", product, when, trade_id, suffix)
    assert key.count("/") == prefix.count("/") + 1


@pytest.mark.parametrize(("prefix", "folder"), [("raw/", "raw/"), ("/raw", "raw/"), ("", ""), ("/", "")])
def test_a_prefix_may_be_typed_with_slashes_or_be_none(prefix: str, folder: str) -> None:
    assert object_key(prefix, "coinbase", "BTC-USD", WHEN, "123456", ".jsonl") == OBJECT.replace("raw/", folder)
    assert checkpoint_key(prefix, "BTC-USD") == f"{folder}checkpoints/BTC-USD.json"


def test_an_id_made_from_an_old_row_keeps_its_dots() -> None:
    key = object_key("p", "kraken", "XBT/EUR", WHEN, "x1381095255000000-123.5-0.1-sm-0", ".jsonl.gz")
    found = parse_key(key)
    assert found
    assert (found.product, found.trade_id) == ("XBT/EUR", "x1381095255000000-123.5-0.1-sm-0")
    assert "x1381095255000000-123.5-0.1-sm-0.jsonl.gz" in key


def test_times_are_told_in_utc() -> None:
    there = WHEN.astimezone(timezone(timedelta(hours=-5)))
    assert object_key("raw", "coinbase", "BTC-USD", there, "123456", ".jsonl") == OBJECT
    with pytest.raises(ValueError, match="no time zone"):
        object_key("raw", "coinbase", "BTC-USD", WHEN.replace(tzinfo=None), "1", ".jsonl")


@pytest.mark.parametrize("product", ["BTC-USD", "XBT/EUR", "A:B", "币安", "a_b", "..", "../x"])
@pytest.mark.parametrize("place", [checkpoint_key, watermark_key, partial(lock_key, "ingest"), local_checkpoint_key])
def test_what_lies_beside_the_objects_is_one_file_a_product(product: str, place: object) -> None:
    assert callable(place)
    key = place("kraken", product)
    assert key.endswith(".json")
    assert ".." not in key.split("/")
    assert key.count("/") == (3 if isinstance(place, partial) else 2)
    assert parse_key(key) is None


def test_where_progress_is_kept() -> None:
    assert checkpoint_key("p", "BTC-USD") == "p/checkpoints/BTC-USD.json"
    assert watermark_key("p", "BTC-USD") == "p/ingest_checkpoints/BTC-USD.json"
    assert lock_key("p", "ingest", "BTC-USD") == "p/locks/ingest/BTC-USD.json"
    assert local_checkpoint_key("coinbase", "BTC-USD") == "state/BTC-USD.json"
    assert local_checkpoint_key("kraken", "XBT/USD") == "state/kraken/XBT%2FUSD.json"


@pytest.mark.parametrize(
    "key",
    [
        "",
        f"{OBJECT}.corrupt-20251215T103045123456Z",
        f"{OBJECT}.tmp",
        "raw/.schemahub-0123.tmp",
        "raw/.schemahub-lock",
        "raw/checkpoints/BTC-USD.json",
        OBJECT.replace("raw/", "raw/quarantine/"),
        OBJECT.replace("raw/", "raw/locks/"),
        OBJECT.replace("20251215", "20251315"),
        OBJECT.replace("BTC-USD", "BTC:USD"),
        OBJECT.replace("BTC-USD", "BTC%ff"),
        OBJECT.replace(".jsonl", ".csv"),
        OBJECT.replace("_123456.jsonl", ".jsonl"),
        OBJECT + "/more",
        "part-00000.parquet",
    ],
)
def test_what_is_no_landed_object_is_not_taken_for_one(key: str) -> None:
    assert parse_key(key) is None
