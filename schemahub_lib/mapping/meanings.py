"""What values are beyond their SQL type, so that a side, a unit of time or an amount cannot be taken for another.

A column tells its meaning where it is declared (`schemas.Column.meaning`). A target that tells none takes anything; one
that does takes only what tells the same.
"""

from __future__ import annotations

from collections.abc import Iterator

from sqlglot import exp

from schemahub_lib.mapping.functions import FUNCTIONS
from schemahub_lib.mapping.transforms import TRANSFORMS, Transform
from schemahub_lib.mapping.types import branches
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
    # Of one that is satisfied there is nothing left to do.
    at_work = None if transform is None or transform.satisfied_by(raw.type) else transform
    reads = at_work.reads if at_work else ""
    reading = f"{at_work.name} reads {_words(reads)}" if at_work and reads else ""
    if not raw.meaning and (reads or target.meaning):
        return _untold(source, raw, target, reading)
    wrong = _wrong_type(raw, transform, target)
    if wrong is None and reads not in ("", raw.meaning):
        wrong = f"{reading}, and {raw.name!r} is {_words(raw.meaning)}"
    meaning = _given(raw, at_work)
    if wrong is None and target.meaning not in ("", meaning):
        wrong = _another(raw, meaning, target)
    return None if wrong is None else f"{wrong}; {_instead(source, raw, transform, target)}"


def misfit_of_expression(source: Table, tree: exp.Expr, target: Column) -> str | None:
    """What is wrong with filling `target` from an expression over the raw columns of `source`, and what to write; None
    when it fits. What it computes anew tells no meaning, and fits."""
    for raw, meaning in _handed_on(tree, source):
        if target.meaning and not meaning:
            return _untold(source, raw, target)
        if target.meaning not in ("", meaning):
            ways = [way.name for way in TRANSFORMS.values() if _fits(raw, way, target)]
            how = f"map {raw.name} to it under mappings, with {' or '.join(ways)} under transforms"
            return f"{_another(raw, meaning, target)}; {how if ways else _of_others(source, target, 'use {} instead')}"
    handed_on = {raw.name for raw, _ in _handed_on(tree, source)}
    for name in dict.fromkeys(column.name for column in tree.find_all(exp.Column)):
        meaning = source.column(name).meaning
        ways = [way.name for way in TRANSFORMS.values() if (way.reads, way.gives) == (meaning, target.meaning)]
        if meaning and target.meaning and ways and name not in handed_on:
            return (
                f"what {name!r}, {_words(meaning)}, makes of {target.name!r} is not for an expression to work out; map "
                f"{name} to it under mappings, with {' or '.join(ways)} under transforms"
            )
    return None


def misread(source: Table, tree: exp.Expr) -> str | None:
    """What is wrong with the meaning of what a function is given, anywhere in an expression; None when all is right."""
    for call in tree.find_all(exp.Anonymous):
        name = call.name.lower()
        becomes = FUNCTIONS[name].becomes
        for raw, meaning in _handed_on(call.expressions[0], source) if becomes else ():
            if meaning in becomes:
                continue
            reading = f"{name} reads {' or '.join(_words(one) for one in becomes if one)}"
            if not meaning:
                return f"nothing tells what {raw.name!r} is, and {reading}; {_tell(source)}"
            gives = becomes.values()
            functions = [f"write {other}" for other, one in FUNCTIONS.items() if one.becomes.get(meaning) in gives]
            transforms = [
                f"map it, with {way.name} under transforms" for way in TRANSFORMS.values() if way.reads == meaning
            ]
            how = (functions or transforms or [f"{name} is not for it"])[0]
            return f"{reading}, and {raw.name!r} is {_words(meaning)}; {how}"
    return None


def _handed_on(node: exp.Expr, source: Table) -> Iterator[tuple[Column, str]]:
    """The raw columns whose values an expression gives, as they are or respelled, each with what it means then."""
    match node:
        case exp.Column():
            column = source.column(node.name)
            yield column, column.meaning
        case exp.Paren() | exp.Cast() | exp.Neg():
            yield from _handed_on(node.this, source)
        case exp.Case():
            for branch in branches(node):
                yield from _handed_on(branch, source)
        case exp.Anonymous():
            function = FUNCTIONS[node.name.lower()]
            for argument in function.kept(node.expressions):
                for column, meaning in _handed_on(argument, source):
                    yield column, function.becomes.get(meaning, meaning)


def _another(raw: Column, meaning: str, target: Column) -> str:
    return f"raw {raw.name!r} is {_words(meaning)}, and target {target.name!r} is {_words(target.meaning)}"


def _untold(source: Table, raw: Column, target: Column, reading: str = "") -> str:
    wanted = reading or f"{target.name!r} is {_words(target.meaning)}"
    others = _others(source, target)
    instead = f"map {' or '.join(others)} to it instead, or " if others else ""
    return f"nothing tells what {raw.name!r} is, and {wanted}; {instead}{_tell(source)}"


def _tell(source: Table) -> str:
    return f"tell its meaning where {source.name} declares it"


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
    if raw.type != target.type and not _others(source, target):
        if not raw.meaning and any(_wrong_type(raw, way, target) is None for way in TRANSFORMS.values()):
            return _tell(source)  # of several units, that is the one
        return f"no transform turns {raw.type} into {target.type}, map another raw column"
    return _of_others(source, target, "map {} to it instead")


def _of_others(source: Table, target: Column, instead: str) -> str:
    if others := _others(source, target):
        return instead.format(" or ".join(others))
    return f"{source.name} has no column that is {_words(target.meaning)}: leave the line out"


def _others(source: Table, target: Column) -> list[str]:
    """The raw columns that tell they are what `target` is; where there are none, those that a transform makes so."""
    told = [column for column in source.columns if target.meaning and column.meaning]
    as_they_are = [column.name for column in told if _fits(column, None, target)]
    return as_they_are or [
        column.name for column in told if any(_fits(column, way, target) for way in TRANSFORMS.values())
    ]


def _fits(raw: Column, transform: Transform | None, target: Column) -> bool:
    """Whether it is worth proposing: of the right types and meanings, and not without effect."""
    if _wrong_type(raw, transform, target) is not None:
        return False
    if transform is not None and (transform.satisfied_by(raw.type) or transform.reads not in ("", raw.meaning)):
        return False
    return target.meaning in ("", _given(raw, transform))


def _given(raw: Column, transform: Transform | None) -> str:
    return transform.gives if transform is not None and transform.gives else raw.meaning


def _words(meaning: str) -> str:
    return MEANINGS.get(meaning, meaning)
