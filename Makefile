# Everything runs in .venv, which is made where there is none. A machine needs only Python (3.10 or newer) and make.
PYTHON ?= python3
BIN := .venv/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check

.PHONY: demo test check bench clean

demo: .venv/demo.installed
	$(BIN)/hf-vitret demo

# All tests with their coverage, or a part of them: `make test T=tests/losses`.
test: .venv/test.installed
	$(BIN)/python -m pytest $(if $(T),$(T),-n 2 --dist loadfile --cov --cov-report=)

# Lint, types, import contracts, and the coverage of the last `make test` (run here where there was none).
check: .venv/dev.installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	@test -e .coverage || $(MAKE) test
	$(BIN)/coverage report

bench: .venv/bench.installed
	$(BIN)/python -m tests.benchmarks

clean:
	rm -rf .venv build dist *.egg-info .coverage* .mypy_cache .ruff_cache .pytest_cache .import_linter_cache

.venv/bin/python:
	$(PYTHON) -m venv .venv

.venv/%.installed: setup.cfg pyproject.toml | .venv/bin/python
	$(PIP) --editable ".[$*]"
	touch $@
