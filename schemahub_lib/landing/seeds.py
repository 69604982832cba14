"""Product seed files: which products are fetched when a command names none."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.resources.abc import Traversable
from pathlib import Path

from schemahub_lib.errors import UsageError, words
from schemahub_lib.files import write_whole
from schemahub_lib.mapping.registry import shipped_mappings

FOLDER = Path("mappings")


@dataclass(frozen=True)
class Seed:
    """`product_ids` are in the venue's own spelling, each once."""

    product_ids: tuple[str, ...]
    source: str
    last_updated: datetime


def seed_file(source: str, path: str | None) -> Path | Traversable:
    """The seed file to read: `path`, else the one in ./mappings, else the one shipped."""
    if path is not None:
        return Path(path)
    own = FOLDER / _name(source)
    return own if own.exists() else shipped_mappings() / _name(source)


def seed_target(source: str, path: str | None) -> Path:
    """The seed file to write: `path`, else the one in ./mappings."""
    return FOLDER / _name(source) if path is None else Path(path)


def read_seed(place: Path | Traversable) -> list[str]:
    """A file's product ids, each once. Raises UsageError for a file that is missing or malformed."""
    import yaml

    try:
        document = yaml.safe_load(place.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        remedy = "name products, or make one with `schemahub update-seed --source … --fetch --write`"
        raise UsageError(f"the product seed file {place} cannot be read: {words(error)}; {remedy}") from error
    ids = document.get("product_ids") if isinstance(document, dict) else None
    if not isinstance(ids, list) or not ids:
        raise UsageError(f"{place}: expected `product_ids:` with a list of product names")
    for name in ids:
        if not is_product_id(name):
            raise UsageError(f"{place}: {name!r} is no product name (a name that looks like a number needs quotes)")
    return list(dict.fromkeys(ids))


def is_product_id(name: object) -> bool:
    """Whether a product can be called so: printable, no spaces, nothing that a path or a list would be split at."""
    return isinstance(name, str) and name.isprintable() and bool(name) and not set(name) & set(" \\,?#&%*\"'")


def write_seed(place: Path, seed: Seed) -> None:
    """Write the file anew, atomically. Raises UsageError when it cannot be written."""
    import yaml

    ids = (
        yaml.safe_dump(list(seed.product_ids), default_flow_style=False, allow_unicode=True) if seed.product_ids else ""
    )
    listed = "".join(f"  {line}\n" for line in ids.splitlines())
    text = (
        f"product_ids:\n{listed}metadata:\n  source: {seed.source}\n"
        f"  last_updated: {seed.last_updated.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}\n  count: {len(seed.product_ids)}\n"
    )
    try:
        write_whole(place, text)
    except OSError as error:
        raise UsageError(f"the product seed file {place} cannot be written: {words(error)}") from error


def _name(source: str) -> str:
    return "product_ids_seed.yaml" if source == "coinbase" else f"product_ids_seed_{source}.yaml"


def ordered(names: Sequence[str]) -> tuple[str, ...]:
    """In the order in which people look them up."""
    return tuple(sorted(dict.fromkeys(names)))
