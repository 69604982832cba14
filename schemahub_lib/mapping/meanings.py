"""What values are beyond their SQL type, so that a side, a unit of time or an amount cannot be taken for another.

A column tells its meaning where it is declared (`schemas.Column.meaning`). One that tells none fits everywhere.
"""

from __future__ import annotations

from schemahub_lib.mapping.transforms import TRANSFORMS, Transform
from schemahub_lib.schemas import Column, Table

# In words that continue "it is ...".
MEANINGS = {
    "trade_id": "the id of a trade",
    "agg_trade_id": "the id of an aggregate of trades",
    "symbol": "a symbol as the venue spells it",
    "maker_side": "the maker's side",
    "taker_side": "the taker's side",
    "taker_code": "the taker's side as a letter",
    "is_buyer_maker": "whether the buyer was the maker",
    "price": "a price",
    "base_amount": "an amount of the base asset",
    "quote_amount": "an amount of the quote asset",
    "time": "the time of the trade",
    "ingest_time": "the time at which the row was fetched",
    "epoch_s": "a time in seconds",
    "epoch_ms": "a time in milliseconds",
    "epoch_us": "a time in microseconds",
    "epoch_ns": "a time in nanoseconds",
}


def misfit(source: Table, raw: Column, transform: Transform | None, target: Column) -> str | None:
    """What is wrong with filling `target` from `raw` through `transform`, and what to write; None when it fits."""
    wrong = _wrong_type(raw, transform, target)
    if wrong is not None:
        return f"{wrong}; {_instead(source, raw, transform, target)}"
    if transform is not None and transform.satisfied_by(raw.type):
        transform = None  # there is nothing left for it to do
    if transform is not None and raw.meaning and transform.reads not in ("", raw.meaning):
        told = f"{transform.name} reads {MEANINGS[transform.reads]}, and {raw.name!r} is {_words(raw.meaning)}"
        return f"{told}; {_instead(source, raw, transform, target)}"
    meaning = _given(raw, transform)
    if meaning and target.meaning and meaning != target.meaning:
        told = f"{raw.name!r} is {_words(meaning)}, and {target.name!r} is {_words(target.meaning)}"
        return f"{told}; {_instead(source, raw, transform, target)}"
    return None


def _wrong_type(raw: Column, transform: Transform | None, target: Column) -> str | None:
    if transform is None:
        return (
            None if raw.type == target.type else f"{raw.name!r} is {raw.type} and {target.name!r} needs {target.type}"
        )
    if not transform.accepts(raw.type):
        return f"{transform.name} reads {' or '.join(transform.inputs)}, and raw column {raw.name!r} is {raw.type}"
    if transform.output != target.type:
        return f"{transform.name} gives {transform.output}, and {target.name!r} needs {target.type}"
    return None


def _instead(source: Table, raw: Column, transform: Transform | None, target: Column) -> str:
    if transform is not None and _fits(raw, None, target):
        return "remove it"
    if fitting := [other.name for other in TRANSFORMS.values() if _fits(raw, other, target)]:
        return f"write `{raw.name}: {fitting[0] if len(fitting) == 1 else '...'}` under transforms" + (
            f" with {' or '.join(fitting)}" if len(fitting) > 1 else ""
        )
    ways = (None, *TRANSFORMS.values())
    others = [
        column.name
        for column in source.columns
        if column.meaning and any(_fits(column, way, target) for way in ways) and target.meaning
    ]
    if others:
        return f"map {' or '.join(others)} to it instead"
    if raw.type != target.type:
        return f"no transform turns {raw.type} into {target.type}, map another raw column"
    return f"{source.name} has no column that is {_words(target.meaning)}: leave the line out"


def _fits(raw: Column, transform: Transform | None, target: Column) -> bool:
    """Whether it is worth proposing: of the right types, of the meanings told, and not without effect."""
    if _wrong_type(raw, transform, target) is not None:
        return False
    if transform is not None and (
        transform.satisfied_by(raw.type) or transform.reads not in ("", raw.meaning or transform.reads)
    ):
        return False
    meaning = _given(raw, transform)
    return not (meaning and target.meaning) or meaning == target.meaning


def _given(raw: Column, transform: Transform | None) -> str:
    return transform.gives if transform is not None and transform.gives else raw.meaning


def _words(meaning: str) -> str:
    return MEANINGS.get(meaning, meaning)
