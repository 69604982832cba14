"""Finds the mapping files: in a folder, under an s3:// prefix, or those shipped with SchemaHub."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path

from schemahub_lib.errors import MappingError, Problem, UsageError
from schemahub_lib.mapping.spec import MappingSpec, parse_mapping
from schemahub_lib.schemas import TARGETS, Table


def load_mappings(
    location: str | None, raw_tables: Mapping[str, Table], targets: Mapping[str, Table] = TARGETS
) -> dict[str, tuple[MappingSpec, ...]]:
    """Every mapping at `location` (a folder, `s3://bucket/prefix`, or None for the shipped ones), by target table.

    A target's mappings are ordered by source. Product seed files and mapping tests lying in the same folder are left
    out. Raises MappingError with the problems of all files, UsageError when the location cannot be read or is empty.
    """
    specs: list[MappingSpec] = []
    problems: list[Problem] = []
    for file, content in _files(location):
        try:
            spec = parse_mapping(_decode(content, file), file, raw_tables, targets)
        except MappingError as error:
            problems += error.problems
            continue
        if rival := next((s for s in specs if (s.source, s.target_table) == (spec.source, spec.target_table)), None):
            message = f"{rival.file} maps {spec.source} to {spec.target_table} already: keep one of the two files"
            problems.append(Problem(file, 0, 0, message))
        specs.append(spec)
    if problems:
        raise MappingError(problems)
    if not specs:
        raise UsageError(f"there is no mapping (*.yaml) in {location or 'the shipped mappings'}")
    specs.sort(key=lambda spec: (spec.target_table, spec.source))
    return {
        target: tuple(spec for spec in specs if spec.target_table == target)
        for target in dict.fromkeys(spec.target_table for spec in specs)
    }


def read_mapping(location: str | None, file: str) -> str:
    """The text of the mapping that is called `file` in messages. Raises UsageError when it is gone from `location`."""
    for name, content in _files(location):
        if name == file:
            return _decode(content, file)
    raise UsageError(f"{file} is not there any more: run again")


def shipped_mappings() -> Traversable:
    """The folder of the mappings that come with SchemaHub, inside a wheel or zip too."""
    packaged = resources.files("schemahub_lib") / "mappings"
    # A checkout keeps them at the top, where data engineers edit them; only the wheel and the zip move them inside.
    return packaged if packaged.is_dir() else Path(__file__).resolve().parents[2] / "mappings"


def _files(location: str | None) -> Iterator[tuple[str, bytes]]:
    """(name for messages, content) of each mapping file, by name."""
    if location is None:
        yield from _folder(shipped_mappings(), "mappings")
    elif location.startswith("s3://"):
        yield from _bucket(location)
    elif Path(location).is_dir():
        yield from _folder(Path(location), location)
    else:
        raise UsageError(f"mappings folder {location} does not exist: name a folder or s3://bucket/prefix")


def _is_mapping(name: str) -> bool:
    stem, _, extension = name.rpartition(".")
    seed_or_test = stem.startswith("product_ids_seed") or stem.endswith("_test")
    return extension in ("yaml", "yml") and not seed_or_test


def _folder(folder: Traversable, label: str) -> Iterator[tuple[str, bytes]]:
    for file in sorted(folder.iterdir(), key=lambda file: file.name):
        if file.is_file() and _is_mapping(file.name):
            yield f"{label.rstrip('/')}/{file.name}", file.read_bytes()


def _bucket(location: str) -> Iterator[tuple[str, bytes]]:
    import boto3
    from botocore.exceptions import BotoCoreError, ClientError

    bucket, _, prefix = location.removeprefix("s3://").partition("/")
    folder = f"{prefix.rstrip('/')}/" if prefix else ""
    try:
        s3 = boto3.client("s3")
        pages = s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=folder, Delimiter="/")
        keys = [item["Key"] for page in pages for item in page.get("Contents", ())]
        for key in sorted(keys):
            if _is_mapping(key.removeprefix(folder)):
                yield f"s3://{bucket}/{key}", s3.get_object(Bucket=bucket, Key=key)["Body"].read()
    except (BotoCoreError, ClientError) as error:
        raise UsageError(f"cannot read the mappings in {location}: {error}") from error


def _decode(content: bytes, file: str) -> str:
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        before = content[: error.start].split(b"\n")
        message = f"not UTF-8 text (byte 0x{content[error.start]:02X}): save the file as UTF-8"
        raise MappingError([Problem(file, len(before), len(before[-1]) + 1, message)]) from None
