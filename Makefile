# `make` lists the targets. Everything lives in .venv; nothing is installed elsewhere, except Debian
# packages for the tests (`make test`), when root or sudo allows.

VENV := .venv
BIN := $(VENV)/bin
UV := $(shell command -v uv 2>/dev/null)
PYTHON ?= $(shell scripts/find_python.sh)
ARGS ?=
# Test processes. Most tests wait for speech to be spoken, so there may be more than cores; 0 for one.
WORKERS ?= 3

TEST_PACKAGES := chromium redis-server postgresql flite libflite1 nginx-light haproxy

RUN_READY := $(VENV)/.run-ready
DEV_READY := $(VENV)/.dev-ready

LOCK := uv pip compile --quiet --universal --python-version 3.11 --all-extras --generate-hashes \
	--no-emit-index-url --no-header --no-annotate pyproject.toml

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help setup run demo doctor test lint format docs bench bench-accuracy lock upgrade clean distclean

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-15s %s\n", $$1, $$2}' $(MAKEFILE_LIST)
	@echo 'Arguments go in ARGS, e.g. make run ARGS="--port 9000", make test ARGS="-k rustpbx -x"'

setup: $(DEV_READY) ## Create .venv with the pinned dependencies, those of development included

run: $(RUN_READY) ## Install what is needed and start the server on http://127.0.0.1:8765
	@$(BIN)/antiphon serve $(ARGS)

demo: $(RUN_READY) ## Start a server of its own, place a call and order something
	@$(BIN)/antiphon demo $(ARGS)

doctor: $(RUN_READY) ## Check this machine and its settings
	@$(BIN)/antiphon doctor $(ARGS)

test: $(DEV_READY) ## Install all that the tests need, and run them
	@scripts/debian_packages.sh $(TEST_PACKAGES)
	$(BIN)/python -m pytest -n $(WORKERS) --dist loadfile $(ARGS)

lint: $(DEV_READY) ## Style, types, import contracts, spelling, docs
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/codespell
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet

format: $(DEV_READY) ## Put the code in form
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

docs: $(DEV_READY) ## Serve the documentation on http://127.0.0.1:8000
	$(BIN)/mkdocs serve $(ARGS)

bench: $(DEV_READY) ## Calls per core, latency and memory, beside stock Pipecat
	$(BIN)/python -m benchmarks $(ARGS)

bench-accuracy: $(DEV_READY) ## Accuracy of the embedded recognizer
	$(BIN)/python -m benchmarks.accuracy $(ARGS)

lock: ## Pin the dependencies again after an edit of pyproject.toml (needs uv)
	$(LOCK) --group build -o requirements.lock
	$(LOCK) --group dev -c requirements.lock -o requirements-dev.lock

upgrade: ## Pin the newest versions of the dependencies (needs uv)
	$(LOCK) --upgrade --group build -o requirements.lock
	$(LOCK) --upgrade --group dev -c requirements.lock -o requirements-dev.lock

clean: ## Remove what tests and builds left behind; keeps .venv and antiphon-data
	rm -rf build dist site .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	find src tests benchmarks -name __pycache__ -type d -prune -exec rm -rf {} +

distclean: clean ## The same, and .venv
	rm -rf $(VENV)

$(BIN)/python:
	@test -n "$(PYTHON)" || { echo "Python 3.11 or newer is needed (apt install python3)" >&2; exit 1; }
ifdef UV
	$(UV) venv --quiet --allow-existing --python "$(PYTHON)" $(VENV)
else
	@"$(PYTHON)" -c "import ensurepip" 2>/dev/null || scripts/debian_packages.sh --required python3-venv
	"$(PYTHON)" -m venv $(VENV)
endif

# $(call install,lock file): exactly what is locked, by hash; then this package, editable, with the
# build backend of the lock.
define install
	@echo "Installing $(1) into $(VENV) (once; a minute or two)"
	$(if $(UV),$(UV) pip install --quiet --python $(BIN)/python,$(BIN)/python -m pip install --quiet --disable-pip-version-check) --require-hashes -r $(1)
	$(if $(UV),$(UV) pip install --quiet --python $(BIN)/python,$(BIN)/python -m pip install --quiet --disable-pip-version-check) --no-deps --no-build-isolation -e .
	@touch $@
endef

$(RUN_READY): requirements.lock pyproject.toml | $(BIN)/python
	$(call install,requirements.lock)

$(DEV_READY): requirements-dev.lock pyproject.toml | $(BIN)/python
	$(call install,requirements-dev.lock)
	@touch $(RUN_READY)
