# `make lab` opens the panel, `make test` runs every test. Both set up what they need and are quick the second time.

SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

PYTHON ?= python3
PORT ?= 8888
NO_BROWSER ?=
PYTEST_ARGS ?=
MINUTES ?= 30
SEED ?= 0

BIN := .venv/bin
INSTALLED := .venv/.installed
MODULES := js/node_modules/.installed
BUNDLE := spade_widgets/widgets/static/explorer.js
BUNDLE_SOURCES := $(shell find js/src js/build.mjs js/package.json js/tsconfig.json -type f 2>/dev/null)

.PHONY: help
help: ## say what there is to make
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /  make \1\t/' | expand -t 22

.PHONY: lab
lab: $(INSTALLED) $(BUNDLE) ## open JupyterLab on the quickstart notebook (PORT=8888 NO_BROWSER=1 for a server)
	@PORT=$(PORT) NO_BROWSER=$(NO_BROWSER) scripts/lab.sh

.PHONY: test
test: setup chromium ## check formatting and types, run the tests: TypeScript, Python, the panels in JupyterLab in Chromium
	@scripts/test.sh

.PHONY: test-rare
test-rare: setup chromium ## run the slow tests that hardly ever fail, which `make test` leaves out
	$(BIN)/python -m pytest -m rare $(PYTEST_ARGS)

.PHONY: test-all
test-all: setup chromium lint test-js ## run every test there is: the rare ones, and all of torchvision's classifiers (an hour, 12 GB)
	$(BIN)/python -m pytest -m "" $(PYTEST_ARGS)

.PHONY: test-hosts
test-hosts: setup chromium ## try the panel in Jupyter Notebook 7, Voilà and marimo (installs them)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[hosts]'
	$(BIN)/python -m pytest -m hosts tests/hosts $(PYTEST_ARGS)

.PHONY: setup
setup: $(INSTALLED) $(BUNDLE) ## install everything into .venv and js/node_modules, and build the front end

.PHONY: chromium
chromium:
	@scripts/ensure_chromium.sh

.PHONY: lint
lint: $(INSTALLED) $(MODULES) ## check formatting and types
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	cd js && npm run --silent check

.PHONY: format
format: $(INSTALLED) $(MODULES) ## format what can be formatted
	$(BIN)/ruff check --fix
	$(BIN)/ruff format
	cd js && npm run --silent format

.PHONY: test-js
test-js: $(MODULES) ## run the TypeScript tests
	cd js && npm run --silent test

.PHONY: test-py
test-py: $(INSTALLED) $(BUNDLE) ## run the Python tests (PYTEST_ARGS=… for some of them)
	$(BIN)/python -m pytest --ignore=tests/browser $(PYTEST_ARGS)

.PHONY: test-browser
test-browser: $(INSTALLED) $(BUNDLE) ## run the tests of the panels in JupyterLab in Chromium (PYTEST_ARGS=…)
	$(BIN)/python -m pytest tests/browser $(PYTEST_ARGS)

.PHONY: soak
soak: setup chromium ## use the panel at random in JupyterLab (MINUTES=30, SEED=0)
	SOAK_MINUTES=$(MINUTES) SOAK_SEED=$(SEED) $(BIN)/python -m pytest -q -s -m "" tests/browser/test_soak.py $(PYTEST_ARGS)

.PHONY: build
build: $(INSTALLED) $(BUNDLE) ## build the wheel and the source archive into dist/
	$(BIN)/python -m build --no-isolation

.PHONY: constraints
constraints: $(INSTALLED) ## write down the exact versions that are installed now
	@{ sed -n '/^#/p' constraints.txt; $(BIN)/python -m pip freeze --exclude-editable; } > constraints.new
	@mv constraints.new constraints.txt

.PHONY: clean
clean: ## remove everything that was installed or built here
	rm -rf .venv js/node_modules dist test-results .pytest_cache .mypy_cache .ruff_cache .hypothesis
	rm -f spade_widgets/widgets/static/*.js spade_widgets/widgets/static/*.css

# The bundle comes first: installing the package would build it otherwise.
$(INSTALLED): pyproject.toml constraints.txt hatch_build.py | $(BUNDLE)
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed: make PYTHON=python3.11 …")'
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv
	@echo "Installing Python packages into .venv…"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[lab,test]'
	@touch $@

$(MODULES): js/package.json js/package-lock.json
	@command -v npm >/dev/null || { echo "Node 20 or newer with npm is needed to build the front end." >&2; exit 1; }
	@echo "Installing the front end's tools into js/node_modules…"
	@cd js && npm ci --no-audit --no-fund --no-update-notifier --loglevel=error
	@touch $@

$(BUNDLE): $(BUNDLE_SOURCES) $(MODULES)
	@echo "Building the front end…"
	@cd js && npm run --silent build
	@touch $@
