# Everything a newcomer needs is `make demo` and `make test`; both set up what they use. `make help` lists the rest.
SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory
# Tests start some hundred gateways: compiling every module anew takes each of them five of eight seconds.
unexport PYTHONDONTWRITEBYTECODE

VENV := .venv
DEMO := .venv-demo
BIN := $(VENV)/bin
LANES := $(BIN)/python scripts/lanes.py

.PHONY: help setup demo quick test bench bench-usage bench-payrun wheel judge judges chaos simulate endure lint format types imports tidy docs lock clean

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

$(VENV)/.ready: requirements/dev.lock requirements/build.lock pyproject.toml scripts/bootstrap.sh
	@scripts/bootstrap.sh $(VENV) requirements/dev.lock

$(DEMO)/.ready: requirements/runtime.lock requirements/build.lock pyproject.toml scripts/bootstrap.sh
	@scripts/bootstrap.sh $(DEMO) requirements/runtime.lock

setup: $(VENV)/.ready ## make .venv with everything that development needs

demo: $(DEMO)/.ready ## the whole product on made-up data, with the default dependencies only (DEMO_ARGS="--exit --no-browser")
	@$(DEMO)/bin/tokenroll demo $(DEMO_ARGS)

quick: $(VENV)/.ready ## at most 90 s: lint, types, imports, tidy, unit tests, derandomised properties
	@$(LANES) quick

test: $(VENV)/.ready ## quick, then two lanes side by side: laws, crashes, pages · clients, papers, demo
	@$(LANES) test

bench: $(VENV)/.ready ## speed as ratios to plain nginx, ours and other gateways; then bench-usage (QUICK=1: small)
	@scripts/system_packages.sh gcc openssl nginx wrk haproxy
	@PATH="$$PWD/$(BIN):$$PATH" bench/run.sh

bench-usage: $(VENV)/.ready ## the lake and imports against their bars, forecasts and runways against what came (QUICK=1: small)
	@PATH="$$PWD/$(BIN):$$PATH" bench/usage.sh

bench-payrun: $(VENV)/.ready ## a pay run of a million wallets: seconds, memory, and its curve
	@scripts/system_packages.sh gcc
	@$(BIN)/python -m bench.payrun --wheel

wheel: $(VENV)/.ready ## what to install where load counts: a wheel in dist/ whose hot path is compiled
	@scripts/system_packages.sh gcc
	@scripts/wheel.sh

judge: $(VENV)/.ready ## a gateway's promises about money, tried from outside (JUDGE_ARGS="--gateway otari --only T1,T10")
	@$(BIN)/python -m judge $(JUDGE_ARGS)

judges: $(VENV)/.ready ## by hand: outside programs judge us; writes results/judges-DATE.md
	@$(LANES) judges

chaos: $(VENV)/.ready ## roles killed and paused at random under load, money compared with the bill (MINUTES=30 SEED=… WORKERS=1)
	@scripts/system_packages.sh gcc
	@$(BIN)/python -m tests.chaos.storm --minutes $(or $(MINUTES),30) $(if $(SEED),--seed $(SEED)) $(if $(WORKERS),--workers $(WORKERS))

simulate: $(VENV)/.ready ## the whole product under one seed after another, with faults (SEEDS=1000; SEED=17 EVENTS=4000: one again)
	@$(BIN)/python -m tests.simulator $(if $(SEED),--seed $(SEED),--seeds $(or $(SEEDS),100) --first $(or $(FIRST),1)) $(if $(EVENTS),--events $(EVENTS)) $(SIMULATE_ARGS)

endure: $(VENV)/.ready ## by hand: chaos, soak, fuzz, mutation; writes results/endure-DATE.md
	@$(LANES) endure

lint: $(VENV)/.ready ## ruff and codespell
	@$(BIN)/ruff check
	@$(BIN)/ruff format --check
	@$(BIN)/codespell

format: $(VENV)/.ready ## let ruff rewrite what it can
	@$(BIN)/ruff check --fix --exit-zero
	@$(BIN)/ruff format

types: $(VENV)/.ready ## mypy: strict on src, checked on the rest
	@$(BIN)/mypy

imports: $(VENV)/.ready ## imports point down only
	@$(BIN)/lint-imports

tidy: $(VENV)/.ready ## house rules that no other tool knows
	@$(BIN)/pytest -q tests/tidy

docs: $(VENV)/.ready ## links, spelling, changelog fragments
	@$(BIN)/pytest -q tests/tidy/test_docs.py
	@$(BIN)/codespell docs README.md CONTRIBUTING.md
	@$(BIN)/towncrier build --draft

lock: $(VENV)/.ready ## rewrite requirements/*.lock (LOCK_ARGS=--upgrade moves every version)
	@scripts/lock.sh $(LOCK_ARGS)

clean: ## remove environments, caches and results of lanes
	@rm -rf .agents .agents.lock .bootstrap .bootstrap.lock $(VENV) $(DEMO) .lanes .bench .judges .hypothesis .mypy_cache .pytest_cache .ruff_cache .import_linter_cache
