# Two commands for a fresh machine: `make demo` and `make test`. Needs python3 (with venv), make and git.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
PYTEST := $(BIN)/python -m pytest --numprocesses=auto --dist=loadfile

.PHONY: demo test check lint types cover format docs bench clean

demo: $(READY)
	$(BIN)/apexopt solve specs/examples/quickstart.toml

test: $(READY)
	$(PYTEST)

check: lint types cover

lint: $(READY)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .

types: $(READY)
	$(BIN)/mypy

cover: $(READY)
	$(PYTEST) --cov --cov-report=term:skip-covered --cov-fail-under=95

format: $(READY)
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

docs: $(READY)
	$(BIN)/apexopt schema > specs/spec.schema.json
	$(BIN)/python docs/generate.py

bench: $(READY)
	$(BIN)/python -m benchmarks.speed

$(READY): pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet --editable '.[dev]'
	touch $(READY)

clean:
	rm -rf $(VENV) build dist *.egg-info .coverage .mypy_cache .pytest_cache .ruff_cache .hypothesis
