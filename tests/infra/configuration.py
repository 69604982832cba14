"""Terraform files as blocks and references, read with python-hcl2: what the checks look at."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import hcl2
from lark import Token, Tree

ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Reference:
    """`module.iam.role_arns["x"]` as ("module", "iam", "role_arns"): names only, without indexes."""

    names: tuple[str, ...]
    where: str

    def __str__(self) -> str:
        return ".".join(self.names)


@dataclass(frozen=True)
class Block:
    """`kind "label" … { attributes and blocks }`; `where` is its file and line."""

    kind: str
    labels: tuple[str, ...]
    attributes: Mapping[str, Tree[Token]]
    blocks: tuple[Block, ...]
    where: str

    @property
    def name(self) -> str:
        return self.labels[-1]

    @property
    def type(self) -> str:
        """A resource's type, `aws_s3_bucket`, or a data source's, `data.aws_region`."""
        return f"data.{self.labels[0]}" if self.kind == "data" else self.labels[0]

    def nested(self) -> Iterator[Block]:
        """This block and every one in it."""
        yield self
        for block in self.blocks:
            yield from block.nested()

    def references(self) -> Iterator[Reference]:
        """What its expressions name, and those of the blocks in it; names bound inside an expression left out."""
        iterators = frozenset(block.name for block in self.nested() if block.kind == "dynamic")
        for block in self.nested():
            for attribute, expression in block.attributes.items():
                if (block.kind, attribute) != ("variable", "type"):
                    yield from _references(expression, iterators, block.where)

    def functions(self) -> Iterator[str]:
        """The functions that its expressions call, and those of the blocks in it."""
        for block in self.nested():
            for attribute, expression in block.attributes.items():
                if (block.kind, attribute) != ("variable", "type"):
                    yield from (_text(call.children[0]) for call in expression.find_data("function_call"))


@dataclass(frozen=True)
class Module:
    """The blocks of one folder."""

    folder: Path
    blocks: tuple[Block, ...]

    @classmethod
    def read(cls, folder: Path) -> Module:
        blocks: list[Block] = []
        for file in sorted(folder.glob("*.tf")):
            body = hcl2.parses_to_tree(file.read_text(encoding="utf-8")).children[0]
            blocks += _body(body, file)[1]
        return cls(folder, tuple(blocks))

    def of(self, kind: str) -> dict[str, Block]:
        """The blocks of a kind, by name: variable, output, module."""
        return {block.name: block for block in self.blocks if block.kind == kind}

    @cached_property
    def locals(self) -> set[str]:
        return {name for block in self.blocks if block.kind == "locals" for name in block.attributes}

    @cached_property
    def resources(self) -> dict[tuple[str, str], Block]:
        """Resources and data sources, by type and name."""
        return {(block.type, block.name): block for block in self.blocks if block.kind in ("resource", "data")}


@dataclass(frozen=True)
class Configuration:
    """The root module, and the one behind each of its `module` blocks."""

    root: Module
    children: Mapping[str, Module]

    @classmethod
    def read(cls, folder: Path) -> Configuration:
        root = Module.read(folder)
        calls = root.of("module").items()
        return cls(root, {name: Module.read(folder / literal(call.attributes["source"])) for name, call in calls})

    @property
    def modules(self) -> tuple[Module, ...]:
        return (self.root, *self.children.values())

    def resources(self) -> Iterator[Block]:
        for module in self.modules:
            yield from module.resources.values()


def literal(expression: Tree[Token]) -> str:
    """A quoted string without interpolation. Raises ValueError for another expression."""
    parts = list(expression.find_data("string_part"))
    if any(expression.find_data("interpolation")) or not any(expression.find_data("string")):
        raise ValueError(f"line {_line(expression)}: not a plain string")
    return "".join(_text(part) for part in parts)


def strings(expression: Tree[Token]) -> list[str]:
    """The quoted strings in an expression, interpolations as they are written."""
    return [_text(found).strip('"') for found in expression.find_data("string")]


def variable_values(file: Path) -> set[str]:
    """The variables that a .tfvars file sets."""
    body = hcl2.parses_to_tree(file.read_text(encoding="utf-8")).children[0]
    return set(_body(body, file)[0])


def _body(body: Tree[Token], file: Path) -> tuple[dict[str, Tree[Token]], tuple[Block, ...]]:
    attributes: dict[str, Tree[Token]] = {}
    blocks: list[Block] = []
    for child in body.children:
        if not isinstance(child, Tree):
            continue
        if child.data == "attribute":
            trees = [part for part in child.children if isinstance(part, Tree) and part.data != "new_line_or_comment"]
            attributes[_text(trees[0])] = trees[-1]
        elif child.data == "block":
            kind, *labels = [_text(part).strip('"') for part in child.children if _is(part, "identifier", "string")]
            inner = next(part for part in child.children if isinstance(part, Tree) and part.data == "body")
            blocks.append(Block(kind, tuple(labels), *_body(inner, file), where=f"{file}:{_line(child)}"))
    return attributes, tuple(blocks)


def _references(node: Tree[Token] | Token, bound: frozenset[str], where: str) -> Iterator[Reference]:
    if isinstance(node, Token):
        return
    if str(node.data).startswith("heredoc"):
        raise ValueError(f"{where}: a heredoc hides its references; write a file or jsonencode()")
    if node.data == "object_elem_key" and _names(node.children[0]) is not None:
        return  # a bare key is a word
    if node.data in ("for_tuple_expr", "for_object_expr"):
        intro = next(child for child in node.children if _is(child, "for_intro"))
        bound |= {_text(child) for child in intro.children if _is(child, "identifier")}
    names = _names(node)
    if names is not None and names[0] not in bound:
        yield Reference(names, where)
    for child in node.children if names is None else _indexes(node):
        yield from _references(child, bound, where)


def _names(node: Tree[Token] | Token) -> tuple[str, ...] | None:
    """The names of `a.b[0].c`; None when the node is no such chain."""
    if not _is(node, "expr_term") or len(node.children) != 1:
        return None
    (inner,) = node.children
    if _is(inner, "identifier"):
        return (_text(inner),)
    if not _is(inner, "get_attr_expr_term", "index_expr_term", "full_splat_expr_term", "attr_splat_expr_term"):
        return None
    first = _names(inner.children[0])
    if first is None:
        return None
    rest = [found for child in inner.children[1:] if isinstance(child, Tree) for found in child.find_data("get_attr")]
    return first + tuple(_text(found).removeprefix(".") for found in rest if not _is(inner, "index_expr_term"))


def _indexes(chain: Tree[Token]) -> Iterator[Tree[Token]]:
    """The expressions in the brackets of a chain."""
    for inner in chain.children:
        if isinstance(inner, Tree):
            if inner.data == "braces_index":
                yield inner
            else:
                yield from _indexes(inner)


def _is(node: object, *kinds: str) -> bool:
    return isinstance(node, Tree) and node.data in kinds


def _text(tree: Tree[Token]) -> str:
    return "".join(str(token) for token in tree.scan_values(lambda _: True))


def _line(tree: Tree[Token]) -> int:
    return int(next(iter(tree.scan_values(lambda _: True))).line)
