"""The shape of the library: imports go one way, modules are light, no exchange knows another."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

from schemahub_lib.exchanges import EXCHANGES

ROOT = Path(__file__).resolve().parents[1]
LIBRARY = ROOT / "schemahub_lib"

# A package may import those of its own layer and below. Lowest first.
LAYERS = (
    {"__init__", "errors", "config", "schemas", "watermark", "logs", "job_params", "aws", "files"},
    {"http", "mapping", "landing"},
    {"exchanges", "tables", "quality"},
    {"pipeline", "scaffold", "cost", "analysis", "live", "operations"},
    {
        *(
            "commands",
            "cli",
            "render",
            "render_cost",
            "render_tables",
            "render_drift",
            "render_mappings",
            "render_events",
        ),
        *("glue", "__main__", "demo", "ui"),
    },
)
# The simulator is an independent reading of the exchanges' documents.
SIMULATOR_MAY_USE = {"simulator", "errors", "__init__"}
NEVER_SPARK = ("exchanges", "http", "mapping", "landing")


def modules() -> list[Path]:
    return sorted(LIBRARY.rglob("*.py"))


def package_of(path: Path) -> str:
    relative = path.relative_to(LIBRARY)
    return relative.parts[0] if len(relative.parts) > 1 else relative.stem


def imports(path: Path) -> set[str]:
    """Every module imported anywhere in the file, inside functions too."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def ours(names: set[str]) -> set[str]:
    found = set()
    for name in names:
        top, _, rest = name.partition(".")
        if top == "schemahub_lib":
            part = rest.split(".")[0]
            found.add(part if (LIBRARY / part).is_dir() or (LIBRARY / f"{part}.py").exists() else "__init__")
    return found


def layer(package: str) -> int:
    return next(number for number, layer in enumerate(LAYERS) if package in layer)


@pytest.mark.parametrize("path", modules(), ids=lambda path: str(path.relative_to(LIBRARY)))
def test_imports_go_one_way(path: Path) -> None:
    package, used = package_of(path), ours(imports(path))
    if package == "simulator":
        assert used <= SIMULATOR_MAY_USE
        return
    above = {name for name in used if name != "simulator" and layer(name) > layer(package)}
    assert not above
    assert "simulator" not in used or package in ("commands", "demo")


@pytest.mark.parametrize("package", NEVER_SPARK)
def test_connectors_http_and_mappings_never_import_spark(package: str) -> None:
    for path in (LIBRARY / package).rglob("*.py"):
        assert not {name for name in imports(path) if name.split(".")[0] in ("pyspark", "py4j")}, path


def test_no_exchange_imports_another() -> None:
    for name in EXCHANGES:
        used = imports(LIBRARY / "exchanges" / f"{name}.py")
        others = {f"schemahub_lib.exchanges.{other}" for other in EXCHANGES if other != name}
        assert not {u for u in used if any(u.startswith(o) for o in others)}


def test_only_the_http_package_sends() -> None:
    for path in modules():
        if package_of(path) != "http":
            assert not {name for name in imports(path) if name.split(".")[0] in ("requests", "urllib3", "httpx")}, path


def test_only_glue_py_imports_awsglue() -> None:
    users = {package_of(p) for p in modules() if any(name.split(".")[0] == "awsglue" for name in imports(p))}
    assert users <= {"glue"}


def test_branches_are_written_by_name_and_never_by_the_option_that_writes_to_main() -> None:
    # `.option("branch", …)` with writeTo or saveAsTable silently writes to main.
    for path in modules():
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "option":
                first = node.args[0] if node.args else None
                assert not (isinstance(first, ast.Constant) and first.value == "branch"), path


def test_importing_the_library_loads_nothing_heavy() -> None:
    heavy = ("pyspark", "boto3", "pyarrow", "pandas", "numpy", "duckdb", "sqlglot", "requests", "aiohttp", "pyiceberg")
    code = f"import schemahub_lib.cli, sys; print([m for m in {heavy!r} if m in sys.modules])"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert out.stdout.strip() == "[]"


def test_no_file_grows_beyond_one_concept() -> None:
    assert {str(p.relative_to(ROOT)): n for p in modules() if (n := len(p.read_text().splitlines())) > 400} == {}
