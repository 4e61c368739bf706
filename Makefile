# nextbest: every target sets up .venv by itself; `make help` lists them all.
# Written for GNU make 3.81 (macOS) and later, and any POSIX shell.

SHELL := /bin/sh
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory

VENV ?= .venv
PYTHON ?=
WORKSPACE ?= .
# A worker for each core; a file's tests stay together, so that what they share is set up once.
PARALLEL ?= --numprocesses=auto --dist=loadfile --no-loadscope-reorder
BIN = $(VENV)/bin
# A benchmark is a script in tests/benchmarks; what several of them share starts with an underscore.
BENCH_FILES = $(filter-out _%,$(notdir $(sort $(wildcard tests/benchmarks/*.py))))
BENCH_NAMES = $(subst _,-,$(basename $(BENCH_FILES)))

# No vendor reports home, no pickle is ever read, no plot wants a screen.
export BENTOML_DO_NOT_TRACK := True
export FEAST_USAGE := False
export MLFLOW_DISABLE_TELEMETRY := true
export MLFLOW_ALLOW_PICKLE_DESERIALIZATION := false
export MPLBACKEND := Agg

.PHONY: help setup demo serve test lint bench fuzz lock clean

help: ## list the targets
	@echo "nextbest: make TARGET"
	@awk -F ':.*## ' '/^[a-z][a-z%-]*:.*## / { printf "  %-10s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))
	@echo "benchmarks: $(if $(BENCH_NAMES),$(addprefix bench-,$(BENCH_NAMES)),none yet)"
	@echo "variables: PYTHON=python3.12 chooses the interpreter, WORKSPACE=DIR the workspace of demo and serve"

setup: ## create .venv and install what requirements.lock pins (instant when nothing changed)
	@VENV='$(VENV)' PYTHON='$(PYTHON)' sh .ci/setup

demo: setup ## simulate a company, learn from it and show one customer's decision
	@echo "demo: running every step on the simulated company"
	@$(BIN)/nextbest demo --workspace '$(WORKSPACE)'

serve: setup ## serve decisions online from the workspace
	@$(BIN)/nextbest serve --workspace '$(WORKSPACE)'

# Both engines are tested: what the extra `spark` needs is added where there is a Java to run it.
test fuzz: export WITH := spark
test: lint ## lint, then all tests, the README's commands and the notebooks
	@echo "test: tests and the README's commands"
	@$(BIN)/python -m pytest $(PARALLEL)
	@echo "test: notebooks"
	@$(BIN)/python -m pytest $(PARALLEL) --nbmake --nbmake-timeout=600 notebooks

lint: setup ## style, types and the direction of imports
	@echo "lint: ruff check"
	@$(BIN)/ruff check .
	@echo "lint: ruff format"
	@$(BIN)/ruff format --check .
	@echo "lint: mypy --strict"
	@$(BIN)/mypy features training serving tests
	@echo "lint: imports"
	@$(BIN)/lint-imports

bench: setup ## run all benchmarks; fails, naming the row, when a bar falls short
	@test -n '$(BENCH_NAMES)' || { echo "bench: no benchmark in tests/benchmarks" >&2; exit 1; }
	@short=''; for name in $(BENCH_NAMES); do \
	  $(MAKE) "bench-$$name" || short="$$short $$name"; \
	done; test -z "$$short" || { echo "bench: fell short:$$short" >&2; exit 1; }

bench-%: setup ## run one benchmark of tests/benchmarks
	@case ' $(BENCH_NAMES) ' in *' $* '*) ;; \
	  *) echo "bench-$*: no such benchmark; there are: $(BENCH_NAMES)" >&2; exit 1 ;; esac
	@echo "bench-$*: measuring"
	@$(BIN)/python -m tests.benchmarks.$(subst -,_,$*)

fuzz: setup ## the long property and API runs
	@echo "fuzz: property and API tests with the long profile"
	@HYPOTHESIS_PROFILE=long $(BIN)/python -m pytest -m "property or fuzz"

lock: ## write requirements.lock again (LOCK_FLAGS=--upgrade to move the pins)
	@VENV='$(VENV)' PYTHON='$(PYTHON)' sh .ci/lock $(LOCK_FLAGS)

clean: ## remove caches and build output (keeps .venv and state/)
	@echo "clean: caches and build output"
	@rm -rf build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	@find features training serving tests -name __pycache__ -type d -prune -exec rm -rf {} +
