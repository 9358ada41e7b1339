# `make run` and `make test` work on a fresh clone: whatever is missing is installed first, into .venv.
# Override on the command line: `make run RUN_ARGS="--listen 127.0.0.1:9000"`, `make bench BENCH_ARGS="--quick"`,
# `make test PYTEST_ARGS="-k router"`.

SHELL := bash
VENV ?= .venv
PYTHON := $(VENV)/bin/python
STAMP := $(VENV)/.installed
MANIFESTS := setup.cfg pyproject.toml requirements-dev.txt .ci/install $(wildcard plugins/*/setup.cfg)
RUN_ARGS ?=
BENCH_ARGS ?=
PYTEST_ARGS ?=
JOBS ?= 2

.DEFAULT_GOAL := help
.PHONY: help install run test lint types docs unit compiled bench changes clean

help:  ## List the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## ?/\t/' | expand -t 12

install: $(STAMP)  ## Make .venv with the gateway, every plugin of plugins/ and the tools

$(STAMP): $(MANIFESTS)
	@test -x $(PYTHON) || "$$(.ci/python)" -m venv $(VENV)
	.ci/install $(PYTHON)
	@touch $@

run: $(STAMP)  ## Start two sample backends and the gateway with examples/sample.yaml; Ctrl-C stops all
	@$(PYTHON) examples/run.py $(RUN_ARGS)

test: lint types docs unit  ## Everything that must be green: lint, types, documentation, tests

lint: $(STAMP)  ## Style and likely mistakes
	$(PYTHON) -m ruff check .

types: $(STAMP)  ## Static types
	$(PYTHON) -m mypy

docs: $(STAMP)  ## Build the documentation into docs/_build/html; a warning is an error
	$(PYTHON) -m sphinx --fail-on-warning --keep-going -q -b html docs docs/_build/html

# Tests marked `alone` measure time or memory, so they run when nothing else does. Exit status 5 means that no test was selected.
# Tests of one file stay together (loadfile): the gateway that they share is started once.
unit: $(STAMP)  ## The tests of the gateway and of every plugin
	$(PYTHON) -m pytest -m alone $(PYTEST_ARGS) || [ $$? -eq 5 ]
	$(PYTHON) -m pytest -m "not alone" -n $(JOBS) --dist loadfile $(PYTEST_ARGS)

compiled: $(STAMP)  ## Compile the hot path with mypyc and test it; takes a few minutes
	.ci/test-compiled $(PYTHON)

bench: $(STAMP)  ## Compare with nginx, HAProxy, Envoy, Caddy and Express Gateway; writes benchmarks/RESULTS.md
	.ci/packages nginx haproxy caddy wrk
	$(PYTHON) -m benchmarks --install $(BENCH_ARGS)

changes: $(STAMP)  ## Show what the next release's changelog says so far
	$(PYTHON) -m towncrier build --draft --version next

clean:  ## Remove what was built, not the state of a running gateway
	rm -rf $(VENV) build docs/_build .mypy_cache .ruff_cache .pytest_cache .hypothesis .tox *.egg-info plugins/*/*.egg-info
