# The courtroom agent's commands for people who work on it. `make` alone lists them.
SHELL := /bin/sh
.SHELLFLAGS := -eu -c
.DEFAULT_GOAL := help

# SETUP_DEBIAN=no: leave Debian's packages alone (another distribution, or an administrator who installed them).
SETUP_DEBIAN ?= yes
# SETUP_PAGES=no: leave the participants' pages as they are (where npm's packages cannot be reached); all else works without them.
SETUP_PAGES ?= yes
BIN := .venv/bin
ARGS ?=

.PHONY: help
help: ## List these commands
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-15s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: setup
setup: ## Install what the agent needs: Debian packages, .venv, Python packages by hash; build the pages
	@[ "$(SETUP_DEBIAN)" = no ] || scripts/setup-debian run
	@scripts/setup-python
	@[ "$(SETUP_PAGES)" = no ] || scripts/build-pages

.PHONY: setup-test
setup-test: ## The same, and what the tests need
	@[ "$(SETUP_DEBIAN)" = no ] || scripts/setup-debian test
	@scripts/setup-python
	@[ "$(SETUP_PAGES)" = no ] || scripts/build-pages

.PHONY: setup-test-long
setup-test-long: ## The same, and what the long tests need: QEMU
	@[ "$(SETUP_DEBIAN)" = no ] || scripts/setup-debian long
	@scripts/setup-python
	@[ "$(SETUP_PAGES)" = no ] || scripts/build-pages

.PHONY: demo
demo: setup ## A centre and a room: plan, record, seal, deliver and verify a hearing; tamper a copy and see it caught
	@$(BIN)/courtroom demo $(ARGS)

.PHONY: test
# Three workers on two cores: tests that record in real time wait for nearly half of it; those with browsers want more of the processor.
test: setup-test ## All tests but the long ones (ARGS="-k name" to choose)
	@[ "$(SETUP_PAGES)" = no ] || [ -n "$(ARGS)" ] || scripts/build-pages test
	@$(BIN)/python -m pytest -m "not conference and not long and not alone" -n 3 --dist worksteal $(ARGS) $(if $(ARGS),|| [ $$? -eq 5 ])
	@$(BIN)/python -m pytest -m "conference and not long and not alone" -n 2 --dist worksteal $(ARGS) $(if $(ARGS),|| [ $$? -eq 5 ])
	@$(BIN)/python -m pytest -m "alone and not long" $(ARGS) $(if $(ARGS),|| [ $$? -eq 5 ])

.PHONY: test-long
test-long: setup-test-long ## The tests that take minutes: kills, power cuts, faults, bad links, a virtual machine (as root)
	@$(BIN)/python -m pytest -m long $(ARGS)

.PHONY: lint
lint: setup-test ## Format, rules, types and the import contracts
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports --no-cache

.PHONY: bench
bench: setup-test ## Measure against peers and write bench/results.json
	@$(BIN)/python -m bench $(ARGS)

.PHONY: lock
lock: setup ## Resolve the dependencies of pyproject.toml anew into requirements.lock
	@[ -x build/uv/bin/uv ] || { python3 -m venv build/uv && build/uv/bin/pip install --quiet uv; }
	@build/uv/bin/uv pip compile --quiet --all-extras --generate-hashes --no-header --no-emit-index-url \
		--python-version 3.11 --output-file requirements.lock pyproject.toml

.PHONY: clean
clean: ## Remove everything that these commands made
	@rm -rf .venv build vks/static agent/upstream/centre/static web/node_modules demo-out *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +
