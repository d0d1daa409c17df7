# `make` alone lists the targets.
.DEFAULT_GOAL := help
PYTHON ?= python3
FOLDER ?= examples/articles
OUT ?= scores.jsonl

.PHONY: help score test test-all check benchmark clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.venv/installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	.venv/bin/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e .
	@touch $@

.venv-dev/installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv-dev
	.venv-dev/bin/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	@touch $@

score: .venv/installed ## install without torch, and score examples/articles (or FOLDER=...) into scores.jsonl (or OUT=...) and scores.html
	@.venv/bin/stancewire score "$(FOLDER)" --out "$(OUT)" --overwrite; code=$$?; \
	if [ $$code -le 1 ]; then .venv/bin/stancewire report "$(OUT)" --out "$(basename $(OUT)).html" --overwrite || exit $$?; fi; \
	exit $$code

test: .venv-dev/installed ## install everything, and run the quick tests
	.venv-dev/bin/python -m pytest -q -m "not slow"

test-all: .venv-dev/installed ## run all tests, the slow ones too
	.venv-dev/bin/python -m pytest -q

check: .venv-dev/installed ## ruff, mypy, and the corpus
	.venv-dev/bin/ruff check .
	.venv-dev/bin/ruff format --check .
	.venv-dev/bin/mypy
	.venv-dev/bin/stancewire check seeds

benchmark: .venv-dev/installed ## compare the speed with transformers' pipeline on an idle machine
	.venv-dev/bin/python benchmarks/speed.py

clean: ## remove what the targets made
	rm -rf .venv .venv-dev build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache
