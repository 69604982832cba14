"""An exchange's bulk files: verified first, then streamed as typed Arrow batches, whatever their size.

What differs between exchanges is in their `archive` (see `exchanges/base.py`). A zip or CSV that is damaged or of
another kind is refused as a whole; a line that is no trade is set aside. What the lake holds already is not known here.
"""

from __future__ import annotations

import hashlib
import logging
import re
import zipfile
import zlib
from bisect import bisect_right
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path, PurePosixPath
from typing import IO, TYPE_CHECKING, Any

from schemahub_lib.errors import UsageError, words
from schemahub_lib.exchanges.base import Archive, Exchange
from schemahub_lib.http.messages import Rejected
from schemahub_lib.tables.archive_rows import RowReader, fits, line_of

if TYPE_CHECKING:
    import pyarrow as pa

logger = logging.getLogger(__name__)

BLOCK = 4 << 20  # bytes of text at a time
HELD = 100_000  # lines without a trade among them, after which a file is given up
# KeyError: another zip stands there now, without the member.
_DAMAGE = (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, KeyError)
_NOT_ASCII = bytes(range(128)) + b"?" * 128


@dataclass(frozen=True)
class ArchiveFile:
    """One CSV of trades: `member` inside the zip at `path`, or the file at `path` itself when that is no zip."""

    path: Path
    member: str
    product: str  # in the raw table's spelling
    source: str

    @property
    def zipped(self) -> bool:
        return self.path.suffix.lower() == ".zip"

    @property
    def origin(self) -> str:
        """The file as payloads and reasons name it."""
        alone = not self.zipped or PurePosixPath(self.member).stem == self.path.stem
        return self.path.name if alone else f"{self.member} in {self.path.name}"

    def __str__(self) -> str:
        return f"{self.path}: {self.member}" if self.zipped else str(self.path)


@dataclass(frozen=True)
class ArchiveBatch:
    """`rows` in the raw table's columns and types, and the lines read since the last batch that are no trades."""

    rows: pa.Table
    rejected: list[Rejected]


def open_archive(exchange: Exchange, path: Path, products: Collection[str] = ()) -> list[ArchiveFile]:
    """The CSV files of trades in the zip, or the one CSV, at `path`; only those of `products` when any are named.

    Everything that can be verified without reading trades is: the checksum where `<name>.CHECKSUM` lies beside the
    file, the zip's directory and its CRCs, the number and the names of the columns, that the last line is whole.
    A file that could have a checksum and has none is warned of. Raises UsageError, naming the file.
    """
    archive = _archive_of(exchange)
    published = f"{exchange.name}'s files are published at {archive.published_at}"
    if not path.is_file():
        raise UsageError(f"{path}: there is no such file. {published}")
    if path.suffix.lower() not in (".zip", ".csv"):
        raise UsageError(f"{path}: expected a .zip as published, or a .csv out of one. {published}")
    with _naming(path):
        members = _members(path)
        named = {member: archive.names.fullmatch(PurePosixPath(member).name) for member in members}
        files = [ArchiveFile(path, member, name["product"], exchange.name) for member, name in named.items() if name]
        others = [f"{member} ({_kind_of(archive, member)})" for member, name in named.items() if not name]
        if not files:
            raise UsageError(f"{path}: no trades are in it, but {_some(others) or 'nothing'}. {published}")
        if others:
            logger.info("%s: left out %s", path, _some(others))
        _verify_checksum(archive, path)
        wanted = [file for file in files if not products or file.product in products]
        if not wanted:
            there = _some([file.product for file in files])
            raise UsageError(f"{path}: no trades of {_some(list(products))} are in it, but of {there}")
        held = [file for file in wanted if _verify(archive, file)]
    if not held:
        raise UsageError(f"{path}: there are no trades in it, {_some([file.member for file in wanted])} being empty")
    return sorted(held, key=lambda file: (file.product, file.member))


def read_archive(
    exchange: Exchange, file: ArchiveFile, *, fetched_at: datetime, keep_payload: bool, batch_rows: int = 250_000
) -> Iterator[ArchiveBatch]:
    """The trades of a file that `open_archive` gave, oldest first, at most `batch_rows` a batch.

    `fetched_at` is stamped on every row. Where lines have no ids, the ids made for them do not depend on `batch_rows`.
    Raises UsageError when the file is damaged after all, its lines do not ascend, or none of them is a trade.
    """
    archive = _archive_of(exchange)
    reader = RowReader(exchange, archive, file, fetched_at, keep_payload)
    rejected: list[Rejected] = []
    found = False
    with _naming(file), _opened(file) as stream:
        lines = _Lines(archive, file, stream)
        with lines.batches:
            for block, first in lines.blocks(batch_rows):
                rows, refused = reader.read(block)
                rejected += lines.misshapen()
                rejected += [lines.rejected(first + at, why, line_of(block, at)) for at, why in refused.items()]
                if found or len(rows):
                    yield ArchiveBatch(rows, rejected)
                    found, rejected = True, []
                elif len(rejected) >= HELD:
                    break
            rejected += lines.misshapen()
    if not found:
        reason = f", the first because: {rejected[0].reason}" if rejected else ""
        raise UsageError(f"{file}: no line of it is a trade{reason}. Nothing of it was kept")
    if rejected:
        yield ArchiveBatch(rows.slice(0, 0), rejected)


def _archive_of(exchange: Exchange) -> Archive:
    if exchange.archive is None:
        raise UsageError(f"{exchange.name} publishes no bulk files of trades; fetch them from its API instead")
    return exchange.archive


@contextmanager
def _naming(file: ArchiveFile | Path) -> Iterator[None]:
    """Damage as an error that names the file."""
    import pyarrow as pa

    try:
        yield
    except _DAMAGE as error:
        raise UsageError(f"{file}: partial, truncated or damaged ({error}). Download it again, whole") from error
    except pa.ArrowInvalid as error:
        raise UsageError(f"{file}: not a CSV of trades ({error}). Download it again") from error
    except OSError as error:
        raise UsageError(f"{file} cannot be read: {words(error)}") from error


def _members(path: Path) -> list[str]:
    """The files in a zip, without what a Mac's archiver adds; a CSV's own name."""
    if path.suffix.lower() != ".zip":
        return [path.name]
    with zipfile.ZipFile(path) as opened:
        listed = [info for info in opened.infolist() if not info.is_dir()]
    if any(info.flag_bits & 1 for info in listed):
        raise UsageError(f"{path}: protected by a password, which no published file is. Download it again")
    names = [info.filename for info in listed]
    if twice := [name for name, times in Counter(names).items() if times > 1]:
        raise UsageError(f"{path}: {_some(twice)} is in it twice, so it is not as published. Download it again")
    return [name for name in names if not name.startswith("__MACOSX/")]


def _kind_of(archive: Archive, member: str) -> str:
    name = PurePosixPath(member).name
    return next((told for pattern, told in archive.others.items() if re.fullmatch(pattern, name)), "of no known name")


def _verify_checksum(archive: Archive, path: Path) -> None:
    """Compare with what sha256sum wrote: `<64 hex digits>  <name>`."""
    beside = path.with_name(path.name + ".CHECKSUM")
    if beside.exists():
        told = beside.read_text(encoding="utf-8", errors="replace").split()
        if not told or not re.fullmatch("[0-9a-fA-F]{64}", told[0]):
            raise UsageError(f"{beside}: expected a SHA-256 and a file's name. Download it again")
        with path.open("rb") as opened:
            actual = hashlib.file_digest(opened, "sha256").hexdigest()
        if actual != told[0].lower():
            raise UsageError(
                f"{path}: its SHA-256 is {actual}, but {beside.name} says {told[0].lower()}: partial, truncated or "
                "damaged, or published anew since. Download both again"
            )
    elif archive.checksums and path.suffix.lower() == ".zip":
        logger.warning(
            "%s: not compared with its checksum, because %s is not beside it. It is published where the zip is",
            *(path, beside.name),
        )
    elif archive.checksums:
        logger.warning("%s: a CSV has no published checksum; load the zip it came from to have it compared", path)


def _verify(archive: Archive, file: ArchiveFile) -> bool:
    """Whether there are lines of trades. Raises UsageError when there are others, or the last one is cut off."""
    start, end = b"", b""
    with _opened(file) as stream:
        while chunk := stream.read(1 << 20):  # to the end: only there a zip's CRC is compared
            start = start if b"\n" in start or len(start) > BLOCK else start + chunk
            end = (end + chunk).rpartition(b"\n")[2][:BLOCK]
    lines = start.decode("ascii", "replace").splitlines()
    header = _has_header(archive, file, lines[0]) if lines else False
    if end.strip():
        texts = end.decode("ascii", "replace").rstrip().split(",")
        kinds = [field.kind for field in archive.fields]
        whole = len(texts) == len(kinds) and all(map(fits, kinds, texts))
        if not whole or not file.zipped:  # a zip's CRC shows that it was published so
            raise UsageError(
                f"{file}: its last line has no end ({','.join(texts)[-80:]!r}): partial or truncated. "
                + ("Download it again" if file.zipped else "Load the zip it came from, or unpack that again")
            )
    return len(lines) > header


def _has_header(archive: Archive, file: ArchiveFile, line: str) -> bool:
    """Whether the first line names the columns. Raises UsageError when they are not those of trades."""
    texts = line.split(",")
    if len(texts) != len(archive.fields):
        told = archive.other_widths.get(len(texts))
        problem = f"its lines have {len(texts)} fields" + (f", as those of {told}" if told else "")
    elif any(fits(field.kind, text) for field, text in zip(archive.fields, texts, strict=True)):
        return False
    else:
        plain = [re.sub(r"[^a-z]", "", text.lower()) for text in texts]
        if [archive.header.get(name, name) for name in plain] == [field.key.lower() for field in archive.fields]:
            return True
        problem = f"its first line is {line[:120]!r}"
    expected = ", ".join(field.key for field in archive.fields)
    raise UsageError(f"{file}: {problem}. Trades of {file.source} have {len(archive.fields)}: {expected}")


@contextmanager
def _opened(file: ArchiveFile) -> Iterator[IO[bytes]]:
    with ExitStack() as stack:
        if file.zipped:
            opened = stack.enter_context(zipfile.ZipFile(file.path))
            yield stack.enter_context(opened.open(file.member))
        else:
            yield stack.enter_context(file.path.open("rb"))


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")


class _Ascii:
    """A stream in which every byte that is no ASCII is a question mark: no trade has any."""

    closed = False

    def __init__(self, stream: IO[bytes], start: bytes) -> None:
        self.stream, self.start = stream, start

    def read(self, size: int) -> bytes:
        chunk, self.start = self.start[:size], self.start[size:]
        chunk = chunk or self.stream.read(size)
        return chunk if chunk.isascii() else chunk.translate(_NOT_ASCII)


class _Lines:
    """The lines of a CSV as columns of texts, with their numbers in the file, from 1."""

    def __init__(self, archive: Archive, file: ArchiveFile, stream: IO[bytes]) -> None:
        import pyarrow as pa
        from pyarrow import csv

        self.file, self.width = file, len(archive.fields)
        first = stream.readline(BLOCK)
        self.header = int(_has_header(archive, file, first.decode("ascii", "replace").rstrip()))
        self.before: list[int] = []  # of each misshapen line, how many well-shaped ones precede it
        self.waiting: list[Rejected] = []
        names = [field.key for field in archive.fields]
        self.batches = csv.open_csv(
            _Ascii(stream, b"" if self.header else first),
            # Without threads the numbers of misshapen lines are known.
            read_options=csv.ReadOptions(column_names=names, block_size=BLOCK, use_threads=False),
            parse_options=csv.ParseOptions(
                quote_char=False, ignore_empty_lines=False, invalid_row_handler=self._set_aside
            ),
            convert_options=csv.ConvertOptions(
                column_types=dict.fromkeys(names, pa.string()), strings_can_be_null=False, check_utf8=False
            ),
        )

    def _set_aside(self, row: Any) -> str:
        self.before.append(row.number - 1 - len(self.before))
        if len(self.waiting) >= HELD:
            return "error"
        reason = f"line {row.number + self.header} of {self.file.origin}: {row.actual_columns} fields, not {self.width}"
        self.waiting.append(Rejected(reason, row.text))
        return "skip"

    def misshapen(self) -> list[Rejected]:
        """The lines with too few or too many fields that were met since the last call."""
        met, self.waiting = self.waiting, []
        return met

    def rejected(self, place: int, reason: str, text: str) -> Rejected:
        """The `place`th well-shaped line, from 0."""
        number = 1 + place + bisect_right(self.before, place) + self.header
        return Rejected(f"line {number} of {self.file.origin}: {reason}", text)

    def blocks(self, rows: int) -> Iterator[tuple[pa.RecordBatch, int]]:
        """Lines by `rows`, the last ones fewer, and the place of each block's first line among all."""
        import pyarrow as pa

        waiting: list[pa.RecordBatch] = []
        first = 0
        for batch in self.batches:
            waiting.append(batch)
            if sum(map(len, waiting)) >= rows:
                whole = pa.concat_batches(waiting)
                full = len(whole) // rows * rows
                for start in range(0, full, rows):
                    yield whole.slice(start, rows), first + start
                first, waiting = first + full, [whole.slice(full)]
        if any(map(len, waiting)):
            yield pa.concat_batches(waiting), first
