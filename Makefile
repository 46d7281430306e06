# Needs Python 3.11 or newer, make and a shell. Everything else goes into .venv.
SHELL := /bin/sh
.DEFAULT_GOAL := help

VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
PYTHON_CANDIDATES := $(PYTHON) python3.11 python3 python3.14 python3.13 python3.12 python

PORT ?= 8000
BIND ?= 127.0.0.1
SERVE ?= 1
JOBS ?= 2
ARGS ?=

# The targets below work on databases of their own, never on one that the shell happens to point to. Modules
# that are compiled once and kept start many times faster.
unexport PYTHONDONTWRITEBYTECODE DATABASE_URL REDIS_URL SECRET_KEY_FILE DJANGO_SETTINGS_MODULE

# `check --deploy` judges the settings as a server would have them; nothing connects to these addresses.
PRODUCTION := DEBUG=0 ALLOWED_HOSTS=portfolio.example.com \
	SECRET_KEY=a-key-for-checks-only-0123456789-abcdefghijklmnopqrstuvwxyz-0123456789 \
	DATABASE_URL=postgres://portfolio@localhost/portfolio REDIS_URL=redis://localhost:6379/0

.PHONY: help install demo test check bench soak screenshots lint format lock clean

help: ## this list
	@sed -n 's/^\([a-z]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 10

install: $(INSTALLED) ## only the environment, .venv

# uv installs in seconds; where it cannot be had, pip does the same more slowly.
$(INSTALLED): requirements.lock
	@found=; usable='import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))'; \
	if ! $(BIN)/python -c "$$usable" 2>/dev/null; then \
		for candidate in $(PYTHON_CANDIDATES); do \
			if $$candidate -c "$$usable" 2>/dev/null; then found=$$candidate; break; fi; \
		done; \
		if [ -z "$$found" ]; then \
			echo "Python 3.11 or newer with its venv module is needed (Debian: apt install python3-venv)," >&2; \
			echo "or name one: make install PYTHON=/path/to/python" >&2; \
			exit 1; \
		fi; \
		echo "Making $(VENV) with $$($$found --version)"; \
		$$found -m venv --clear $(VENV); \
	fi
	@echo "Installing requirements.lock"
	@pip="$(BIN)/python -m pip --disable-pip-version-check"; \
	{ $$pip install --quiet --constraint requirements.lock uv \
		&& UV_SYSTEM_CERTS=1 $(BIN)/uv pip install --quiet --python $(BIN)/python --requirement requirements.lock; } \
	|| $$pip install --quiet --requirement requirements.lock
	@touch $@

demo: export DEBUG := 1
demo: $(INSTALLED) ## load real data, compute everything and serve it on PORT; SERVE=0 stops before serving
	@$(BIN)/python manage.py migrate --verbosity 0
	@$(BIN)/python manage.py load_demo
	@$(BIN)/python manage.py run_analytics
	@PORT=$(PORT) $(BIN)/python manage.py demo_summary
	@if [ "$(SERVE)" != 0 ]; then \
		PATH="$(CURDIR)/$(BIN):$$PATH" BIND=$(BIND) PORT=$(PORT) exec $(BIN)/honcho --env /dev/null start; \
	fi

test: export DEBUG := 1
test: $(INSTALLED) ## all tests on SQLite, then what an engine can change on a real PostgreSQL and Valkey
	$(BIN)/python -m pytest -n $(JOBS) --dist loadgroup -p tests.support.scheduling $(ARGS)
	$(BIN)/python -m pytest -n $(JOBS) --dist loadgroup -p tests.support.scheduling -p tests.support.services -m services $(ARGS)

screenshots: export DEBUG := 1
screenshots: $(INSTALLED) ## pictures of the main screens, light and dark, into docs/screenshots; needs a Chromium
	$(BIN)/python -m tests.screenshots

lint: $(INSTALLED) ## format and style
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .

check: export DEBUG := 1
check: lint ## style, types, import contracts, migrations, deployment settings, OpenAPI
	$(BIN)/mypy
	PYTHONPATH=. $(BIN)/lint-imports
	DATABASE_URL=sqlite://:memory: $(BIN)/python manage.py makemigrations --check --dry-run
	$(PRODUCTION) $(BIN)/python manage.py check --deploy --fail-level WARNING
	$(BIN)/python manage.py spectacular --validate --fail-on-warn --file /dev/null

bench: export DEBUG := 0
bench: export SECRET_KEY := a-key-for-benchmarks-only
bench: $(INSTALLED) ## measure against floors of the same run; ARGS="topic ..." for some
	$(BIN)/python -m tests.benchmarks $(ARGS)

soak: export DEBUG := 1
soak: $(INSTALLED) ## kill workers in the middle of backfills on PostgreSQL and Valkey, a hundred times
	$(BIN)/python -m tests.soak.kill_workers $(ARGS)

format: $(INSTALLED) ## rewrite in the house format
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

lock: $(INSTALLED) ## pin anew what pyproject.toml allows
	$(BIN)/uv pip compile pyproject.toml --group dev --universal --python-version 3.11 --upgrade \
		--no-header --no-annotate --quiet --output-file requirements.lock

clean: ## remove .venv and caches; var/ with its database stays
	rm -rf $(VENV) .hypothesis .import_linter_cache .mypy_cache .pytest_cache .ruff_cache htmlcov .coverage
	find . -name __pycache__ -type d -not -path './.git/*' -prune -exec rm -rf {} +
