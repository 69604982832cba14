"""JSON lines are written a column at a time; what comes out is what a JSON library writes row by row."""

from __future__ import annotations

import json
from datetime import UTC, datetime

from hypothesis import given
from hypothesis import strategies as st

from schemahub_lib.landing.formats import Layout, open_writer
from schemahub_lib.landing.store import Sink
from schemahub_lib.schemas import RAW_PAYLOAD

LAYOUT = Layout("coinbase", {"trade_id": "trade_id", "best": "isBest", "price": "price"}, frozenset({"best"}))
# Above all what could be taken for the end of one JSON string and the start of the next.
TEXTS = st.text(st.sampled_from('",\\{}[]a\n\u2028é'), max_size=6)
ROWS = st.lists(st.tuples(TEXTS, st.sampled_from([True, False, None]), TEXTS | st.none(), TEXTS), min_size=1)


class Memory(Sink):
    """Keeps what is written."""

    def __init__(self) -> None:
        super().__init__()
        self.body = b""

    def _write(self, data: bytes) -> None:
        self.body += data

    def _commit(self) -> None: ...

    def _abort(self) -> None: ...


@given(ROWS, st.booleans())
def test_every_value_is_read_back_as_it_was(rows: list[tuple[str | bool | None, ...]], keep_payload: bool) -> None:
    sink = Memory()
    writer = open_writer(sink, LAYOUT, "jsonl", "none", keep_payload)
    writer.add(
        dict(zip((*LAYOUT.names, RAW_PAYLOAD.name), zip(*rows, strict=True), strict=True)),
        datetime(2025, 12, 15, 10, 30, 50, tzinfo=UTC),
    )
    writer.close()
    own = {"_source": "coinbase", "_source_ingest_ts": "2025-12-15T10:30:50.000000Z"}
    expected = [
        {"trade_id": number, "isBest": best, "price": price, **own, **({"_raw_payload": text} if keep_payload else {})}
        for number, best, price, text in rows
    ]
    lines = sink.body.decode().split("\n")
    assert lines.pop() == ""
    assert [json.loads(line) for line in lines] == expected
    assert [list(json.loads(line)) for line in lines] == [list(record) for record in expected]
