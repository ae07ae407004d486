# Every target explains itself: `make help`.
.DEFAULT_GOAL := help
SHELL := /bin/bash

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
CORE := $(VENV)/.core
# Folders are prerequisites too, because they change when a source is deleted.
CYTHON_SOURCES := $(wildcard benchmarks/*.pyx benchmarks/*/*.pyx)
# Small enough for an interpreter; those that fill whole tables are skipped.
MIRI_TESTS := bitmap_subscribers:: blocks:: cache:: channel_rows:: lru:: name_table:: pages:: presence_sets:: subscriptions:: \
	updates:: users:: \
	$(addprefix --skip ,a_block_moves does_not_move_all memory_is_given_back place_of_its_own placed_in_slices stay_apart)
LOCKED := pyproject.toml packaging/services/pyproject.toml --no-emit-package fanout --quiet --universal --no-header --no-annotate
DISTRIBUTIONS := pyproject.toml setup.py packaging/services/pyproject.toml packaging/services/setup.py
RUST_SOURCES := src/fanout/_core.pyi \
	$(shell find core_ext -mindepth 1 -path "*/target" -prune -o \( -type d -o -name "*.rs" -o -name "Cargo.*" \) -print)

.PHONY: help run demo test test-python test-rust soak check-shuttle check-miri check-tsan chaos simulate lint format type bench build docs servers wheels lock clean

help:  ## list the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /\1\t/' | expand -t 14

run: build  ## set up everything and run every service on 127.0.0.1:8080 (Ctrl-C stops)
	@$(BIN)/fanout up

demo: build  ## the same with a chat page for three users on 127.0.0.1:8000 (examples/chat)
	@$(BIN)/python examples/chat/demo.py

# Compilers and downloads go on beside each other, since those wait for the network; each tells its output at its end.
test:  ## set up everything and run all tests
	@$(MAKE) --no-print-directory --jobs 3 --output-sync=line build servers test-rust
	@$(MAKE) --no-print-directory test-python

# Most tests wait most of their time, so there are more processes than cores. Those of whole systems start processes of
# their own, and wait for them against the clock: they run one after another.
JOBS ?= 3
test-python: build servers  ## the Python tests alone, the whole systems last; ARGS="-k name" chooses some
ifeq ($(ARGS),)
	$(BIN)/pytest -n $(JOBS) --dist loadfile --ignore tests/system
	$(BIN)/pytest tests/system
else
	$(BIN)/pytest $(ARGS)
endif

# One after the other, and shown as they go on: some of them wait for minutes, while the driver would tell of each attempt.
SOAK := -m soak --verbose -o log_cli=true -o log_cli_level=INFO -o "log_cli_format=%(asctime)s %(message)s" \
	$(addprefix --log-disable=cassandra.,cluster connection policies pool)
soak: build servers  ## the tests that `make test` shortens, at full size: long outages, large files (more than an hour); ARGS="-k import" chooses some
	$(BIN)/pytest $(SOAK) $(ARGS)

# Of a make that runs jobs side by side, cargo would look for a job server, which only other makes are given.
NO_JOB_SERVER := env -u MAKEFLAGS -u MFLAGS
test-rust:  ## the Rust tests alone
	$(NO_JOB_SERVER) cargo test --quiet --locked --manifest-path core_ext/Cargo.toml --workspace

# Each has flags of its own for all that it compiles, so a folder of its own, and takes a minute or two the first time.
ENGINE := --quiet --locked --manifest-path core_ext/Cargo.toml -p fanout-engine
NEEDS_NIGHTLY = @rustup component list --toolchain nightly --installed 2>/dev/null | grep -q '^$(1)' || \
	{ echo "this needs: rustup toolchain install nightly --component rust-src miri" >&2; exit 1; }

check-shuttle: export RUSTFLAGS = --cfg shuttle
check-shuttle:  ## the engine's threads in many orders; SHUTTLE_ROUNDS=20000 tries more (the default is 300)
	cargo clippy $(ENGINE) --target-dir core_ext/target/shuttle --profile checked --lib --tests -- -D warnings -A clippy::useless_vec
	cargo test $(ENGINE) --target-dir core_ext/target/shuttle --profile checked --lib concurrency_tests

check-miri: export MIRIFLAGS = -Zmiri-disable-isolation
check-miri:  ## the tests of the engine's data structures, interpreted (nightly; some minutes)
	$(call NEEDS_NIGHTLY,miri)
	cargo +nightly miri test $(ENGINE) --target-dir core_ext/target/miri --lib -- $(MIRI_TESTS)

check-tsan: export RUSTFLAGS = -Zsanitizer=thread
check-tsan:  ## every kind of call from threads of its own, under ThreadSanitizer (nightly)
	$(call NEEDS_NIGHTLY,rust-src)
	cargo +nightly test $(ENGINE) --target-dir core_ext/target/tsan --release -Zbuild-std \
		--target $(shell rustc -vV | sed -n 's/^host: //p') --test threads

CHAOS := --messages 1000000 --channels 10000 --workers 3 --instances 3 --clients 300 --nats-restarts 2
chaos: build servers  ## what clients receive of a million messages while workers die and nats-server restarts (minutes); ARGS="--seed 7"
	@echo "workers die and come, nats-server restarts twice:"
	$(BIN)/python -m tests.chaos.storm $(CHAOS) $(ARGS)
	@echo "the same, and one message in a hundred to the instances is lost:"
	$(BIN)/python -m tests.chaos.storm $(CHAOS) --drop 0.01 $(ARGS)
	@echo "how long readers of the log wait after faults:"
	$(BIN)/python -m tests.chaos.stalls

# Each seed is a run of half a minute to two minutes of virtual time, in a quarter of a second of one core.
SEEDS ?= 1000
simulate: build  ## the whole tier, its servers, people and faults in one process, from seeds; SEEDS=10000, ARGS="--from 1001"
	$(BIN)/python -m tests.simulation --seeds $(SEEDS) $(ARGS)

lint: build  ## ruff, rustfmt and clippy
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	cargo fmt --manifest-path core_ext/Cargo.toml --all --check
	$(NO_JOB_SERVER) cargo clippy --quiet --locked --manifest-path core_ext/Cargo.toml --workspace --all-targets -- -D warnings

format:  ## rewrite the sources in their format
	$(BIN)/ruff check --fix
	$(BIN)/ruff format
	cargo fmt --manifest-path core_ext/Cargo.toml --all

type: build  ## mypy --strict
	$(BIN)/mypy

bench: build servers  ## all benchmarks at a modest size; reports go to build/bench
	@mkdir -p build/bench
	cd build/bench && ../../$(BIN)/fanout bench all --quick

build: $(CORE)  ## the virtual environment with the compiled core in it

$(READY): requirements/dev.lock
	@command -v cargo >/dev/null || { echo "cargo is missing: install a Rust toolchain first" >&2; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "$(PYTHON) is older than Python 3.11: make PYTHON=python3.12 ..." >&2; exit 1; }
	@echo "setting up $(VENV) (20 s to a minute) ..."
	@$(PYTHON) -m venv $(VENV)
	@$(BIN)/pip install --quiet --disable-pip-version-check -r requirements/dev.lock
	@touch $@

# One after the other: an older `fanout` that brought the command itself is removed, with the command, before it is installed.
INSTALL := $(NO_JOB_SERVER) $(BIN)/pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation

$(CORE): $(READY) $(DISTRIBUTIONS) $(CYTHON_SOURCES) $(RUST_SOURCES)
	@echo "compiling the Rust core and the benchmarks' helpers (about a minute the first time) ..."
	@$(INSTALL) --editable .
	@$(INSTALL) --editable packaging/services
	@touch $@

servers: $(READY)  ## fetch the servers that the tests start into .servers/
	@tools/fetch-servers

wheels: $(READY)  ## build/wheels: the library for CPython 3.11 and later, and the services for this Python
	@$(BIN)/pip install --quiet --disable-pip-version-check -r requirements/wheels.lock
	@tools/make-wheels $(BIN) build/wheels

lock: $(READY)  ## pin the dependencies, those that are pinned as they are; ARGS=--upgrade takes the newest
	$(BIN)/pip install --quiet uv
	$(BIN)/uv pip compile $(LOCKED) $(ARGS) -o requirements/runtime.lock
	$(BIN)/uv pip compile $(LOCKED) $(ARGS) --extra parquet --group dev -o requirements/dev.lock
	$(BIN)/uv pip compile $(LOCKED) $(ARGS) --group wheels -o requirements/wheels.lock

docs: build  ## check that what the documents show still runs
	$(BIN)/pytest tests/docs

clean:  ## remove what was built and fetched; the data directory stays
	rm -rf $(VENV) .servers build dist packaging/services/build src/*.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis core_ext/target
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
	find src benchmarks -name '*.so' -delete
