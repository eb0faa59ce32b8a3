# Two commands: `make run` opens the dashboard on real data, `make test` checks everything.
SHELL := /bin/bash
PYTHON ?= python3
WORKSPACE ?= workspace
PORT ?= 8050

# uv from the PATH, else from a private virtual environment filled from PyPI.
UV := $(shell command -v uv || echo .tools/bin/uv)

NUMERIC := tests/faults tests/renderers tests/training tests/dashboard tests/data tests/analyzers tests/importing \
  $(wildcard tests/test_*.py)

.PHONY: run test setup check system clean
.DEFAULT_GOAL := run

run: setup
	.venv/bin/tdw serve --workspace $(WORKSPACE) --port $(PORT) --open

# A file of tests is done by one process: the long files come first. The browser tests run by themselves at the end:
# they wait for a page, and a busy machine makes them wait longer.
test: setup system check
	OMP_NUM_THREADS=1 .venv/bin/pytest -n 2 --dist loadfile --no-loadscope-reorder $(NUMERIC)
	.venv/bin/pytest tests/browser

check: setup
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .
	.venv/bin/mypy

setup: .venv/.complete

.venv/.complete: pyproject.toml uv.lock | $(UV)
	$(UV) sync --locked --compile-bytecode
	@touch $@

.tools/bin/uv:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "Python 3.11 or newer is needed; $(PYTHON) is $$($(PYTHON) --version). Name another with PYTHON=..."; exit 1; }
	$(PYTHON) -m venv .tools || { echo "Python's venv module is missing. On Debian: apt-get install python3-venv"; exit 1; }
	.tools/bin/pip install --quiet --disable-pip-version-check uv

# The browser tests need Chromium with its driver; a PostgreSQL and a Redis are tested against where they are
# installed. On Debian as root all of them are installed when missing.
system:
	@missing=; for pair in chromium:chromium chromedriver:chromium-driver redis-server:redis-server; do \
	  command -v $${pair%%:*} >/dev/null || missing="$$missing $${pair##*:}"; done; \
	ls /usr/lib/postgresql/*/bin/initdb >/dev/null 2>&1 || missing="$$missing postgresql"; \
	[ -n "$$missing" ] || exit 0; \
	if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
	  apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $$missing >/dev/null; \
	elif command -v chromium >/dev/null && command -v chromedriver >/dev/null; then \
	  echo "Not installed, so not tested against:$$missing"; \
	else \
	  echo "The browser tests need chromium and chromedriver on the PATH (Debian: apt-get install chromium chromium-driver)."; exit 1; \
	fi

clean:
	rm -rf .venv .tools .pytest_cache .ruff_cache .mypy_cache
