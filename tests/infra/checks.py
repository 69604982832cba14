"""What `terraform validate` would find, as sentences: there is no terraform where the tests run."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from tests.infra.configuration import Block, Configuration, Module, Reference

# Terraform's own, allowed in every resource.
META_ARGUMENTS = {"count", "for_each", "depends_on", "provider"}
META_BLOCKS = {"lifecycle"}
MODULE_ARGUMENTS = {"source", "count", "for_each", "depends_on"}
PATHS = {"module", "root"}
# Those of Terraform's that infra/ uses; `terraform metadata functions` lists all.
FUNCTIONS = {
    *("basename", "cidrsubnet", "concat", "contains", "file", "filemd5", "fileset", "floor", "format", "join"),
    *("jsondecode", "jsonencode", "keys", "length", "merge", "one", "pow", "replace", "setproduct", "setsubtract"),
    *("split", "startswith", "templatefile", "tolist", "toset", "tostring", "trimprefix", "trimsuffix", "upper"),
    "values",
}


def problems(configuration: Configuration, schema: Mapping[str, Any]) -> list[str]:
    found: list[str] = []
    for resource in configuration.resources():
        found += _type_problems(resource, schema)
    for module in configuration.modules:
        found += _repeated(module)
        found += _undocumented(module)
        found += _unused(module)
        for block in module.blocks:
            for reference in block.references():
                if problem := _dangling(reference, block, module, configuration, schema):
                    found.append(f"{reference.where}: {reference}: {problem}")
            found += [
                f"{block.where}: {name}(): no such function" for name in block.functions() if name not in FUNCTIONS
            ]
    found += _call_problems(configuration)
    return found


def _type_problems(resource: Block, schema: Mapping[str, Any]) -> Iterator[str]:
    if resource.type not in schema:
        yield f"{resource.where}: {resource.type} is not in provider_schema.json: run `make provider-schema`"
        return
    yield from _argument_problems(resource, schema[resource.type]["arguments"], top=True)


def _argument_problems(block: Block, known: Mapping[str, Any], *, top: bool = False) -> Iterator[str]:
    title = " ".join((block.kind, *block.labels))
    inner = [_named(block) for block in block.blocks if not (top and block.kind in META_BLOCKS)]
    for name, body in inner:
        if "block" in known.get(name, {}):
            yield from _argument_problems(body, known[name]["block"])
        else:
            yield f"{body.where}: {title} has no block {name}"
    given = set(block.attributes) - (META_ARGUMENTS if top else set())
    for name in sorted(given):
        if name not in known:
            yield f"{block.where}: {title} has no argument {name}"
        elif "block" in known[name]:
            yield f"{block.where}: {name} is a block: write it without ="
    for name, argument in known.items():
        if argument["required"] and name not in given | {name for name, _ in inner}:
            yield f"{block.where}: {title} lacks {name}"


def _named(block: Block) -> tuple[str, Block]:
    """What a block is to the provider: of a dynamic one, its label and its content."""
    if block.kind != "dynamic":
        return block.kind, block
    return block.name, next(content for content in block.blocks if content.kind == "content")


def _repeated(module: Module) -> Iterator[str]:
    seen = set[tuple[str, ...]]()
    for block in module.blocks:
        address = (block.kind, *block.labels)
        if block.labels and address in seen:
            yield f"{block.where}: {' '.join(address)} is there twice"
        seen.add(address)


def _undocumented(module: Module) -> Iterator[str]:
    for kind, wanted in (("variable", ("description", "type")), ("output", ("description", "value"))):
        for block in module.of(kind).values():
            for attribute in wanted:
                if attribute not in block.attributes:
                    yield f"{block.where}: {kind} {block.name} has no {attribute}"


def _unused(module: Module) -> Iterator[str]:
    used = {reference.names[:2] for block in module.blocks for reference in block.references()}
    for name, block in module.of("variable").items():
        if ("var", name) not in used:
            yield f"{block.where}: variable {name} is never read"
    for name in sorted(module.locals):
        if ("local", name) not in used:
            yield f"{module.folder}: local {name} is never read"


def _call_problems(configuration: Configuration) -> Iterator[str]:
    for name, call in configuration.root.of("module").items():
        variables = configuration.children[name].of("variable")
        given = set(call.attributes) - MODULE_ARGUMENTS
        for unknown in sorted(given - set(variables)):
            yield f"{call.where}: module {name} has no variable {unknown}"
        required = {variable for variable, block in variables.items() if "default" not in block.attributes}
        for missing in sorted(required - given):
            yield f"{call.where}: module {name} is not given {missing}"


def _dangling(
    reference: Reference, block: Block, module: Module, configuration: Configuration, schema: Mapping[str, Any]
) -> str | None:
    """Why a reference leads nowhere; None when it does not."""
    match reference.names:
        case ("var", name, *_):
            return None if name in module.of("variable") else "no such variable"
        case ("local", name, *_):
            return None if name in module.locals else "no such local"
        case ("module", name, output, *_):
            if name not in module.of("module"):
                return "no such module"
            return None if output in configuration.children[name].of("output") else "no such output"
        case ("path", place):
            return None if place in PATHS else "no such path"
        case ("each", "key" | "value", *_):
            return None if "for_each" in block.attributes else "its block has no for_each"
        case ("count", "index"):
            return None if "count" in block.attributes else "its block has no count"
        case ("data", type_, name, *attributes):
            return _no_resource(f"data.{type_}", name, attributes, module, schema)
        case (type_, name, *attributes):
            return _no_resource(type_, name, attributes, module, schema)
        case _:
            return "nothing has this name"


def _no_resource(type_: str, name: str, attributes: list[str], module: Module, schema: Mapping[str, Any]) -> str | None:
    resource = module.resources.get((type_, name))
    if resource is None:
        return "no such resource"
    if attributes and type_ in schema and attributes[0] not in schema[type_]["attributes"]:
        return f"{type_} has no attribute {attributes[0]}"
    return None
