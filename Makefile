# make help shows the targets. Nothing here needs root or Docker.

SHELL := /bin/sh
VENV := .venv
BIN := $(VENV)/bin
# The programs that the benchmark compares with; only `make bench` installs them.
PEERS := .venv-bench
# The program that writes the bill of materials; only `make sbom` installs it.
SBOM := .venv-sbom
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet
# Quickstart's own options, e.g. make quickstart ARGS="--port 0"
ARGS :=
# How much longer make fuzz runs than make test's own part of it, and the seed to run again
TIMES := 20
SEED := random
# The Python to use, where the first one that is found is not the right one.
export PYTHON

.DEFAULT_GOAL := help
.PHONY: help install check fix test test-fast test-citus coverage fuzz soak quickstart bench docs lock dist sbom clean
# Tests start hundreds of processes, which start faster if the modules are compiled already.
test test-fast test-citus coverage: export PYTHONDONTWRITEBYTECODE :=

help:  ## show the targets
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | while IFS="$$(printf '\t')" read -r name text; \
	do printf '%-12s %s\n' "$$name" "$$text"; done

quickstart: $(VENV)/server  ## install, load sample data, serve it and send one signed call
	@exec $(BIN)/openpns quickstart $(ARGS)

install: $(VENV)/dev  ## set up .venv with everything that development needs

check: $(VENV)/dev  ## lint, format check, strict types, import ranks, docs tables current
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python tools/docs_tables.py --check

fix: $(VENV)/dev  ## apply automatic fixes
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

test: $(VENV)/dev  ## every test, on SQLite and on a real PostgreSQL
	$(BIN)/pytest -n 4 --dist worksteal

test-fast: $(VENV)/dev  ## the same without what starts servers, tests/{acceptance,examples,promises,simulation}
	$(BIN)/pytest -n 3 --dist worksteal -m "not slow"

test-citus: $(VENV)/dev  ## storage, domain, contract and promises on Citus; OPENPNS_TEST_CITUS=URL of its coordinator
	@test -n "$$OPENPNS_TEST_CITUS" || { echo "OPENPNS_TEST_CITUS must be the URL of a coordinator"; exit 2; }
	$(BIN)/pytest -n 2 --dist worksteal tests/storage tests/core tests/accounts tests/groups \
		tests/numbers tests/bindings tests/routing tests/call_records tests/deliveries \
		tests/contract tests/promises

coverage: $(VENV)/dev  ## every test, with branch coverage, also of the processes that they start
	@$(BIN)/coverage erase
	$(BIN)/coverage run -m pytest -n 4 --dist worksteal
	@$(BIN)/coverage combine --quiet
	$(BIN)/coverage report

fuzz: $(VENV)/dev  ## send bad input, damage files, change schemas and answer clients badly for longer: TIMES=20 is minutes; SEED=1 repeats a run
	FUZZ_TIMES=$(TIMES) OPENPNS_TEST_SEED=$(filter-out random,$(SEED)) \
		$(BIN)/pytest -p no:cacheprovider --hypothesis-seed=$(SEED) tests/promises/test_bad_input.py \
		tests/promises/test_bad_parsing.py tests/promises/test_bad_answers.py \
		tests/promises/test_damaged_files.py tests/promises/test_schema_drift.py

soak: $(VENV)/dev  ## the long forms of the tests of promises: crashes, restarts, random lives
	OPENPNS_SOAK=1 $(BIN)/pytest tests/promises
	OPENPNS_TEST_EFFORT=10 $(BIN)/pytest tests/simulation/test_stateful.py \
		tests/simulation/test_serial.py tests/simulation/test_bindings_stateful.py \
		tests/simulation/test_bindings_linearizable.py

bench: $(VENV)/dev $(PEERS)/ok  ## measure openpns beside a limit and its peers; ARGS=--quick is 3 minutes (Linux, wrk)
	$(BIN)/python -m bench --peers $(PEERS)/bin/python $(ARGS)

docs: $(VENV)/dev  ## regenerate the tables in the docs
	$(BIN)/python tools/docs_tables.py

lock: $(VENV)/dev  ## choose newer versions of all dependencies
	sh tools/lock.sh $(BIN)/uv

dist: $(VENV)/server  ## write the wheel and the source distribution to dist/
	@$(BIN)/hatchling build -d dist

sbom: $(SBOM)/ok  ## write dist/openpns.cdx.json: all packages of the server, in CycloneDX
	@mkdir -p dist
	@$(SBOM)/bin/python -W ignore -m cyclonedx_py requirements --pyproject pyproject.toml \
		--output-reproducible --output-file dist/openpns.cdx.json requirements/server.txt

clean:  ## remove .venv and all caches, but no data
	rm -rf $(VENV) $(PEERS) $(SBOM) .coverage* .mypy_cache .pytest_cache .ruff_cache .hypothesis dist

$(VENV)/python-ok:
	@sh tools/make_venv.sh $(VENV)
	@touch $@

$(VENV)/server: $(VENV)/python-ok requirements/build.txt requirements/server.txt pyproject.toml
	@echo "installing openpns in $(VENV)"
	@$(PIP) install --require-hashes -r requirements/build.txt -r requirements/server.txt
	@$(PIP) install --no-deps --no-build-isolation -e .
	@touch $@

$(VENV)/dev: $(VENV)/server requirements/dev.txt
	@echo "installing what development needs in $(VENV)"
	@$(PIP) install --require-hashes -r requirements/dev.txt
	@touch $@

$(PEERS)/ok: requirements/bench.txt
	@echo "installing the benchmark's peers in $(PEERS)"
	@sh tools/make_venv.sh $(PEERS)
	@$(PEERS)/bin/python -m pip --disable-pip-version-check --quiet install --require-hashes \
		-r requirements/bench.txt
	@touch $@

$(SBOM)/ok: requirements/sbom.txt
	@echo "installing what writes the bill of materials in $(SBOM)"
	@sh tools/make_venv.sh $(SBOM)
	@$(SBOM)/bin/python -m pip --disable-pip-version-check --quiet install --require-hashes \
		-r requirements/sbom.txt
	@touch $@
