PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

.PHONY: run check test lint bench clean

run: $(VENV)/.runtime
	@exec $(BIN)/python -m core run

# The quick part of `make test`: lint, types, and the tests that need neither a Postgres nor a browser.
check: lint
	$(BIN)/python -m pytest -q -n auto --maxprocesses 4 -m "not database and not browser and not slow"

test: lint
	$(BIN)/python -m pytest -n auto --maxprocesses 4 --dist loadfile --no-loadscope-reorder

bench: $(VENV)/.dev
	$(BIN)/python -m bench $(BENCH)

lint: $(VENV)/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports --no-logo
	DENO_DIR=build/deno $(BIN)/deno check -q core/ui/components
	DENO_DIR=build/deno $(BIN)/deno lint -q
	DENO_DIR=build/deno $(BIN)/deno fmt -q --check
	$(BIN)/mypy

$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "Lookalike needs Python 3.11 or later. Name it: make run PYTHON=python3.12"; exit 1; }
	$(PYTHON) -m venv $(VENV)

$(VENV)/.runtime: $(VENV)/bin/python requirements.txt constraints.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -r requirements.txt
	@touch $@

$(VENV)/.dev: $(VENV)/.runtime requirements-dev.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -r requirements-dev.txt
	@touch $@

clean:
	rm -rf $(VENV) build .mypy_cache .ruff_cache .pytest_cache .import_linter_cache
