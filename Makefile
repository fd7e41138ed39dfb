# `make run` starts the demo app, `make test` sets everything up and runs all checks.
# Both make their own virtual environment in .venv; PYTHON chooses the interpreter for it.

PYTHON ?= python3
VENV ?= .venv
BIN = $(VENV)/bin

.PHONY: run test lint types check docs pictures bench autobahn system-packages clean

run: $(VENV)/.installed
	$(BIN)/python serve.py --devel

test: system-packages $(VENV)/.installed-dev
	$(MAKE) check VENV=$(VENV)

# The tests of a file run one after the other, two files at a time. What fails beside others, such as a
# test that measures memory or waits for many processes, has to pass alone.
check: lint types
	$(BIN)/python -m pytest --numprocesses 2 --dist loadfile || \
	  $(BIN)/python -m pytest --last-failed --last-failed-no-failures none

lint:
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types:
	$(BIN)/mypy

docs: $(VENV)/.installed-dev
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict --config-file docs/site/mkdocs.yml
	@echo "open build/docs/index.html"

pictures: $(VENV)/.installed-dev
	PYTHONPATH=.:tests/e2e $(BIN)/python docs/images/make.py

bench: $(VENV)/.installed-dev
	$(BIN)/python benchmarks/run.py

# WSTEST is the program of Autobahn's suite, see tests/skitai/autobahn.py; CASES chooses some.
autobahn: $(VENV)/.installed-dev
	PYTHONPATH=.:tests/skitai $(BIN)/python -W error tests/skitai/autobahn.py $(CASES)

# The browser test needs Chromium, those of HTTP/2 curl, nghttp and h2load, those of --nginx-conf
# nginx; the tests of Redis and
# PostgreSQL need their servers, which come with the Python packages where there are some for this
# version. They are installed where the tests may install (a CI machine); elsewhere the message says
# what to do.
system-packages:
	@missing=; \
	command -v chromium >/dev/null || missing=chromium; \
	command -v curl >/dev/null || missing="$$missing curl"; \
	command -v h2load >/dev/null || missing="$$missing nghttp2-client"; \
	PATH="$$PATH:/usr/sbin" command -v nginx >/dev/null || missing="$$missing nginx-light"; \
	command -v redis-server >/dev/null || \
	  $(PYTHON) -c 'import sys; sys.exit(sys.version_info >= (3, 13))' || \
	  missing="$$missing redis-server"; \
	command -v postgres >/dev/null || ls -d /usr/lib/postgresql/*/bin >/dev/null 2>&1 || \
	  $(PYTHON) -c 'import platform, sys; sys.exit(sys.version_info >= (3, 13) or platform.machine() != "x86_64")' || \
	  missing="$$missing postgresql"; \
	if [ -z "$$missing" ]; then exit 0; fi; \
	if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
	  apt-get update -qq && apt-get install -y -qq --no-install-recommends $$missing; \
	else \
	  echo "the tests need these packages, please install: $$missing" >&2; exit 1; \
	fi

$(VENV)/.installed: pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e .
	touch $@

$(VENV)/.installed-dev: pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[dev]'
	touch $@ $(VENV)/.installed

clean:
	rm -rf $(VENV) build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache
