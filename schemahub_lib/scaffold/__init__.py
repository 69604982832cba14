"""The files that a new exchange begins with: they compile, and their tests are red until what says FILL IN is."""

from __future__ import annotations

import keyword
import re
from importlib import resources
from pathlib import Path
from string import Template

from schemahub_lib.errors import UsageError, words

# By template: where it goes in a checkout.
FILES = {
    "connector.txt": "schemahub_lib/exchanges/{name}.py",
    "tests.txt": "tests/exchanges/test_{name}.py",
    "mapping.txt": "mappings/{name}_trades.yaml",
    "examples.txt": "mappings/{name}_trades_test.yaml",
}
REGISTRY = "schemahub_lib/exchanges/__init__.py"


def new_source(checkout: Path, name: str) -> list[str]:
    """Write the files of an exchange called `name` into a checkout, and nothing over what is there, and enter it among
    the exchanges; the files' paths in it.

    Raises UsageError when the name cannot be one, `checkout` is none, or any of the files is there already.
    """
    title = name.capitalize()
    if not re.fullmatch(r"[a-z][a-z0-9]*", name) or any(map(keyword.iskeyword, (name, title))):
        raise UsageError(f"{name!r} cannot be an exchange's name: lower-case letters and digits, as in `bitstamp`")
    registry = checkout / REGISTRY
    if not registry.is_file():
        raise UsageError(
            f"{checkout} is no checkout of SchemaHub (it has no {REGISTRY}): a connector is a file of the library, "
            "so run this at the top of one"
        )
    paths = {template: path.format(name=name) for template, path in FILES.items()}
    if there := [path for path in paths.values() if (checkout / path).exists()]:
        raise UsageError(f"nothing was written, since this is there already: {', '.join(there)}")
    entered = _entered(registry.read_text(encoding="utf-8"), name, title)
    written: list[Path] = []
    try:
        for template, path in paths.items():
            text = (resources.files(__name__) / template).read_text(encoding="utf-8")
            with (checkout / path).open("x", encoding="utf-8") as file:
                written.append(checkout / path)
                file.write(Template(text).substitute(name=name, title=title, upper=name.upper()))
        registry.write_text(entered, encoding="utf-8")
    except OSError as error:
        for made in written:
            made.unlink()
        raise UsageError(f"nothing was written: {words(error)}") from error
    return list(paths.values())


def _entered(registry: str, name: str, title: str) -> str:
    """The text of the registry with one exchange more."""
    lines = registry.splitlines(keepends=True)
    imports = [place for place, line in enumerate(lines) if line.startswith("from schemahub_lib.exchanges.")]
    end = next((place for place, line in enumerate(lines) if line == "}\n"), None)
    if not imports or end is None:
        raise UsageError(f"{REGISTRY} has no EXCHANGES to enter it in: nothing was written")
    connectors = {*lines[imports[0] : imports[-1] + 1], f"from schemahub_lib.exchanges.{name} import {title}\n"}
    entry = f'    "{name}": {title}(),\n'
    return "".join([*lines[: imports[0]], *sorted(connectors), *lines[imports[-1] + 1 : end], entry, *lines[end:]])
