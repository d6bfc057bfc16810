# The workbench from a fresh clone: `make run`. Everything goes into .venv; `make help` lists the rest.

PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin

# A stamp is named after what it stands for, so an unchanged lock costs nothing and a changed one is installed.
key        = $(shell cat $(1) | cksum | tr -d ' ')
RUN_STAMP  := $(VENV)/.stamps/run-$(call key,requirements/run.txt pyproject.toml)
TEST_STAMP := $(VENV)/.stamps/test-$(call key,requirements/test.txt pyproject.toml)

PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check

# What can't run on every machine: sound servers, browsers, weights. `make check` leaves it out.
MARKED := sound or terminal or picture or browser or room or models

.DEFAULT_GOAL := help
.PHONY: help setup run test check lint bench lock clean system-packages weights

help: ## this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "  make %-8s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: $(RUN_STAMP) weights ## make .venv, install what the lock names, get the weights

run: setup ## bring up the workbench; without a terminal or sound card it plays a sample conversation
	$(BIN)/workbench up

test: setup $(TEST_STAMP) ## every test that this machine can run; says how many it can't, and why
	$(BIN)/python -m pytest

check: $(TEST_STAMP) lint ## what must pass before a commit: style, types, imports, fast tests
	$(BIN)/python -m pytest -q -n auto --dist worksteal -m "not ($(MARKED))"

lint: $(TEST_STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: setup $(TEST_STAMP) ## measure: latency, cost a frame, start-up
	$(BIN)/python -m bench

# uv resolves, pip installs. Nobody's index, folder or user settings may end up in the locks.
UV := env -u PIP_FIND_LINKS -u UV_FIND_LINKS $(BIN)/uv --no-config pip compile --quiet --universal --python-version 3.11 \
	--generate-hashes --no-annotate --no-header --no-emit-index-url --no-emit-find-links

lock: $(TEST_STAMP) ## resolve the requirements anew (UPGRADE=--upgrade takes the newest versions)
	$(UV) $(UPGRADE) --extra local --extra room -o requirements/run.txt pyproject.toml requirements/build.in
	$(UV) $(UPGRADE) --extra local --extra room --extra scale --extra dev -c requirements/run.txt -o requirements/test.txt \
		pyproject.toml requirements/build.in
	@! grep -nE '://|^ *-[^-]|^--|file:| /' requirements/run.txt requirements/test.txt

clean: ## remove .venv and what tools left behind; weights and sessions stay
	rm -rf $(VENV) build dist .coverage .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

system-packages:
	@PYTHON=$(PYTHON) scripts/system-packages

$(BIN)/python: | system-packages
	$(PYTHON) -m venv $(VENV)

$(RUN_STAMP): | system-packages $(BIN)/python
	$(PIP) --require-hashes -r requirements/run.txt
	$(PIP) --no-deps --no-build-isolation --editable .
	@mkdir -p $(@D) && rm -f $(@D)/run-* && touch $@

$(TEST_STAMP): | $(RUN_STAMP)
	$(PIP) --require-hashes -r requirements/test.txt
	@mkdir -p $(@D) && rm -f $(@D)/test-* && touch $@

# Exit code 3: they could not be had, and it has said so. Everything but the models on board works without them.
weights: $(RUN_STAMP)
	@$(BIN)/workbench models pull --quiet || { code=$$?; [ $$code = 3 ] || exit $$code; }
