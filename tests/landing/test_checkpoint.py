"""Checkpoints: exact formats, one writer wins, and nothing damaged is ever taken for a checkpoint."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import pytest

from schemahub_lib.errors import CheckpointCorrupt, Conflict
from schemahub_lib.landing.checkpoints import Checkpoint, Checkpoints
from schemahub_lib.landing.local import LocalStore
from schemahub_lib.landing.names import checkpoint_key, local_checkpoint_key, watermark_key

WHEN = datetime(2025, 12, 15, 10, 30, 45, 123456, tzinfo=UTC)
CHECKPOINT = Checkpoint("12345678", 1_000_000, WHEN, {"source": "coinbase", "product": "BTC-USD", "position": 5})


@pytest.fixture
def store(tmp_path: Path) -> LocalStore:
    return LocalStore.make(str(tmp_path))


def checkpoints(store: LocalStore, source: str = "coinbase") -> Checkpoints:
    return Checkpoints(store, source, partial(checkpoint_key, "p"))


def file_of(store: LocalStore) -> Path:
    return Path(store.uri) / "p" / "checkpoints" / "BTC-USD.json"


def test_a_file_has_the_briefs_fields_as_it_has_them(store: LocalStore) -> None:
    checkpoints(store).save("BTC-USD", CHECKPOINT)
    document = json.loads(file_of(store).read_text())
    assert document["last_trade_id"] == 12345678
    assert document["trades_processed"] == 1_000_000
    assert document["last_updated"] == "2025-12-15T10:30:45.123456Z"
    assert document["checksum"].startswith("sha256:")


def test_what_was_saved_is_loaded(store: LocalStore) -> None:
    for checkpoint in (
        CHECKPOINT,
        Checkpoint("x1381095255000000-122-0.1-bl-0", None, WHEN, {"tail": ["a", "b"]}),
        Checkpoint("007", 0, WHEN),
    ):
        kept = checkpoints(store)
        kept.load("BTC-USD")
        kept.save("BTC-USD", checkpoint)
        assert checkpoints(store).load("BTC-USD") == checkpoint


def test_there_is_none_before_the_first(store: LocalStore) -> None:
    assert checkpoints(store).load("BTC-USD") is None


def test_checkpoints_of_the_first_version_of_this_tool_are_read(store: LocalStore) -> None:
    file_of(store).parent.mkdir(parents=True)
    file_of(store).write_text(
        '{ "last_trade_id": 12345678, "trades_processed": 1000000, "last_updated": "2025-12-15T10:30:45.123456Z" }'
    )
    assert checkpoints(store).load("BTC-USD") == Checkpoint("12345678", 1_000_000, WHEN)
    file_of(store).write_text('{"last_trade_id": 1, "last_updated": "2025-12-15T10:30:45Z"}')
    assert checkpoints(store).load("BTC-USD") == Checkpoint("1", None, WHEN.replace(microsecond=0))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "null",
        "[]",
        '{"last_trade_id": -1, "trades_processed": 1, "last_updated": "2025-12-15T10:30:45Z"}',
        '{"last_trade_id": 1.5, "trades_processed": 1, "last_updated": "2025-12-15T10:30:45Z"}',
        '{"last_trade_id": true, "trades_processed": 1, "last_updated": "2025-12-15T10:30:45Z"}',
        '{"last_trade_id": 1, "trades_processed": "many", "last_updated": "2025-12-15T10:30:45Z"}',
        '{"last_trade_id": 1, "trades_processed": 1, "last_updated": "yesterday"}',
        '{"trades_processed": 1, "last_updated": "2025-12-15T10:30:45Z"}',
        '{"last_trade_id": 1, "trades_processed": 1, "last_updated": "2025-12-15T10:30:45Z", "position": 3}',
    ],
)
def test_what_is_no_checkpoint_is_set_aside_with_its_reason(store: LocalStore, text: str) -> None:
    file_of(store).parent.mkdir(parents=True)
    file_of(store).write_text(text)
    kept = checkpoints(store)
    with pytest.raises(CheckpointCorrupt, match=r"is no checkpoint of BTC-USD \(.*\); it is now .*corrupt-2"):
        kept.load("BTC-USD")
    (aside,) = file_of(store).parent.glob("*.corrupt-*")
    assert aside.read_text() == text
    with pytest.raises(CheckpointCorrupt, match="is missing since it was set aside"):
        checkpoints(store).load("BTC-USD")
    kept.save("BTC-USD", CHECKPOINT)
    assert checkpoints(store).load("BTC-USD") == CHECKPOINT


@pytest.mark.parametrize(("source", "product"), [("binance", "BTC-USD"), ("coinbase", "ETH-USD")])
def test_anothers_checkpoint_is_not_taken(store: LocalStore, source: str, product: str) -> None:
    checkpoints(store).save("BTC-USD", CHECKPOINT)
    theirs = file_of(store).with_name(f"{product}.json")
    if theirs != file_of(store):
        theirs.write_text(file_of(store).read_text())
    with pytest.raises(CheckpointCorrupt, match="it is of"):
        checkpoints(store, source).load(product)


def test_a_file_cut_off_anywhere_or_with_any_byte_changed_is_never_another_checkpoint(store: LocalStore) -> None:
    checkpoints(store).save("BTC-USD", CHECKPOINT)
    whole = file_of(store).read_bytes()
    damaged = [whole[:length] for length in range(len(whole))]
    damaged += [whole[:at] + bytes([whole[at] ^ bit]) + whole[at + 1 :] for at in range(len(whole)) for bit in (1, 32)]
    for body in damaged:
        file_of(store).write_bytes(body)
        try:
            found = checkpoints(store).load("BTC-USD")
        except CheckpointCorrupt:
            continue
        assert found == CHECKPOINT, body


def test_of_two_writers_the_second_stops_and_overwrites_nothing(store: LocalStore) -> None:
    one, two = checkpoints(store), checkpoints(store)
    assert one.load("BTC-USD") is None
    assert two.load("BTC-USD") is None
    one.save("BTC-USD", CHECKPOINT)
    with pytest.raises(Conflict, match=r"BTC-USD: another run has moved .*BTC-USD.json meanwhile"):
        two.save("BTC-USD", Checkpoint("1", 1, WHEN))
    one.save("BTC-USD", Checkpoint("2", 2, WHEN))
    assert checkpoints(store).load("BTC-USD") == Checkpoint("2", 2, WHEN)


def test_each_kind_of_checkpoint_has_its_place() -> None:
    assert watermark_key("p/q", "BTC-USD") == "p/q/ingest_checkpoints/BTC-USD.json"
    assert checkpoint_key("p/q", "XBT/USD") == "p/q/checkpoints/XBT%2FUSD.json"
    assert local_checkpoint_key("coinbase", "BTC-USD") == "state/BTC-USD.json"
    assert local_checkpoint_key("kraken", "XBTUSD") == "state/kraken/XBTUSD.json"
