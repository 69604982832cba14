"""YAML as a tree with line numbers, read strictly: every problem is noted with its place, not the first one only."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches

import yaml

from schemahub_lib.errors import MappingError, Problem


class _Anchored(yaml.MarkedYAMLError):
    pass


class _Loader(yaml.SafeLoader):
    """Without anchors: a mapping needs none, and with them a small file can be a huge tree."""

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        event = self.peek_event()  # type: ignore[no-untyped-call]
        if anchor := getattr(event, "anchor", None):
            told = f"{'*' if isinstance(event, yaml.AliasEvent) else '&'}{anchor}"
            raise _Anchored(problem=told, problem_mark=event.start_mark)
        return super().compose_node(parent, index)


def compose(text: str, file: str, keys: Iterable[str]) -> tuple[yaml.SafeLoader, yaml.MappingNode]:
    """The YAML node tree, which unlike the loaded dicts has line numbers and repeated keys."""

    def refuse(message: str, line: int = 0, column: int = 0) -> MappingError:
        return MappingError([Problem(file, line, column, message)])

    try:
        loader = _Loader(text)
        root = loader.get_single_node()
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        message = f"not valid YAML: {error.problem or error.context}"
        if isinstance(error, _Anchored):
            message = (
                f"anchors and aliases ({error.problem}) are not part of a mapping: write the value where it is needed"
            )
        raise (refuse(message, mark.line + 1, mark.column + 1) if mark else refuse(message)) from None
    except yaml.reader.ReaderError as error:
        before = text[: error.position].split("\n")
        message = f"not valid YAML: character U+{error.character:04X} is not allowed; save the file as plain UTF-8"
        raise refuse(message, len(before), len(before[-1]) + 1) from None
    except (ValueError, OverflowError, RecursionError) as error:  # PyYAML lets "\UFFFFFFFF" and 1000 brackets through
        raise refuse(f"not valid YAML: {error}") from None
    if root is None:
        raise refuse(f"the file is empty: it should have the keys {', '.join(keys)}")
    if not isinstance(root, yaml.MappingNode):
        line, column = place(root)
        raise refuse(f"the file should have the keys {', '.join(keys)}, and this is {describe(root)}", line, column)
    return loader, root


class Reader:
    """What reads a tree. `problems` are those found so far."""

    def __init__(self, file: str, loader: yaml.SafeLoader) -> None:
        self.file, self.loader = file, loader
        self.problems: list[Problem] = []

    def pairs(self, node: yaml.Node | None, what: str) -> Iterable[tuple[str, yaml.Node, yaml.Node]]:
        """(key, key's node, value's node) of a section; an absent or empty section has none. Repeated keys once."""
        if node is None or tag(node) == "null":
            return
        if not isinstance(node, yaml.MappingNode):
            self.refuse(node, f"expected `{what}: value` lines, not {describe(node)}")
            return
        seen: dict[str, int] = {}
        for key_node, value_node in node.value:
            key = self.name(key_node, f"a {what}")
            if key is None:
                continue
            if key in seen:
                self.refuse(key_node, f"{key!r} is there twice, first in line {seen[key]}: keep one")
                continue
            seen[key] = place(key_node)[0]
            yield key, key_node, value_node

    def name(self, node: yaml.Node, what: str) -> str | None:
        if isinstance(node, yaml.ScalarNode) and tag(node) == "str" and node.value:
            return str(node.value)
        self.refuse(node, f"{what} must be a name, not {describe(node)}")
        return None

    def value(self, node: yaml.Node) -> object:
        """What a scalar stands for; None for what stands for nothing: a 30th of February, a tag that lies."""
        if not isinstance(node, yaml.ScalarNode):
            return None
        try:
            value: object = self.loader.construct_object(node)
        except (ValueError, OverflowError, KeyError, yaml.YAMLError):
            return None
        return value

    def refuse(self, node: yaml.Node, message: str) -> None:
        self.problems.append(Problem(self.file, *place(node), message))


def place(node: yaml.Node) -> tuple[int, int]:
    return node.start_mark.line + 1, node.start_mark.column + 1


def tag(node: yaml.Node) -> str:
    """`str`, `int`, `float`, `bool`, `null`, `timestamp`, `seq`, `map`."""
    return str(node.tag).removeprefix("tag:yaml.org,2002:")


def describe(node: yaml.Node) -> str:
    if isinstance(node, yaml.SequenceNode):
        return "a list"
    if isinstance(node, yaml.MappingNode):
        return "a nested mapping"
    return f"the {tag(node)} `{node.value}`" if node.value else "nothing"


def close(name: str, known: Iterable[str]) -> str | None:
    names = {other.lower(): other for other in known}
    return next((names[match] for match in get_close_matches(name.lower(), names, n=1)), None)


def as_number(node: yaml.Node) -> str:
    """What to write for a text that was meant as a number: YAML takes 1e3 for text."""
    try:
        return f" (write it as {float(node.value)!r})" if tag(node) == "str" else ""
    except ValueError:
        return ""


def nearest(name: str, known: Iterable[str]) -> str:
    names = list(dict.fromkeys(known))
    if meant := close(name, names):
        return f"; did you mean {meant!r}?"
    return f"; choose one of {', '.join(names)}" if names else ""
