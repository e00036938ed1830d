# The two commands a newcomer needs: `make serve` and `make test`. `make help` lists the rest.
PYTHON ?= python3
VENV ?= .venv
PORT ?= 8080
DATA_DIR ?= ./data
CONFIG ?=
# Most tests wait for servers more than they compute.
WORKERS ?= $(shell $(PYTHON) -c 'import os; print(2 * (os.cpu_count() or 1))')
BIN := $(VENV)/bin
UV := $(shell command -v uv 2>/dev/null || echo $(BIN)/uv)
KERNEL := packages/recloser/src/recloser/kernel
PROJECTS := packages/recloser/pyproject.toml packages/recloser/setup.py packages/incident-manager/pyproject.toml \
  $(wildcard $(KERNEL)/*.c $(KERNEL)/*.h)
EDITABLE := -e packages/recloser -e packages/incident-manager

# What is compiled once need not be compiled again by each process that the tests start.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: help serve test test-python-kernel test-native test-pythons test-clients mutants lint format bench bench-library bench-service compare docs dashboards grafana-schema lock clean
.DEFAULT_GOAL := help

help: ## Show this help
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

$(BIN)/python:
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed, this is " + sys.version)'
	@if command -v uv >/dev/null 2>&1; then uv venv --quiet --python "$$($(PYTHON) -c 'import sys; print(sys.executable)')" $(VENV); \
	else $(PYTHON) -m venv $(VENV) && $(BIN)/python -m pip install --quiet --disable-pip-version-check uv; fi

$(VENV)/.run: $(BIN)/python locks/run.txt $(PROJECTS)
	$(UV) pip install --quiet --compile-bytecode --python $(BIN)/python --require-hashes -r locks/run.txt
	$(UV) pip install --quiet --python $(BIN)/python --no-deps --no-build-isolation $(EDITABLE)
	@touch $@

$(VENV)/.dev: $(BIN)/python locks/dev.txt $(PROJECTS)
	$(UV) pip install --quiet --compile-bytecode --python $(BIN)/python --require-hashes -r locks/dev.txt
	$(UV) pip install --quiet --python $(BIN)/python --no-deps --no-build-isolation $(EDITABLE)
	@touch $@ $(VENV)/.run

serve: $(VENV)/.run ## Install what is needed and run the incident manager on http://127.0.0.1:8080 (PORT, DATA_DIR, CONFIG)
	$(BIN)/incident-manager serve --port $(PORT) --data-dir $(DATA_DIR) $(if $(CONFIG),--config $(CONFIG))

test: $(VENV)/.dev ## Install what the tests need, real servers included, and run all tests
	@testing/servers/fetch-programs.sh $(VENV)/servers
	$(BIN)/python -m pytest -n $(WORKERS) --dist worksteal $(PYTEST_ARGS)
	$(MAKE) --no-print-directory test-python-kernel

test-python-kernel: $(VENV)/.dev ## Run the library's tests on the kernel in pure Python
	RECLOSER_KERNEL=python $(BIN)/python -m pytest -n $(WORKERS) --dist worksteal $(foreach part,config dashboard instrumentation integrations top typing,--ignore packages/recloser/tests/$(part)) \
	  packages/recloser/tests $(PYTEST_ARGS)

test-native: $(VENV)/.dev ## Compile the kernel strictly for every CPython at hand; run its tests under the sanitizers
	$(BIN)/python testing/native.py $(PYTEST_ARGS)

test-pythons: $(VENV)/.dev ## Run the library's tests on every CPython 3.11+ found on this machine
	$(BIN)/python testing/pythons.py $(PYTEST_ARGS)

test-clients: $(VENV)/.dev locks/previous-clients.txt ## Run the tests of the integrations with the previous major versions of the clients
	$(UV) pip install --quiet --python $(BIN)/python --target $(VENV)-previous-clients --no-deps --require-hashes -r locks/previous-clients.txt
	PYTHONPATH=$(VENV)-previous-clients $(BIN)/python -m pytest packages/recloser/tests/integrations $(PYTEST_ARGS)

mutants: $(BIN)/python locks/mutants.txt ## Change the state machine in every small way and see that a test notices
	@test -x $(VENV)-mutants/bin/python || $(UV) venv --quiet --python $(BIN)/python $(VENV)-mutants
	$(UV) pip install --quiet --python $(VENV)-mutants/bin/python --require-hashes -r locks/mutants.txt
	$(UV) pip install --quiet --python $(VENV)-mutants/bin/python --no-deps --no-build-isolation $(EDITABLE)
	$(VENV)-mutants/bin/python testing/mutants.py

$(VENV)-bench/.ready: $(BIN)/python locks/bench.txt $(PROJECTS)
	@test -x $(VENV)-bench/bin/python || $(UV) venv --quiet --python $(BIN)/python $(VENV)-bench
	$(UV) pip install --quiet --python $(VENV)-bench/bin/python --require-hashes -r locks/bench.txt
	$(UV) pip install --quiet --python $(VENV)-bench/bin/python --no-deps --no-build-isolation -e packages/recloser
	@touch $@

bench: bench-library bench-service ## Measure both packages (BENCH_ARGS=--quick)

bench-library: $(VENV)-bench/.ready ## Measure what protection costs, beside other libraries
	$(VENV)-bench/bin/python -m benchmarks $(BENCH_ARGS)

bench-service: $(VENV)/.dev ## Measure what the incident manager takes, healthy and with each dependency failing
	$(BIN)/python -m benchmarks.service $(BENCH_ARGS)

compare: $(VENV)-bench/.ready ## Try what recloser and other libraries do, and print it as a table (COMPARE_ARGS=--write)
	$(VENV)-bench/bin/python -m benchmarks.features $(COMPARE_ARGS)

docs: $(BIN)/python locks/docs.txt mkdocs.yml ## Build the documentation into site/
	@test -x $(VENV)-docs/bin/python || $(UV) venv --quiet --python $(BIN)/python $(VENV)-docs
	$(UV) pip install --quiet --python $(VENV)-docs/bin/python --require-hashes -r locks/docs.txt
	NO_MKDOCS_2_WARNING=1 $(VENV)-docs/bin/mkdocs build --quiet --strict

dashboards: $(VENV)/.dev ## Write the dashboards for Grafana into deploy/grafana/
	$(BIN)/python -m deploy.grafana.source

grafana-schema: ## Make the schemas anew that the tests hold the dashboards against (needs npm)
	deploy/grafana/schema/generate.sh

lint: $(VENV)/.dev ## Check style (ruff) and types (mypy --strict)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: $(VENV)/.dev ## Format the code and apply ruff's fixes
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

COMPILE := pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url \
  --no-emit-find-links --no-sources --custom-compile-command 'make lock' \
  --no-emit-package recloser --no-emit-package llm-incident-manager

lock: $(BIN)/python ## Resolve the dependencies anew into locks/
	$(UV) $(COMPILE) locks/run.in -o locks/run.txt
	$(UV) $(COMPILE) locks/run.in --group pyproject.toml:dev -c locks/run.txt -o locks/dev.txt
	$(UV) $(COMPILE) locks/run.in --group pyproject.toml:dev --group pyproject.toml:mutants -c locks/dev.txt -o locks/mutants.txt
	$(UV) $(COMPILE) --group pyproject.toml:docs -o locks/docs.txt
	$(UV) $(COMPILE) locks/bench.in -o locks/bench.txt
	$(UV) $(COMPILE) --group pyproject.toml:previous-clients -o locks/previous-clients.txt
	$(BIN)/python -m testing.matrix

clean: ## Remove the virtual environments and caches
	rm -rf $(VENV) $(VENV)-* .mypy_cache .ruff_cache .pytest_cache build dist packages/recloser/build $(KERNEL)/*.so
