"""The files that a new exchange begins with: they compile, and their tests are red until what says FILL IN is."""

from __future__ import annotations

import keyword
import re
from importlib import resources
from pathlib import Path
from string import Template

from schemahub_lib.errors import UsageError
from schemahub_lib.errors import words as words_of

# By template: where it goes in a checkout.
FILES = {
    "connector.txt": "schemahub_lib/exchanges/{name}.py",
    "tests.txt": "tests/exchanges/test_{name}.py",
    "mapping.txt": "mappings/{name}_trades.yaml",
    "examples.txt": "mappings/{name}_trades_test.yaml",
}
REGISTRY = "schemahub_lib/exchanges/__init__.py"


def new_source(checkout: Path, name: str) -> list[str]:
    """Write the files of an exchange called `name` into a checkout, and nothing over what is there; their paths in it.

    Raises UsageError when the name cannot be one, `checkout` is none, or any of the files is there already.
    """
    words = (name, name.capitalize())
    if not re.fullmatch(r"[a-z][a-z0-9]*", name) or any(map(keyword.iskeyword, words)):
        raise UsageError(f"{name!r} cannot be an exchange's name: lower-case letters and digits, as in `bitstamp`")
    if not (checkout / REGISTRY).is_file():
        raise UsageError(
            f"{checkout} is no checkout of SchemaHub (it has no {REGISTRY}): a connector is a file of the library, "
            "so run this at the top of one"
        )
    paths = {template: path.format(name=name) for template, path in FILES.items()}
    if there := [path for path in paths.values() if (checkout / path).exists()]:
        raise UsageError(f"nothing was written: {', '.join(there)} is there already")
    written: list[Path] = []
    try:
        for template, path in paths.items():
            text = (resources.files(__name__) / template).read_text(encoding="utf-8")
            with (checkout / path).open("x", encoding="utf-8") as file:
                written.append(checkout / path)
                file.write(Template(text).substitute(name=name, title=name.capitalize(), upper=name.upper()))
    except OSError as error:
        for file_written in written:
            file_written.unlink()
        raise UsageError(f"nothing was written: {words_of(error)}") from error
    return list(paths.values())
