# A thin layer over the tools: each target sets up what it needs, and is quick the second time.
PYTHON ?= python3
BIN := .venv/bin
STAMP := .venv/.set-up
# A file's tests stay in one process, which has servers of its own.
SPREAD := --numprocesses auto --maxprocesses 4 --dist loadfile

.PHONY: histories screenshots setup demo test test-long up down lint fmt clauses requirements

setup: $(STAMP)

$(STAMP): requirements/dev.txt requirements/uv.txt pyproject.toml tools/bootstrap.py
	@$(PYTHON) tools/bootstrap.py
	@touch $@

# make demo SOP=department-request shows another one.
demo: setup
	@$(BIN)/holdfast demo $(SOP)

up: setup
	@$(BIN)/holdfast up

down: setup
	@$(BIN)/holdfast down

test: setup
	@$(BIN)/python tools/system_packages.py
	@$(BIN)/python tools/temporal_ready.py
	@$(BIN)/python -m pytest $(SPREAD) -m "not long" $(ARGS)

test-long: setup
	@$(BIN)/python tools/system_packages.py
	@$(BIN)/python tools/temporal_ready.py
	@$(BIN)/python -m pytest -m long $(ARGS)

# Runs the tests that are marked with a clause, and says which clauses they show.
clauses: setup
	@$(BIN)/python tools/system_packages.py
	@$(BIN)/python tools/temporal_ready.py
	@$(BIN)/python -m pytest $(SPREAD) -q -m clause $(ARGS)
	@$(BIN)/python -m tools.clauses

lint: setup
	@$(BIN)/ruff check
	@$(BIN)/ruff format --check
	@$(BIN)/pyright
	@$(BIN)/lint-imports

fmt: setup
	@$(BIN)/ruff check --fix-only
	@$(BIN)/ruff format

COMPILE := $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url \
	--custom-compile-command "make requirements"

requirements: setup
	@$(COMPILE) $(ARGS) requirements/uv.in --output-file requirements/uv.txt
	@$(COMPILE) $(ARGS) requirements/base.in --output-file requirements/base.txt
	@$(COMPILE) $(ARGS) --constraints requirements/base.txt requirements/dev.in --output-file requirements/dev.txt

# Renews docs/screenshots: the tests of the pages take them on their way, with what they check.
screenshots: setup
	@$(BIN)/python tools/system_packages.py
	@$(BIN)/python tools/temporal_ready.py
	@HOLDFAST_SCREENSHOTS=1 $(BIN)/python -m pytest -q tests/pages/test_browser.py tests/pages/test_my_work.py \
		tests/pages/test_approval.py tests/pages/test_withdrawal.py tests/pages/test_temporal_ui.py -k "browser or phone or urgency or temporal" $(ARGS)

# Before the first release only: see ARCHITECTURE.md, Changing a workflow.
histories: setup
	@rm -f tests/workflows/histories/*.json
	@HOLDFAST_RECORD_HISTORIES=1 $(BIN)/pytest -q tests/workflows --deselect tests/workflows/test_replay.py \
		--deselect tests/workflows/test_cost.py --ignore tests/workflows/test_steps.py
	@$(BIN)/python -m tests.workflows.test_replay
