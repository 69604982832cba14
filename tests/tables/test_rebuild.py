"""Watermarks whose files are lost are read again from the rows."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest

from schemahub_lib.errors import SchemaHubError
from schemahub_lib.exchanges import EXCHANGES
from schemahub_lib.tables import rebuild as rebuilding
from schemahub_lib.tables.batches import to_arrow
from schemahub_lib.tables.lake import Lake
from schemahub_lib.tables.raw import Fetched, append_raw
from schemahub_lib.tables.rebuild import current_state
from schemahub_lib.tables.state import State
from schemahub_lib.watermark import Watermark

BINANCE = EXCHANGES["binance"]


def trades(first: int, last: int, start: Watermark | None = None) -> Fetched:
    numbers = range(first, last + 1)
    columns = {
        **{name: ["1.5" for _ in numbers] for name in ("price", "qty", "quote_qty")},
        "id": [str(number) for number in numbers],
        "symbol": ["BTCUSDT" for _ in numbers],
        "time": [str(1707405124_000 + number) for number in numbers],
        "is_buyer_maker": [True for _ in numbers],
        "is_best_match": [True for _ in numbers],
        "_raw_payload": ["{}" for _ in numbers],
    }
    rows, unfit = to_arrow(BINANCE.raw_table, columns, source="binance", fetched_at=datetime(2026, 1, 5, tzinfo=UTC))
    assert not unfit
    return Fetched(rows, start, str(last))


def ids(lake: Lake) -> list[int]:
    table = lake.find(BINANCE.raw_table.name)
    assert table is not None
    return sorted(int(i) for i in table.scan(selected_fields=("id",)).to_arrow()["id"].to_pylist())


@pytest.fixture
def forgetful(lake: Lake) -> Lake:
    """A lake with trades 1 to 5 whose state file is lost."""
    lake.ensure(BINANCE.raw_table)
    append_raw(lake, BINANCE.raw_table, "run", {"BTCUSDT": trades(1, 5)})
    for file in Path(lake.settings.warehouse).rglob("_schemahub/*.json"):
        file.unlink()
    return lake


def test_a_lost_state_is_read_from_the_rows_and_marked_again(forgetful: Lake) -> None:
    stream = current_state(forgetful, BINANCE).streams["BTCUSDT"]
    assert (stream.watermark.last_trade_id, stream.covered) == ("5", ((1, 5),))
    append_raw(forgetful, BINANCE.raw_table, "run", {"BTCUSDT": trades(6, 9, stream.watermark)})
    assert ids(forgetful) == list(range(1, 10))


def test_a_rebuild_that_another_run_overtakes_is_refused_and_doubles_nothing(
    forgetful: Lake, make_lake: Callable[..., Lake], monkeypatch: pytest.MonkeyPatch
) -> None:
    original, rival = rebuilding.rebuild, make_lake()

    def overtaken(*arguments: object) -> State:
        state = original(*arguments)  # type: ignore[arg-type]
        monkeypatch.setattr(rebuilding, "rebuild", original)
        theirs = current_state(rival, BINANCE).streams["BTCUSDT"].watermark
        append_raw(rival, BINANCE.raw_table, "rival", {"BTCUSDT": trades(6, 9, theirs)})
        return state

    monkeypatch.setattr(rebuilding, "rebuild", overtaken)
    with pytest.raises(SchemaHubError, match="another run is writing while watermarks are rebuilt"):
        current_state(forgetful, BINANCE)
    watermark = current_state(forgetful, BINANCE).streams["BTCUSDT"].watermark
    assert watermark.last_trade_id == "9"
    append_raw(forgetful, BINANCE.raw_table, "we", {"BTCUSDT": trades(6, 10, watermark)})
    assert ids(forgetful) == list(range(1, 11))
