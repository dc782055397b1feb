# make demo: load, look at and analyse the example recordings.  make test: prove that it works.
# Both make .venv if it is missing and install the locked packages into it.

PYTHON ?= python3
VERSION := $(shell $(PYTHON) -c 'import sys; print("%d.%d" % sys.version_info[:2])')
LOCK := requirements/lock-$(VERSION).txt
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

# Real recordings for the integration tests, where they are; the tests say so when they are not.
NEURODATA_DATA ?= $(abspath $(wildcard ../shared/data))
export NEURODATA_DATA

.PHONY: demo test test-browser test-long test-core lint types bench lock clean

demo: $(STAMP)
	$(BIN)/neurodata demo

test: $(STAMP)
	$(BIN)/python -m pytest -q

# The report in a real browser; needs Debian's chromium, which .ci/run installs.
test-browser: $(STAMP)
	$(BIN)/python -m pytest -q -m browser

# What takes hours: distributions to a finer error bar than the default run's.
test-long: $(STAMP)
	$(BIN)/python -m pytest -q -m long

# The core install alone, from a built wheel: no extra, no checkout on the path.
test-core: $(STAMP)
	./.ci/test-core $(PYTHON) $(LOCK)

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports

types: $(STAMP)
	$(BIN)/mypy

bench: $(STAMP)
	$(BIN)/python -m benchmarks

# Compile the locks anew, after a change of pyproject.toml or requirements/constraints.txt.
lock: $(STAMP)
	for version in 3.11 3.12; do \
	  $(BIN)/uv pip compile -q pyproject.toml --all-extras --python-version $$version \
	    -c requirements/constraints.txt --no-emit-index-url --no-header --no-annotate \
	    -o requirements/lock-$$version.txt $(LOCK_OPTIONS); \
	done

# uv installs the lock in seconds; pip does the same where uv cannot reach the package index.
$(STAMP): pyproject.toml $(wildcard $(LOCK))
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "neurodata needs Python 3.11 or newer; this is $(VERSION). Try: make PYTHON=python3.11"; exit 1; }
	@test -f $(LOCK) || { echo "no lock for Python $(VERSION): requirements/ has 3.11 and 3.12. Try: make PYTHON=python3.11, or pip install ."; exit 1; }
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install -q uv
	$(BIN)/uv pip install -q --python $(BIN)/python -r $(LOCK) || $(BIN)/python -m pip install -q -r $(LOCK)
	$(BIN)/uv pip install -q --python $(BIN)/python --no-deps -e . || $(BIN)/python -m pip install -q --no-deps -e .
	@touch $@

clean:
	rm -rf $(VENV) .venv-core build dist demo-report
