# Two commands: `make demo` and `make test`. Everything lives in .venv; `make help` lists the rest.
PYTHON ?= python3
BIN := .venv/bin
SETUP := $(PYTHON) scripts/bootstrap.py
.DEFAULT_GOAL := help
.PHONY: help setup demo test lint bench fuzz docs upgrade clean

help:  ## this list
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):.*## (.*)/  make \1\t\2/' | expand -t 16

setup:  ## the environment in .venv: the package, its dependencies and torch
	@$(SETUP) setup

demo: setup  ## set up, then run the main jobs of all parts on embedded data: tour/index.html
	@$(BIN)/thalweg tour --out tour --overwrite

test:  ## set up, then format check, linter, types, import rules and tests
	@$(SETUP) test
	@$(MAKE) --no-print-directory lint
	@$(BIN)/python -m pytest -n 2 --dist loadfile

lint:
	@$(BIN)/ruff format --check --quiet
	@$(BIN)/ruff check --quiet
	@$(BIN)/mypy
	@$(BIN)/lint-imports --no-cache > .venv/imports.log || (cat .venv/imports.log; false)

bench:  ## the benchmarks of bench/README.md (peers are installed into .venv; about 8 minutes)
	@$(SETUP) bench
	@$(BIN)/python bench/startup.py
	@$(BIN)/python bench/words/counting.py
	@$(BIN)/python bench/words/solving.py

fuzz:  ## the property tests with 50 times the examples, new ones each time (THALWEG_FUZZ_SECONDS=600: readers longer)
	@$(SETUP) test
	@HYPOTHESIS_PROFILE=fuzz $(BIN)/python -m pytest -n 2 -m "not browser" --timeout 3600 tests

docs:  ## the documentation: docs/_build/html/index.html, checked for broken and outside links
	@$(SETUP) docs
	@rm -rf docs/_build && $(BIN)/sphinx-build -q -W --keep-going -b html docs docs/_build/html
	@$(BIN)/python scripts/check_site.py docs/_build/html

upgrade:  ## make constraints.txt anew from the lower bounds of pyproject.toml
	@$(SETUP) test
	@echo "# Universal pins for development and CI, made by 'make upgrade'; without CUDA packages (they come with a GPU build of torch)." > .venv/pins
	@echo torch==2.13.0 > .venv/torch-pin
	@$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --all-extras --group test --group lint --group docs --group bench \
	  --no-annotate --no-header --upgrade --constraints .venv/torch-pin pyproject.toml | grep -vE '^(triton|nvidia-|cuda-)' >> .venv/pins
	@mv .venv/pins constraints.txt

clean:  ## remove .venv and everything that was made
	@rm -rf .venv tour gallery docs/_build docs/api dist build .pytest_cache .mypy_cache .ruff_cache .hypothesis
