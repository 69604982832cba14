"""Finds the mapping files: in a folder, under an s3:// prefix, or those shipped with SchemaHub."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path

from schemahub_lib.errors import MappingError, Problem, UsageError, sentence
from schemahub_lib.mapping.examples import Example, parse_examples
from schemahub_lib.mapping.parser import parse_mapping, tables_named
from schemahub_lib.mapping.spec import Constant, MappingSpec
from schemahub_lib.mapping.symbols import SYMBOLS, Tickers, parse_symbols
from schemahub_lib.schemas import TARGETS, Table

EXAMPLES = "_test.yaml"  # ends the name of the file with a mapping's examples


def load_mappings(
    location: str | None, raw_tables: Mapping[str, Table], targets: Mapping[str, Table] = TARGETS
) -> dict[str, tuple[MappingSpec, ...]]:
    """Every mapping at `location` (a folder, `s3://bucket/prefix`, or None for the shipped ones), by target table.

    A target's mappings are ordered by source. Product seed files, symbols.yaml and mapping tests lying in the same
    folder are left out. Raises MappingError with the problems of all files, UsageError when the location cannot be
    read or is empty.
    """
    specs, problems = _parsed(location, _files(location, _is_mapping), raw_tables, targets)
    if problems:
        raise MappingError(problems)
    specs.sort(key=lambda spec: (spec.target_table, spec.source))
    return {
        target: tuple(spec for spec in specs if spec.target_table == target)
        for target in dict.fromkeys(spec.target_table for spec in specs)
    }


def validate(location: str | None, raw_tables: Mapping[str, Table], exchanges: Sequence[str]) -> list[str]:
    """The names of all files at `location`, when they are right: mappings, their examples and symbols.yaml.

    Raises MappingError with all problems, UsageError.
    """
    files = dict(_files(location, lambda name: name == SYMBOLS or _is_mapping(name) or _is_test(name)))
    mappings = {file: content for file, content in files.items() if _is_mapping(file.rpartition("/")[2])}
    _, problems = _parsed(location, mappings.items(), raw_tables, TARGETS)
    for file, content in mappings.items():
        source, target = tables_named(content.decode(errors="replace"))
        raw, unified, examples = raw_tables.get(source), TARGETS.get(target), _examples_of(file)
        if examples in files and raw is not None and unified is not None:
            with _noted(problems):
                parse_examples(_decode(files[examples], examples), examples, raw, unified)
    with _noted(problems):
        load_symbols(location, exchanges)
    strays = [file for file in files if _is_test(file) and file not in set(map(_examples_of, mappings))]
    problems += [
        Problem(file, 0, 0, f"no mapping has this file: examples are in <mapping>{EXAMPLES}") for file in strays
    ]
    if problems:
        raise MappingError(problems)
    return list(files)


def _parsed(
    location: str | None,
    files: Iterable[tuple[str, bytes]],
    raw_tables: Mapping[str, Table],
    targets: Mapping[str, Table],
) -> tuple[list[MappingSpec], list[Problem]]:
    """The mappings that can be read of the files at `location`, and what is wrong with the others.

    Raises UsageError where there is none.
    """
    specs: list[MappingSpec] = []
    problems: list[Problem] = []
    for file, content in files:
        try:
            spec = parse_mapping(_decode(content, file), file, raw_tables, targets)
        except MappingError as error:
            problems += error.problems
            continue
        problems += _rivalry(spec, [other for other in specs if other.target_table == spec.target_table], targets)
        specs.append(spec)
    if not specs and not problems:
        raise UsageError(f"there is no mapping (*.yaml) in {location or 'the shipped mappings'}")
    return specs, problems


def _rivalry(spec: MappingSpec, others: Sequence[MappingSpec], targets: Mapping[str, Table]) -> Iterator[Problem]:
    """What is wrong with a mapping because of others into its target."""
    first = targets[spec.target_table].key[0]
    for other in others:
        if other.source == spec.source:
            message = f"{other.file} maps {spec.source} to {spec.target_table} already: keep one of the two files"
            yield Problem(spec.file, 0, 0, message)
        elif isinstance(own := spec.by_target[first].origin, Constant) and own == other.by_target[first].origin:
            yield Problem(
                *(spec.file, 0, 0),
                f"{first} is {own.value!r} here as in {other.file}, so trades of equal ids would be taken for one "
                "another: give each source its own",
            )


def load_symbols(location: str | None, exchanges: Sequence[str]) -> Tickers:
    """The tickers in the symbols.yaml at `location` (as for mappings), else in the one shipped.

    Raises MappingError, UsageError when the location cannot be read.
    """
    found = [*_files(location, SYMBOLS.__eq__)] or [*_files(None, SYMBOLS.__eq__)]
    ((file, content),) = found
    return parse_symbols(_decode(content, file), file, exchanges)


def read_mapping(location: str | None, file: str) -> str:
    """The text of the mapping that is called `file` in messages. Raises UsageError when it is gone from `location`."""
    for name, content in _files(location, _is_mapping):
        if name == file:
            return _decode(content, file)
    raise UsageError(f"{file} is not there any more: run again")


def load_examples(
    location: str | None,
    specs: Sequence[MappingSpec],
    raw_tables: Mapping[str, Table],
    targets: Mapping[str, Table] = TARGETS,
) -> list[tuple[MappingSpec, list[Example]]]:
    """Of each mapping the examples in `<its name>_test.yaml` beside it, where there is such a file.

    Raises MappingError with the problems of all of them.
    """
    texts = dict(_files(location, lambda name: name.endswith(EXAMPLES)))
    found: list[tuple[MappingSpec, list[Example]]] = []
    problems: list[Problem] = []
    for spec in specs:
        file = _examples_of(spec.file)
        if file not in texts:
            continue
        with _noted(problems):
            text = _decode(texts[file], file)
            found.append((spec, parse_examples(text, file, raw_tables[spec.source], targets[spec.target_table])))
    if problems:
        raise MappingError(problems)
    return found


def shipped_mappings() -> Traversable:
    """The folder of the mappings that come with SchemaHub, inside a wheel or zip too."""
    packaged = resources.files("schemahub_lib") / "mappings"
    # A checkout keeps them at the top, where data engineers edit them; only the wheel and the zip move them inside.
    return packaged if packaged.is_dir() else Path(__file__).resolve().parents[2] / "mappings"


@contextmanager
def _noted(problems: list[Problem]) -> Iterator[None]:
    """A block whose MappingError is added to `problems`."""
    try:
        yield
    except MappingError as error:
        problems += error.problems


def _files(location: str | None, wanted: Callable[[str], bool]) -> Iterator[tuple[str, bytes]]:
    """(name for messages, content) of each file whose name is wanted, by name."""
    if location is None:
        yield from _folder(shipped_mappings(), "mappings", wanted)
    elif location.startswith("s3://"):
        yield from _bucket(location, wanted)
    elif Path(location).is_dir():
        yield from _folder(Path(location), location, wanted)
    else:
        raise UsageError(f"mappings folder {location} does not exist: name a folder or s3://bucket/prefix")


def _is_mapping(name: str) -> bool:
    stem, _, extension = name.rpartition(".")
    other = name == SYMBOLS or stem.startswith("product_ids_seed") or _is_test(name)
    return extension in ("yaml", "yml") and not other


def _is_test(name: str) -> bool:
    return name.endswith((EXAMPLES, EXAMPLES.replace(".yaml", ".yml")))


def _examples_of(mapping: str) -> str:
    return mapping.rpartition(".")[0] + EXAMPLES


def _folder(folder: Traversable, label: str, wanted: Callable[[str], bool]) -> Iterator[tuple[str, bytes]]:
    for file in sorted(folder.iterdir(), key=lambda file: file.name):
        if file.is_file() and wanted(file.name):
            yield f"{label.rstrip('/')}/{file.name}", file.read_bytes()


def _bucket(location: str, wanted: Callable[[str], bool]) -> Iterator[tuple[str, bytes]]:
    import boto3
    from botocore.exceptions import BotoCoreError, ClientError

    bucket, _, prefix = location.removeprefix("s3://").partition("/")
    folder = f"{prefix.rstrip('/')}/" if prefix else ""
    try:
        s3 = boto3.client("s3")
        pages = s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=folder, Delimiter="/")
        keys = [item["Key"] for page in pages for item in page.get("Contents", ())]
        for key in sorted(keys):
            if wanted(key.removeprefix(folder)):
                yield f"s3://{bucket}/{key}", s3.get_object(Bucket=bucket, Key=key)["Body"].read()
    except (BotoCoreError, ClientError) as error:
        raise UsageError(f"cannot read the mappings in {location}: {sentence(error)}") from error


def _decode(content: bytes, file: str) -> str:
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        before = content[: error.start].split(b"\n")
        message = f"not UTF-8 text (byte 0x{content[error.start]:02X}): save the file as UTF-8"
        raise MappingError([Problem(file, len(before), len(before[-1]) + 1, message)]) from None
