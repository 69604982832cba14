"""What the AWS provider knows of the types that `infra/` uses, read from the wheel of its CDK bindings.

`python -m tests.infra.provider_schema WHEEL` writes `provider_schema.json` beside this file; `make provider-schema`
fetches the wheel first. The bindings' classes take Terraform's own argument names, so their source is read, never run.
"""

from __future__ import annotations

import ast
import json
import re
import sys
import zipfile
from pathlib import Path
from typing import Any

from tests.infra.configuration import ROOT, Configuration

SCHEMA = Path(__file__).with_suffix(".json")
# Arguments of the bindings' own, and what Terraform adds to every type.
NOT_THE_PROVIDERS = {"self", "scope", "id_", "connection", "count", "depends_on", "for_each", "lifecycle"}
NOT_THE_PROVIDERS |= {"provider", "provisioners"}


def read_schema(wheel: Path, types: set[str]) -> dict[str, Any]:
    """`{"version": the provider's, "types": {type: {"arguments": {name: argument}, "attributes": [name]}}}` of types
    such as `aws_s3_bucket` or, for data sources, `data.aws_region`. An argument is `{"required": bool}`; a block has
    `"block": {name: argument}` too. Raises KeyError for a type that the provider has not."""
    with zipfile.ZipFile(wheel) as archive:
        version = re.search(r"providers/hashicorp/aws/([\d.]+)/", _source(archive, "provider"))
        assert version is not None
        return {"version": version[1], "types": {name: _read_type(archive, name) for name in sorted(types)}}


def _source(archive: zipfile.ZipFile, module: str) -> str:
    return archive.read(f"cdktf_cdktf_provider_aws/{module}/__init__.py").decode()


def _read_type(archive: zipfile.ZipFile, name: str) -> dict[str, Any]:
    source = _source(archive, name.replace("data.", "data_").removeprefix("aws_"))
    classes = {node.name: node for node in ast.parse(source).body if isinstance(node, ast.ClassDef)}
    top = next(iter(classes.values()))
    properties = {node.name for node in top.body if isinstance(node, ast.FunctionDef) and _is_property(node)}
    return {
        "arguments": _arguments(top, classes),
        "attributes": sorted(name for name in properties if not name.endswith("_input")),
    }


def _is_property(function: ast.FunctionDef) -> bool:
    return any(ast.unparse(decorator) == "builtins.property" for decorator in function.decorator_list)


def _arguments(owner: ast.ClassDef, classes: dict[str, ast.ClassDef]) -> dict[str, Any]:
    constructor = next(n for n in owner.body if isinstance(n, ast.FunctionDef) and n.name == "__init__")
    told = ast.get_docstring(constructor) or ""
    found: dict[str, Any] = {}
    for argument, default in zip(constructor.args.kwonlyargs, constructor.args.kw_defaults, strict=True):
        name = argument.arg
        if name in NOT_THE_PROVIDERS and owner is next(iter(classes.values())):
            continue
        found[name] = {"required": default is None}
        if f":param {name}: {name} block." in told:
            found[name]["block"] = _arguments(classes[_class_named(argument, classes)], classes)
    return found


def _class_named(argument: ast.arg, classes: dict[str, ast.ClassDef]) -> str:
    """The class in an annotation such as `Optional[Union["GlueJobCommand", Dict[str, Any]]]`."""
    names = [node.value for node in ast.walk(argument) if isinstance(node, ast.Constant) and node.value in classes]
    return str(names[0])


if __name__ == "__main__":
    used = {block.type for block in Configuration.read(ROOT / "infra").resources()}
    schema = read_schema(Path(sys.argv[1]), used)
    SCHEMA.write_text(json.dumps(schema, separators=(",", ":"), sort_keys=True).replace('},"', '},\n"') + "\n")
