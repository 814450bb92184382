# Needs Python >= 3.11 and a network to fetch packages from; everything else is made in .venv.
PYTHON ?= python3
BIN := .venv/bin
EXTRAS := dev,s3,ccxt,hdf5,learn,pandas,stores
STAMP := .venv/.made
PYTEST_ARGS ?= -n auto --dist loadfile

.PHONY: help env demo test lint format types docs bench clean

help:
	@echo "make env | demo | test | lint | format | types | docs | bench | clean"

env: $(STAMP)

$(STAMP): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "Python 3.11 or newer is needed: make PYTHON=/path/to/python3.11" >&2; exit 2; }
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[$(EXTRAS)]'
	@touch $(STAMP)

demo: env
	$(BIN)/lake demo

test: env
	$(BIN)/python -m pytest -q $(PYTEST_ARGS)

lint: env
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

format: env
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

types: env
	$(BIN)/mypy lake $(wildcard jobs/*.py)

docs: env
	$(BIN)/lake describe --markdown > docs/datasets.md

bench: env
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[$(EXTRAS),bench]'
	$(BIN)/python -m benchmarks

clean:
	rm -rf .venv .pytest_cache .mypy_cache .ruff_cache .hypothesis build dist *.egg-info demo-lake
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
