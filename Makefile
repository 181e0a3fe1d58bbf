# Two commands do everything: `make run` and `make test`. Both make what they need first.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check install
PORT ?=

.PHONY: run test check bench soak screenshots translations clean help

help:  ## Say what there is to make
	@sed -n 's/^\([a-z]*\):.*## \(.*\)/  make \1\t\2/p' Makefile

run: $(VENV)/.installed  ## Start the chat on http://127.0.0.1:8000/ (PORT=9000 for another port)
	@exec env $(if $(PORT),RILL_PORT=$(PORT)) $(BIN)/rill serve

test: $(VENV)/.developer  ## Run all tests, in a real browser too
	$(BIN)/python -m pytest

check: $(VENV)/.developer  ## Check format, lint and types
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

bench: $(VENV)/.developer  ## Compare with the tutorial's server, Markdown with rendering it again, long pages with short ones
	$(BIN)/python -m benchmarks.run
	$(BIN)/python -m benchmarks.markdown
	$(BIN)/python -m benchmarks.long_conversations

soak: $(VENV)/.developer  ## Let readers, networks and the server go through faults for ten minutes, and compare
	$(BIN)/python -m tests.soak

# What is new is added to each catalog, empty; a test tells which texts nobody has translated yet.
translations: $(VENV)/.developer  ## Bring the catalogs of texts up to date with the source
	$(BIN)/pybabel -q extract -F pyproject.toml --no-location --no-wrap -o $(VENV)/rill.pot .
	@for language in $$(ls webapp/locales); do \
	  $(BIN)/pybabel -q update -D rill -d webapp/locales -i $(VENV)/rill.pot -l $$language --no-wrap --no-fuzzy-matching --ignore-obsolete || exit; \
	done
	@sed -i.old -E '/^"(Report|POT-|PO-|Last-|Language-Team|Generated)/d' webapp/locales/*/LC_MESSAGES/rill.po
	@rm webapp/locales/*/LC_MESSAGES/rill.po.old

screenshots: $(VENV)/.developer  ## Picture every page and state into docs/screenshots
	$(BIN)/python -m tests.screenshots

clean:  ## Remove the virtual environment and everything made in it
	rm -rf $(VENV) .mypy_cache .ruff_cache

$(VENV)/bin/python:
	@echo "Making a virtual environment in $(VENV) ..."
	@$(PYTHON) -c 'import sys; sys.exit("Rill needs Python 3.11 or newer; this is " + sys.version.split()[0]) if sys.version_info < (3, 11) else None'
	@$(PYTHON) -m venv $(VENV)

# The embedded model's runtime comes as a prebuilt wheel or not at all: building it would take many minutes.
$(VENV)/.installed: pyproject.toml | $(VENV)/bin/python
	@echo "Installing Rill ..."
	@$(PIP) --progress-bar on --only-binary xllamacpp -e '.[local]' || \
	  { echo "There is no prebuilt runtime for the embedded model here; installing Rill without it."; $(PIP) -e .; }
	@touch $@

$(VENV)/.developer: pyproject.toml tests/browser/install.py | $(VENV)/bin/python
	@echo "Installing Rill and what its tests need ..."
	@$(PIP) -q --only-binary xllamacpp -e '.[local,dev]'
	@$(BIN)/python tests/browser/install.py
	@touch $@ $(VENV)/.installed
