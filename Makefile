# Needs make and Python 3.11 or newer, nothing else: each target sets up what it needs in .venv.
# uv is used where it is installed, venv and pip otherwise. Another interpreter: make PYTHON=/path/to/python

VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.stamp
ALL_CORES := -n auto --dist worksteal

# Asked by running it: a pyenv shim, for one, is on the PATH and fails.
IS_RECENT = -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1
PYTHON ?= $(shell for p in python3.13 python3.12 python3.11 python3; do \
	if $$p $(IS_RECENT); then echo $$p; break; fi; done)

.PHONY: help demo test verify soak mutants replay spec seed docs bench lint plugins clean
.NOTPARALLEL:

help: ## Print this list
	@awk -F ':.*## ' '/^[a-z]+:.*## /{ printf "make %-8s %s\n", $$1, $$2 }' Makefile

demo: $(STAMP)-cli ## Upgrade a real plugin under load, with good and bad versions
	@$(BIN)/hotswap demo

test: lint ## Lint, type-check and test, with full branch coverage of the protocol core
	$(BIN)/pytest $(ALL_CORES) -m "not slow and not schedules" --cov --cov-report=
	$(BIN)/coverage report --include='*/hotswap/_core.py,*/hotswap/_locked.py,*/hotswap/_lifecycle.py,*/hotswap/_version.py,*/hotswap/_protocol.py,*/hotswap/_upgrade.py,*/hotswap/_epoch.py' --fail-under=100
	$(BIN)/pytest $(ALL_CORES) -m "schedules and not slow"

verify: test ## make test, again with the public call path, then the deeper runs, on all cores
	HOTSWAP_FASTCALL=0 $(BIN)/pytest $(ALL_CORES) -q -m "not slow and not schedules"
	SCHED_PROGRESS=60 $(BIN)/pytest $(ALL_CORES) -v -m slow

soak: $(STAMP)-dev ## Ten million calls during ten thousand upgrades; ARGS="--calls N --upgrades N --callers N"
	@HOTSWAP_COMPILE=inprocess PYTHONPATH=model_tests $(BIN)/python model_tests/soak.py $(ARGS)

mutants: $(STAMP)-dev ## Put each mutant into a copy and print what finds it; ARGS="--only ID", --json, --write ...
	@PYTHONPATH=model_tests $(BIN)/python -m mutation $(ARGS)

replay: $(STAMP)-dev ## Tell a schedule step by step: CASE="call, execute" SCHEDULE=0x4,1x9
	@PYTHONPATH=model_tests $(BIN)/python model_tests/replay.py "$(CASE)" "$(SCHEDULE)" "$(MUTANT)"

spec: $(STAMP)-dev ## Explore the specification
	$(BIN)/python -m hotswap_spec

seed: $(STAMP)-dev ## Print the seed's defects as shortest counterexamples
	@$(BIN)/python docs/generate.py --seed

docs: $(STAMP)-dev ## Regenerate what the documents show of the specification
	$(BIN)/python docs/generate.py

bench: $(STAMP)-dev $(STAMP)-peers ## Run the benchmarks (minutes, on a quiet machine), write docs/benchmarks.md
	@saved=.benchmarks/$$($(BIN)/python -c 'import sys; print(sys.implementation.cache_tag)').json; \
	mkdir -p .benchmarks && rm -f $$saved && failed=0; \
	$(BIN)/pytest bench --benchmark-only -o testpaths=bench --benchmark-columns=median,iqr,rounds \
		--benchmark-sort=name --benchmark-json=$$saved || failed=$$?; \
	$(BIN)/python bench/report.py .benchmarks/*.json && exit $$failed

lint: $(STAMP)-dev ## Check style, format and types
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy

plugins: $(STAMP)-plugins ## Rebuild the example plugins from source
	$(BIN)/python examples/plugins/build.py

clean: ## Remove .venv, caches and build results
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis .benchmarks .coverage .coverage.* htmlcov dist build
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# The peers of the benches are no requirement: without them, what they would show is skipped with the reason.
$(STAMP)-peers: pyproject.toml $(STAMP)-venv
	@if command -v uv >/dev/null 2>&1; then \
		uv pip install --quiet --python $(BIN)/python -e '.[bench]'; \
	else \
		$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[bench]'; \
	fi || echo "The benches run without the peers that do not install here." >&2
	@touch $@

# One stamp for each extra of pyproject.toml, which is installed anew when that file has changed.
$(STAMP)-cli $(STAMP)-dev $(STAMP)-plugins: $(STAMP)-%: pyproject.toml $(STAMP)-venv
	@echo "Setting up $(VENV) for .[$*] ..."
	@if command -v uv >/dev/null 2>&1; then \
		uv pip install --quiet --python $(BIN)/python -e '.[$*]'; \
	else \
		$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[$*]'; \
	fi
	@touch $@

# An environment that is there and works is kept.
$(STAMP)-venv:
	@if $(BIN)/python $(IS_RECENT) && { command -v uv || $(BIN)/python -m pip --version; } >/dev/null 2>&1; then \
		touch $@; exit; \
	fi; \
	python='$(PYTHON)'; \
	if ! "$${python:-false}" $(IS_RECENT); then \
		echo "hotswap needs Python 3.11 or newer, and found none. Install it, or name it: make PYTHON=..." >&2; \
		exit 1; \
	fi; \
	rm -rf $(VENV); \
	if command -v uv >/dev/null 2>&1; then uv venv --quiet --seed --python "$$python" $(VENV); else "$$python" -m venv $(VENV); fi && \
	touch $@
