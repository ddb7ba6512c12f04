# `make` alone lists the commands.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
# vLLM's own, since vLLM pins what it needs: 4 GB that every checkout shares.
VLLM_VENV ?= $(HOME)/.cache/casola-ocr/vllm-venv
SOURCES := casola_ocr api workers tests benchmarks docs

.DEFAULT_GOAL := help
.PHONY: help serve test check unit lint types chaos bench vllm-venv test-vllm clean

help: ## list the commands
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-9s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

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

vllm-venv: $(VLLM_VENV)/installed

test-vllm: vllm-venv ## the DeepSeek-OCR engines on the real vLLM, without a GPU
	@PYTHONPATH=$(CURDIR):$(CURDIR)/tests/vllm/site $(VLLM_VENV)/bin/python -m pytest tests/vllm

chaos: $(VENV)/installed-dev ## ten minutes of load and faults; CHAOS="--seconds 60 --seed 3 --store directory"
	@$(BIN)/python -m tests.chaos $(or $(CHAOS),--seconds 600)

bench: $(VENV)/installed-dev ## what the service adds to its engine: start, memory, latency
	@$(BIN)/python -m benchmarks.service

clean: ## remove the virtual environment and caches (data stays)
	@rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache
