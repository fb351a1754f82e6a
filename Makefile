# Everything that is done to this project by hand or by CI. `make` alone lists it.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# checks need settings that load, not values that matter
LOADABLE := DEBUG=1 DATA_DIR=var/lint

.DEFAULT_GOAL := help
.PHONY: help start test lint format bench screenshots torture clean

help: ## List the commands
	@grep -hE '^[a-z]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | awk -F'\t' '{printf "make %-12s %s\n", $$1, $$2}'

start: $(VENV)/.installed ## Run the whole platform on http://127.0.0.1:8000 (ARGS="--port 9000 --no-demo")
	@exec $(BIN)/python manage.py start $(ARGS)

test: $(VENV)/.installed-test ## Run the test suite (ARGS="tests/messages -k lane")
	$(BIN)/python -m pytest --numprocesses 2 --dist loadscope $(ARGS)

lint: $(VENV)/.installed-lint ## Check style, types, layers and migrations
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(LOADABLE) $(BIN)/mypy .
	$(LOADABLE) $(BIN)/lint-imports
	$(LOADABLE) $(BIN)/python manage.py makemigrations --check --dry-run

format: $(VENV)/.installed-lint ## Put the code into the project's style
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: $(VENV)/.installed-test ## Measure, each figure beside its baseline of the same run
	$(LOADABLE) $(BIN)/python -m bench $(ARGS)

screenshots: $(VENV)/.installed-test ## Write pictures of the main pages to var/screenshots (ARGS="docs --readme": the README's)
	$(BIN)/python -m tests.browser.pictures $(or $(ARGS),var/screenshots)

torture: $(VENV)/.installed-test ## Kill its processes for 15 minutes and count what is lost (ARGS="--seconds 300 --seed 7")
	$(BIN)/python -m tests.faults.run $(ARGS)

clean: ## Remove the virtual environment and all caches (data in var/ stays)
	rm -rf $(VENV) .mypy_cache .pytest_cache .ruff_cache .import_linter_cache .hypothesis

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed")'
	$(PYTHON) -m venv $(VENV)

$(VENV)/.installed: $(BIN)/python pyproject.toml constraints.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable .
	@touch $@

$(VENV)/.installed-%: $(BIN)/python pyproject.toml constraints.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[$*]'
	@touch $@
