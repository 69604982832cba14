"""Makes bulk files of trades as the exchanges publish them, damages them, and reads them."""

from __future__ import annotations

import hashlib
import zipfile
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa

from schemahub_lib.exchanges.base import Exchange
from schemahub_lib.http.messages import Rejected
from schemahub_lib.tables.archives import ArchiveFile, open_archive, read_archive

FETCHED = datetime(2026, 1, 1, tzinfo=UTC)
BINANCE_HEADER = "id,price,qty,quote_qty,time,is_buyer_maker,is_best_match"
# The first trade ever of XBTUSD, and the next.
KRAKEN_LINES = ("1381095255,122.0,0.1", "1381179030,123.61,0.1")


def binance_line(
    number: int,
    price: str = "67774.00000000",
    qty: str = "0.00008000",
    quote_qty: str = "5.42192000",
    time: int | None = None,
    buyer_maker: str = "False",
    best_match: str = "True",
) -> str:
    """Trade `number`, a second after the one before."""
    time = 1707405124001 + number * 1000 if time is None else time
    return f"{number},{price},{qty},{quote_qty},{time},{buyer_maker},{best_match}"


def text_of(lines: Sequence[str], header: str | None = None) -> str:
    return "".join(f"{line}\n" for line in ([header] if header else []) + list(lines))


def write_zip(path: Path, members: Mapping[str, str | bytes]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as opened:
        for name, text in members.items():
            opened.writestr(name, text)
    return path


def write_checksum(path: Path, digest: str | None = None) -> Path:
    """What sha256sum says of `path`, or `digest`, beside it."""
    digest = digest or hashlib.sha256(path.read_bytes()).hexdigest()
    beside = path.with_name(path.name + ".CHECKSUM")
    beside.write_text(f"{digest}  {path.name}\n", encoding="utf-8")
    return beside


def binance_zip(
    folder: Path, lines: Sequence[str], *, header: str | None = None, name: str = "BTCUSDT-trades-2024-02-08"
) -> Path:
    """A day or a month of Binance's trades, with its checksum."""
    path = write_zip(folder / f"{name}.zip", {f"{name}.csv": text_of(lines, header)})
    write_checksum(path)
    return path


def kraken_zip(folder: Path, pairs: Mapping[str, Sequence[str]]) -> Path:
    """Kraken's complete history: a CSV a pair."""
    members = {f"TimeAndSales_Combined/{pair}.csv": text_of(lines) for pair, lines in pairs.items()}
    return write_zip(folder / "Kraken_Trading_History.zip", members)


def truncate(path: Path, share: float = 0.5) -> None:
    """As a download that broke off."""
    whole = path.read_bytes()
    path.write_bytes(whole[: int(len(whole) * share)])


def flip_a_byte(path: Path, member: str) -> None:
    """In the middle of a member's packed text, so that the zip's directory is still sound."""
    with zipfile.ZipFile(path) as opened:
        info = opened.getinfo(member)
    at = info.header_offset + 30 + len(member) + info.compress_size // 2
    whole = bytearray(path.read_bytes())
    whole[at] ^= 0x10
    path.write_bytes(whole)


def read(
    exchange: Exchange, path: Path, *, batch_rows: int = 250_000, keep_payload: bool = True
) -> tuple[pa.Table, list[Rejected]]:
    """All of a file with one CSV of trades."""
    (file,) = open_archive(exchange, path)
    return read_file(exchange, file, batch_rows=batch_rows, keep_payload=keep_payload)


def read_file(
    exchange: Exchange, file: ArchiveFile, *, batch_rows: int = 250_000, keep_payload: bool = True
) -> tuple[pa.Table, list[Rejected]]:
    batches = list(read_archive(exchange, file, fetched_at=FETCHED, keep_payload=keep_payload, batch_rows=batch_rows))
    assert all(len(batch.rows) <= batch_rows for batch in batches)
    return pa.concat_tables([batch.rows for batch in batches]), [r for batch in batches for r in batch.rejected]


def kraken_csv(folder: Path, lines: Sequence[str], name: str = "XBTUSD.csv") -> Path:
    path = folder / name
    path.write_text(text_of(lines), encoding="utf-8")
    return path
