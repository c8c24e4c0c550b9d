# Everything a person runs. Each target makes what it needs; environments are stamped by their lock.
PYTHON ?= python3
SHELL := /bin/bash

.DEFAULT_GOAL := help
.PHONY: help run test lint bench proxies lock chromium postgres kafka kafka-install chaos train-tiny clean

help: ## Show this
	@grep -E '^[a-z-]+:.*##' Makefile | awk -F':.*## ' '{printf "  make %-12s %s\n", $$1, $$2}'

.venv/serve.stamp: requirements/serve.lock pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit("Subtext needs Python 3.11 or newer." if sys.version_info < (3, 11) else 0)'
	$(PYTHON) -m venv .venv
	.venv/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/serve.lock
	.venv/bin/python -m pip install --quiet --disable-pip-version-check --no-deps --editable .
	touch $@

.venv/dev.stamp: .venv/serve.stamp requirements/dev.lock
	.venv/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/dev.lock
	touch $@

.venv-train/stamp: requirements/train.lock pyproject.toml
	$(PYTHON) -m venv .venv-train
	.venv-train/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/train.lock
	.venv-train/bin/python -m pip install --quiet --disable-pip-version-check --no-deps --editable .
	touch $@

run: .venv/serve.stamp ## Start the demo: sidecar, engine, audit store and dashboard in one process
	.venv/bin/subtext serve --demo

test: .venv/dev.stamp chromium postgres kafka-install ## Lint, check types and imports, run every test
	$(MAKE) --no-print-directory lint
	.venv/bin/python -m pytest

lint: .venv/dev.stamp ## Style, types, import contracts
	.venv/bin/ruff format --check .
	.venv/bin/ruff check .
	.venv/bin/mypy
	.venv/bin/lint-imports --no-cache

bench: .venv/dev.stamp ## Measure the engine and the sidecar; prints the tables of the README
	.venv/bin/python -m tests.bench

chaos: .venv/dev.stamp kafka-install ## Kill and freeze Kafka workers and their broker, ten times five minutes
	.venv/bin/python -m tests.chaos --rounds 10 --seconds 300

proxies: ## Install what the benchmark compares with: nginx (needs root or sudo), LiteLLM
	@scripts/proxies

train-tiny: .venv-train/stamp ## Train, export, calibrate and evaluate on the authored data (needs torch)
	.venv-train/bin/python -m classifiers.training train --tiny --data classifiers/data --out runs/tiny
	.venv-train/bin/python -m classifiers.training half --model runs/tiny/model --out runs/tiny/half

chromium: ## Install the browser of the tests (Debian, needs root or sudo)
	@scripts/install-chromium

postgres: ## Install the PostgreSQL of the tests (Debian, needs root or sudo)
	@scripts/postgres install

kafka-install: ## Install the Kafka of the tests (Java from Debian: needs root or sudo)
	@scripts/kafka install

kafka: kafka-install ## Run an Apache Kafka of your own on loopback until Ctrl-D
	@scripts/kafka run

lock: .venv/serve.stamp ## Resolve the dependencies anew
	.venv/bin/python -m pip install --quiet uv
	.venv/bin/uv pip compile --quiet --universal --generate-hashes --extra cpu pyproject.toml -o requirements/serve.lock
	.venv/bin/uv pip compile --quiet --universal --generate-hashes --extra cpu --extra dev -c requirements/serve.lock pyproject.toml -o requirements/dev.lock
	.venv/bin/uv pip compile --quiet --universal --generate-hashes --extra cpu --extra train -c requirements/serve.lock pyproject.toml -o requirements/train.lock

clean: ## Remove environments and caches
	rm -rf .venv .venv-train .pytest_cache .mypy_cache .ruff_cache .hypothesis runs
