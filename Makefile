# fedbrats. `make` alone lists what there is.
SHELL := /bin/bash
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed

.DEFAULT_GOAL := help
.PHONY: help install demo test test-long lint docs pages jobs provision wheelhouse clean

help:  ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

install: $(INSTALLED)  ## install fedbrats, with what its tests need, into .venv

$(INSTALLED): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt torch
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[dev]'
	@touch $@

demo: $(INSTALLED)  ## five synthetic hospitals in FLARE POC: five ways to train, one bad hospital, a report
	$(BIN)/python poc/demo.py

test: $(INSTALLED)  ## run the tests, real FLARE processes included, two at a time
	$(BIN)/python -m pytest -n 2 --dist loadfile -m "not long"

test-long: $(INSTALLED)  ## run the tests that take minutes each: federations killed, cut off and resumed
	$(BIN)/python -m pytest -m long

lint: $(INSTALLED)  ## ruff and mypy
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

docs: $(INSTALLED)  ## build the site of the documents into build/site, without a network
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet
	@echo "build/site/index.html; with its search: $(BIN)/python -m http.server --directory build/site"

pages: $(INSTALLED)  ## make the generated parts of the documents: commands, variables, folders, rows, findings, layouts, results
	$(BIN)/python -m tests.pages.commands
	$(BIN)/python -m tests.pages.configuration
	$(BIN)/python -m tests.pages.folders
	$(BIN)/python -m tests.pages.rows
	$(BIN)/python -m tests.pages.findings
	$(BIN)/python -m tests.pages.layouts
	$(BIN)/python benchmarks/page.py
	$(BIN)/python experiments/real_tables.py
	$(BIN)/python experiments/attack_tables.py

jobs: $(INSTALLED)  ## build every job into build/jobs
	$(BIN)/fedbrats job build

provision: $(INSTALLED)  ## build the startup kits of provisioning/project.yml into provisioned/ (private keys!)
	$(BIN)/fedbrats provision build

wheelhouse: $(INSTALLED)  ## fetch all that a machine without internet installs, into build/wheelhouse
	$(BIN)/python -m pip wheel --quiet --disable-pip-version-check --no-deps --wheel-dir build/dist .
	$(BIN)/fedbrats provision wheelhouse build/wheelhouse --wheel build/dist/fedbrats-*.whl

clean:  ## remove what was built (not .venv, not results)
	rm -rf build dist .pytest_cache .ruff_cache .mypy_cache .hypothesis
