# `make` alone lists the targets.
.DEFAULT_GOAL := help
PYTHON ?= python3
FOLDER ?= examples/articles
OUT ?= scores.jsonl
MINUTES ?= 5
ARGS ?=
# A folder of parts has its errors and its page beside it.
BESIDE = $(patsubst %/,%,$(OUT))

.PHONY: help score docs test test-all check benchmark release-check fuzz mutants clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "make %-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

# What is installed is a copy, made anew when one of its files changes: of a link to the clone Python sees only the
# folder, which has the package's name, when it is started right above it.
PACKAGE := $(shell find inference training models configs -type f -not -path '*/__pycache__/*' 2>/dev/null)

.venv/installed: pyproject.toml constraints.txt $(PACKAGE)
	$(PYTHON) -m venv .venv
	@rm -rf build/lib
	.venv/bin/python -m pip install --quiet --disable-pip-version-check -c constraints.txt .
	@touch $@

.venv-dev/installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv-dev
	.venv-dev/bin/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	@touch $@

score: .venv/installed ## install without torch, and score examples/articles (or FOLDER=...) into scores.jsonl (or OUT=...) and scores.html; options by ARGS='--text-column body'
	@.venv/bin/stancewire score "$(FOLDER)" --out "$(OUT)" --overwrite $(ARGS) || { code=$$?; [ $$code -eq 1 ] || exit $$code; }
	@.venv/bin/stancewire report "$(OUT)" --out "$(basename $(BESIDE)).html" --overwrite
	@if [ -f "$(BESIDE).errors.jsonl" ]; then echo "Documents were skipped: $(BESIDE).errors.jsonl says which, and why."; fi
	@echo "stancewire is installed in .venv: run .venv/bin/stancewire, or . .venv/bin/activate and then stancewire."

.venv-docs/installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv-docs
	.venv-docs/bin/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[docs]'
	@touch $@

docs: .venv-docs/installed ## build the site of the documents, site/index.html
	NO_MKDOCS_2_WARNING=1 .venv-docs/bin/mkdocs build --strict --quiet

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

.venv-release/installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv-release
	.venv-release/bin/python -m pip install --quiet --disable-pip-version-check -c constraints.txt build uv
	@touch $@

release-check: .venv-dev/installed .venv-release/installed ## try what would be given out: wheel, lowest versions, Pythons, licences
	.venv-release/bin/python tools/release_check.py

.venv-fuzz/installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv-fuzz
	.venv-fuzz/bin/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[test]' atheris
	@touch $@

fuzz: .venv-fuzz/installed ## throw inputs at what reads strangers' files, for MINUTES=5
	.venv-fuzz/bin/python tests/fuzz/run.py --minutes $(MINUTES)

mutants: .venv-dev/installed ## change the code that carries promises, a line at a time: which tests notice? (hours)
	.venv-dev/bin/python -m pip install --quiet --disable-pip-version-check -c constraints.txt mutmut
	.venv-dev/bin/python tools/mutants.py

clean: ## remove what the targets made
	rm -rf .venv .venv-dev .venv-docs .venv-fuzz .venv-release build dist site *.egg-info .mypy_cache .ruff_cache .pytest_cache
