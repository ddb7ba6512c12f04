# `make` alone lists the commands.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
SOURCES := casola_ocr api workers tests benchmarks docs

.DEFAULT_GOAL := help
.PHONY: help serve test check unit lint types chaos bench clean

help: ## list the commands
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "  make %-8s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

$(VENV)/installed: pyproject.toml
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable .
	@touch $@

$(VENV)/installed-dev: pyproject.toml $(VENV)/installed
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[test,dev]'
	@touch $@

serve: $(VENV)/installed ## run everything on this machine (Ctrl-C stops it)
	@exec $(BIN)/casola-ocr serve

test: lint types ## lint, types and all tests, on a real Valkey and a real S3 server
	@$(BIN)/python -m pytest tests

check: lint types unit ## the fast tier: lint, types and unit tests

unit: $(VENV)/installed-dev
	@$(BIN)/python -m pytest tests/unit -q

lint: $(VENV)/installed-dev ## ruff
	@$(BIN)/ruff check $(SOURCES)
	@$(BIN)/ruff format --check --quiet $(SOURCES)

types: $(VENV)/installed-dev ## mypy
	@$(BIN)/mypy

chaos: $(VENV)/installed-dev ## ten minutes of load and faults; CHAOS="--seconds 60 --seed 3 --store directory"
	@$(BIN)/python -m tests.chaos $(or $(CHAOS),--seconds 600)

bench: $(VENV)/installed-dev ## what the service adds to its engine: start, memory, latency
	@$(BIN)/python -m benchmarks.service

clean: ## remove the virtual environment and caches (data stays)
	@rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache
