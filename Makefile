# Everything a newcomer needs: `make run`, `make test`, `make up`. `make help` lists the rest.
# Settings are environment variables (STOCKCAST_..., see docker/.env.example); PYTHON chooses the interpreter for .venv.

PYTHON ?= python3
VENV ?= .venv
PY = $(VENV)/bin/python
INSTALLED = $(VENV)/.installed
# A plain Airflow with an environment of its own, for `make airflow-test`.
OWN = build/airflow
OWN_PIP = $(OWN)/bin/python -m pip --quiet --disable-pip-version-check
PIP_INSTALL = $(PY) -m pip install --quiet --disable-pip-version-check
COMPILE = uv pip compile --upgrade --universal --fork-strategy fewest --generate-hashes --no-annotate --no-header --no-emit-index-url \
	--no-emit-find-links
COMPILE_IMAGE = $(COMPILE) --extra mlflow --extra cluster --extra metrics --python-version 3.12 --constraint requirements.lock

.DEFAULT_GOAL := help
.PHONY: help run test unit browser fuzz chaos cluster-test containers-test helm-test airflow-test up down status lint format docs lock dist clean venv

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

run: $(INSTALLED) ## forecast once through Airflow: make run [UNIVERSE=us_megacaps] [SESSION=2013-03-01]
	@$(PY) -m pipeline run --airflow $(if $(UNIVERSE),--universe $(UNIVERSE)) $(if $(SESSION),--session $(SESSION))

# What one of the many processes has compiled serves the next, also where the environment (an image's) keeps Python from that.
test unit cluster-test containers-test helm-test airflow-test fuzz chaos: export PYTHONDONTWRITEBYTECODE =

# In the order of the files, which starts what takes longest (the cluster) early. Three processes on two cores: who tests servers waits for
# them a third of the time.
test: $(INSTALLED) browser ## the whole test suite: make test [ARGS="-k sessions"]
	$(PY) -m pytest --numprocesses 3 --dist loadfile --no-loadscope-reorder $(ARGS)

unit: $(INSTALLED) ## the tests of single parts: without those of servers, training, and whole sessions
	$(PY) -m pytest --numprocesses 2 --dist loadfile -m "not slow and not integration" $(ARGS)

# The tests look at the pages with the system's own browser (tests/browser.py); no other is ever downloaded.
browser: ## what `make test` looks at the pages with: Debian's Chromium, installed if need be, or STOCKCAST_TEST_BROWSER=/path
	@if [ -n "$(STOCKCAST_TEST_BROWSER)" ]; then \
		test -x "$(STOCKCAST_TEST_BROWSER)" || { echo "STOCKCAST_TEST_BROWSER=$(STOCKCAST_TEST_BROWSER) is no program." >&2; exit 2; }; \
	elif { command -v chromium || command -v chromium-browser || command -v google-chrome; } && command -v curl; then :; \
	elif [ "$$(id -u)" = 0 ] && command -v apt-get; then \
		echo "Installing Chromium, which the tests look at the pages with, and curl ..." >&2; \
		apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install --yes -qq --no-install-recommends chromium curl; \
	else echo "The tests need a browser and curl: install them (apt-get install chromium curl), or name a browser: STOCKCAST_TEST_BROWSER=/path." >&2; exit 2; \
	fi >/dev/null

cluster-test: $(INSTALLED) ## two Celery workers on PostgreSQL, Redis, S3 and MLflow servers; one is killed while it trains
	$(PY) -m pytest tests/cluster $(ARGS)

# Helm and Kubernetes' schemas come from packages; the chart, which no package has, from Apache's archive, once.
helm-test: $(INSTALLED) build/helm/.laid-out ## the Helm chart with docker/values.yaml, held to Kubernetes' schemas; without a network: make helm-test CHART=/path/airflow-1.22.0.tgz
	@HELM_CHART=$(CHART) $(PY) -m tests.helm.chart
	HELM_CHART=$(CHART) $(PY) -m pytest tests/helm $(ARGS)

build/helm/.laid-out: tests/helm/requirements.lock
	@rm -rf $(@D)
	@$(PIP_INSTALL) --target $(@D) --no-deps --require-hashes --only-binary :all: --requirement $<
	@touch $@

# They are named so that no other target collects them: they take twenty minutes, and 12 GB in build/containers where there is no engine.
containers-test: $(INSTALLED) ## images and compose files on a real Docker engine: a day, a stop, a worker killed, an upgrade
	$(PY) -m pytest tests/containers --override-ini "python_files=whole_*.py" --verbosity 1 $(ARGS)

# What Airflow has chosen stays, but for the two that MLflow wants older: docs/how-to/use-your-own-airflow.md.
airflow-test: $(INSTALLED) dist ## a day in a plain Airflow of its own, with FAB's users and PostgreSQL (installs 3 GB into build/)
	$(PYTHON) -m venv --clear $(OWN)
	$(OWN_PIP) install "$$(grep -o '^apache-airflow==[0-9.]*' requirements.lock)" apache-airflow-providers-fab apache-airflow-providers-postgres
	$(OWN_PIP) freeze | grep -v -i -E '^(cachetools|importlib[-_]metadata)==' > $(OWN)/constraints.txt
	$(OWN_PIP) install "$$(ls dist/*.whl)[all]" --constraint $(OWN)/constraints.txt
	AIRFLOW_TEST_PYTHON=$(OWN)/bin/python $(PY) -m pytest tests/own_airflow/whole_day.py $(ARGS)

fuzz: $(INSTALLED) ## ten thousand broken files, answers, command lines and addresses (`make test` tries 300)
	FUZZ_EXAMPLES=2000 $(PY) -m pytest tests/fuzz --numprocesses 2 $(ARGS)

chaos: $(INSTALLED) ## runs with a fault each, then without, and all must be right: make chaos [ROUNDS=100] [SEED=1]
	$(PY) -m tests.chaos.rounds $(if $(ROUNDS),--rounds $(ROUNDS)) $(if $(SEED),--seed $(SEED))
	$(PY) -m tests.chaos.services $(if $(SEED),--seed $(SEED))

up: $(INSTALLED) ## start Airflow, MLflow and PostgreSQL on loopback, in the background
	@$(PY) -m pipeline up

down: $(INSTALLED) ## end what `make up` started
	@$(PY) -m pipeline down

status: $(INSTALLED) ## is it up, and healthy?
	@$(PY) -m pipeline status

lint: $(INSTALLED) ## check style, formatting and types
	$(PY) -m ruff check .
	$(PY) -m ruff format --check .
	$(PY) -m mypy

format: $(INSTALLED) ## format the code
	$(PY) -m ruff format .

docs: $(INSTALLED) ## build the documentation as a site that needs no network, into build/docs
	@$(PY) -W ignore -m tests.reference_pages
	@NO_MKDOCS_2_WARNING=1 $(PY) -m mkdocs build --strict --quiet
	@echo "build/docs/index.html"

dist: $(INSTALLED) ## build the source distribution and the wheel of it into dist/
	rm -rf dist
	$(PY) -c 'from setuptools.build_meta import build_sdist; build_sdist("dist")' >/dev/null
	$(PY) -m pip wheel --quiet --disable-pip-version-check --no-deps --no-build-isolation --wheel-dir dist dist/*.tar.gz

venv: $(INSTALLED) ## create .venv and install what requirements.lock pins

# Repeated when the requirements change, or when PYTHON is another version than .venv's.
$(INSTALLED): setup.py requirements.lock
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' || { \
		echo "Python 3.11 to 3.13 is needed, but $(PYTHON) is $$($(PYTHON) --version 2>&1). Name another: make PYTHON=python3.12"; exit 2; }
	@# The embedded PostgreSQL refuses root, and needs a user of its own then. A plain `su` has no /usr/sbin in PATH.
	@[ "$$(id -u)" != 0 ] || [ -n "$$STOCKCAST_STORE_URL" ] || id stockcast >/dev/null 2>&1 \
		|| PATH="$$PATH:/usr/sbin:/sbin" command -v useradd >/dev/null || { \
		echo "PostgreSQL refuses to run as root, and there is no useradd to make a user for it: run as an ordinary user," \
			"install useradd (Debian: apt-get install passwd), or set STOCKCAST_STORE_URL to a database of your own." >&2; exit 2; }
	@echo "Installing into $(VENV) (some minutes, once) ..."
	@{ $(PY) -m pip --version && test "$$($(PY) --version)" = "$$($(PYTHON) --version)"; } >/dev/null 2>&1 || $(PYTHON) -m venv --clear $(VENV)
	@# Nothing but files of known content is fetched, and nothing is built: the lock has the build tools of this project too.
	@# It is complete, so no dependencies are looked for: pip 23.0 would take another celery for `celery[redis]`, and refuse it.
	@$(PIP_INSTALL) --no-deps --require-hashes --only-binary :all: --requirement requirements.lock
	@$(PIP_INSTALL) --no-deps --no-build-isolation --editable .
	@touch $@

# The images' locks are the parts of the first that they need: pip checks hashes of whole files of requirements only, never of constraints.
lock: ## pin the newest versions that setup.py allows, with their hashes, for all supported Pythons (needs uv)
	$(COMPILE) --extra dev --extra cluster --extra metrics --python-version 3.11 setup.py --output-file requirements.lock
	$(COMPILE_IMAGE) --extra train --override docker/overrides.txt setup.py docker/requirements.in --output-file docker/requirements.lock
	$(COMPILE_IMAGE) --override docker/overrides.slim.txt setup.py --output-file docker/requirements.slim.lock
	$(COMPILE) --python-version 3.11 --no-deps tests/helm/requirements.in --output-file tests/helm/requirements.lock

clean: ## remove .venv and caches; var/, with all results, stays
	rm -rf $(VENV) .pytest_cache .ruff_cache *.egg-info dist
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
