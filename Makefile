# Every target sets up what it needs: a virtual environment with pinned, hashed packages, byte code compiled.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check --no-user
export PATH := $(CURDIR)/$(BIN):$(PATH)
# Of the user's settings for pip and uv, those that say where packages come from and how; not where they go, nor which.
SOURCES := INDEX FIND_LINKS HOST CERT TLS PROXY CACHE TIMEOUT RETRIES CONFIG KEYRING OFFLINE CONCURRENT
unexport PYTHONHOME $(foreach name,$(filter PIP_% UV_%,$(.VARIABLES)),$(if $(strip \
	$(foreach word,$(SOURCES),$(findstring $(word),$(name)))),,$(name)))
.DEFAULT_GOAL := help
.PHONY: help setup repro test test-fast test-long ui track verify readme bench lint requirements audit
# What `make verify` trains again, by default: both published studies, dropout, batch norm, SGD and Adam.
STAGES ?= train-architectures@model2 train-architectures@model5 train-architectures@model8 \
	train-techniques@none-relu train-techniques@dropout-tanh train-techniques@batchnorm-relu

help:  ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "make %-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: $(VENV)/.installed .dvc/plots.html  ## the virtual environment; `. .venv/bin/activate` afterwards gives plain dvc, mlflow and python

$(VENV)/.installed: requirements.txt
	@$(PYTHON) -c 'import sys; sys.exit(None if sys.version_info >= (3, 11) else "make: found Python " + sys.version.split()[0] + "; needs 3.11 or newer: make PYTHON=python3.11 ...")'
	@echo "setting up $(VENV) (minutes, once)"
	@rm -rf $(VENV)
	@$(PYTHON) -m venv $(VENV)
	@sed -n '/^uv==/,/[^\\]$$/p' requirements.txt | $(PIP) --require-hashes -r /dev/stdin && \
		$(BIN)/uv pip install --quiet --python $(BIN)/python --compile-bytecode --require-hashes -r requirements.txt || \
		{ echo "uv did not install them: pip does (takes longer)"; $(PIP) --require-hashes --compile -r requirements.txt; }
	@$(PIP) --no-deps --no-build-isolation --editable .
	@touch -r requirements.txt $@  # also if its time is in the future

.dvc/plots.html: $(VENV)/.installed mnist_mlp/pipeline/plots_page.py
	@python -m mnist_mlp.pipeline.plots_page

repro: setup  ## run the whole pipeline; with JOBS=2 stages at once, or on Dask, SCHEDULER=tcp://host:8786
	@mnist-mlp repair && $(if $(JOBS)$(SCHEDULER),mnist-mlp cluster $(if $(JOBS),--jobs "$(JOBS)") $(if $(SCHEDULER),--scheduler "$(SCHEDULER)"),dvc repro)

test: setup  ## the tests that continuous integration runs: fast ones, slow ones, the pipeline, the browser
	@ruff check . && ruff format --check --quiet . && mypy && lint-imports --no-logo
	@python -m pytest -n 4 --dist worksteal -m "not long" --durations 40

test-long: setup  ## the others: a day of use, a sweep, more kills, servers, a real Slurm, hosts of their own (half an hour)
	@python -m pytest -n 2 -m long

test-fast: setup  ## the tests that take seconds
	@python -m pytest -n 2 -m "not slow and not browser" tests/unit

ui: setup  ## compare the runs in MLflow's UI (Ctrl-C ends it)
	@mnist-mlp ui

track: setup  ## make the MLflow store agree with the outputs that are here
	@mnist-mlp track

verify: setup  ## run STAGES (by default six trainings) again in a scratch copy, and compare every byte
	@mnist-mlp verify $(STAGES)

readme: setup  ## put the results of reports/ into README.md and docs/
	@mnist-mlp readme

bench: setup  ## our training against model.fit, side by side (10 minutes)
	@dvc repro --quiet preprocess && python -m benchmarks.training --write

lint: setup  ## format and check the code
	@ruff format . && ruff check --fix .

# Without the extra `peers`: JAX and PyTorch would make every environment gigabytes larger for one benchmark.
requirements: setup  ## pin pyproject.toml's packages anew in requirements.txt
	uv pip compile pyproject.toml --extra cluster --extra setup --extra test --universal --python-version 3.11 --generate-hashes --upgrade --quiet \
		--no-annotate --custom-compile-command "make requirements" -o requirements.txt

audit: setup  ## known vulnerabilities of the pinned packages, by pip-audit (needs a network)
	@$(PYTHON) -m venv $(VENV)/audit && $(VENV)/audit/bin/python -m pip install --quiet --disable-pip-version-check pip-audit
	@$(VENV)/audit/bin/pip-audit --requirement requirements.txt --require-hashes --disable-pip
