# `make` alone lists the commands.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
# vLLM's own, since vLLM pins what it needs: 4 GB that every checkout shares.
VLLM_VENV ?= $(HOME)/.cache/casola-ocr/vllm-venv
SOURCES := casola_ocr api workers tests benchmarks docs

.DEFAULT_GOAL := help
.PHONY: help serve test check unit lint types chaos screenshots bench vllm-venv test-vllm clean

help: ## list the commands
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-11s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

$(VENV)/installed: pyproject.toml
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable .
	@touch $@

$(VENV)/installed-dev: pyproject.toml $(VENV)/installed
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[test,dev]'
	@touch $@

$(VLLM_VENV)/installed: pyproject.toml tests/vllm/requirements.txt
	@test -x $(VLLM_VENV)/bin/python || $(PYTHON) -m venv $(VLLM_VENV)
	@$(VLLM_VENV)/bin/python -m pip install --quiet --disable-pip-version-check \
		--requirement tests/vllm/requirements.txt --editable '.[test]'
	@# Their builds for CUDA do not import beside a torch without; nobody here listens.
	@$(VLLM_VENV)/bin/python -m pip uninstall --quiet --yes torchaudio torchcodec
	@touch $@

tests/%/node_modules: tests/%/package.json
	@cd $(dir $@) && npm install --silent --no-package-lock --no-audit --no-fund
	@touch $@

serve: $(VENV)/installed ## run everything on this machine (Ctrl-C stops it)
	@exec $(BIN)/casola-ocr serve

# The vendors' JavaScript clients, and what checks that Studio is accessible.
test: lint types tests/clients/node_modules tests/studio/node_modules ## lint, types and all tests, with real servers, clients and a browser
	@$(BIN)/python -m pytest tests

check: lint types unit ## the fast tier: lint, types and unit tests

unit: $(VENV)/installed-dev
	@$(BIN)/python -m pytest tests/unit -q

lint: $(VENV)/installed-dev ## ruff
	@$(BIN)/ruff check $(SOURCES)
	@$(BIN)/ruff format --check --quiet $(SOURCES)

types: $(VENV)/installed-dev ## mypy
	@$(BIN)/mypy

vllm-venv: $(VLLM_VENV)/installed

test-vllm: vllm-venv ## the DeepSeek-OCR engines on the real vLLM, without a GPU
	@PYTHONPATH=$(CURDIR):$(CURDIR)/tests/vllm/site $(VLLM_VENV)/bin/python -m pytest tests/vllm

screenshots: $(VENV)/installed-dev ## every state of Studio, at both sizes and in both themes, into docs/images
	@$(BIN)/python -m tests.studio.screenshots

chaos: $(VENV)/installed-dev ## ten minutes of load and faults; CHAOS="--seconds 60 --seed 3 --store directory"
	@$(BIN)/python -m tests.chaos $(or $(CHAOS),--seconds 600)

bench: $(VENV)/installed-dev ## what the service adds to its engine: start, memory, latency
	@$(BIN)/python -m benchmarks.service

clean: ## remove the virtual environment and caches (data stays)
	@rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache
