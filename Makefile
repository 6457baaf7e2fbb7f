# Everything a newcomer needs; `make help` lists it. The set-up is Python 3.11 or newer, make, and packages.
PYTHON ?= python3
BIN := .venv/bin
READY := .venv/ready
PEERS := .venv-peers
# the dashboard, where the web role finds it, and the Node that builds it
DASHBOARD := recon_stream/web/dashboard/index.html
NODE := cd dashboard && PATH="$(CURDIR)/$(BIN):$$PATH"
T ?= tests
# two at a time, each with services of its own; one where services that already run are given
PROCESSES ?= $(if $(RECON_TEST_STATE_DIR),0,2)

.DEFAULT_GOAL := help
.PHONY: help setup demo test test-faults check dashboard screenshots native bench bench-peers bench-recovery bench-latency bench-scale bench-sink bench-api bench-sockets bench-overview bench-dashboard stack-up stack-down clean

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-15s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: $(READY) $(DASHBOARD) ## Make .venv with the locked packages, start the services, check everything, say where it is
	$(BIN)/recon-stream setup

$(READY): requirements.lock setup.cfg pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit("recon-stream needs Python 3.11 or newer, this is " + sys.version.split()[0] + ": call make with PYTHON=python3.11" if sys.version_info < (3, 11) else 0)'
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $(READY)

demo: $(READY) $(DASHBOARD) ## Start everything, send 30,000 transactions with faults, prove that each was found (ONCE=1: then end)
	$(BIN)/recon-stream demo $(if $(ONCE),--once)

test: $(READY) $(DASHBOARD) ## Run all checks and tests on the real services (T=path for some of them)
	$(BIN)/python -m pytest -n $(PROCESSES) --dist loadfile --no-loadscope-reorder $(T)

test-faults: $(READY) ## Break everything, one scenario after the other, with a table at the end (ONLY="names" SEED=1)
	$(BIN)/python -m tests.faults $(if $(ONLY),--run $(ONLY)) $(if $(SEED),--seed $(SEED))

check: $(READY) ## Style, types and import layers only
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

dashboard: $(DASHBOARD) ## Build the dashboard, where something of it has changed

screenshots: $(READY) $(DASHBOARD) ## Take a picture of every page of the dashboard, in front of the real system, into build/screenshots
	$(BIN)/python -m tests.dashboard.screenshots

dashboard/node_modules/.package-lock.json: dashboard/package-lock.json $(READY)
	$(NODE) npm ci --no-fund --no-audit --loglevel=error
	@touch $@

$(DASHBOARD): dashboard/node_modules/.package-lock.json $(shell find dashboard/src dashboard/public -type f) dashboard/index.html dashboard/vite.config.ts dashboard/tsconfig.json
	$(NODE) npm run --silent build -- --logLevel=warn

native: $(READY) ## Compile the data path into build/native (docs/operations.md)
	$(BIN)/python deploy/native.py build/native

bench: $(READY) ## CPU an event of one worker beside stock Faust (EVENTS=900000 REPEATS=3)
	$(BIN)/python -m benchmarks.throughput $(if $(EVENTS),--events $(EVENTS)) $(if $(REPEATS),--repeats $(REPEATS)) $(if $(PUBLISH),--publish)

bench-peers: $(READY) $(PEERS)/ready ## CPU an event of one worker beside Kafka Streams, a confluent-kafka loop and stock Faust
	$(BIN)/python -m benchmarks.peers $(if $(EVENTS),--events $(EVENTS)) $(if $(REPEATS),--repeats $(REPEATS)) $(if $(PUBLISH),--publish)

# what the benchmark alone needs has no place among the packages of the product
$(PEERS)/ready: benchmarks/peers.lock
	$(PYTHON) -m venv $(PEERS)
	$(PEERS)/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r benchmarks/peers.lock
	@touch $@

bench-recovery: $(READY) ## Seconds until a worker without local state works, up to a million open transactions
	$(BIN)/python -m benchmarks.recovery $(foreach number,$(TRANSACTIONS),--transactions $(number))

bench-latency: $(READY) ## Milliseconds to the verdict and CPU an event at 1,000, 5,000 and 10,000 events a second
	$(BIN)/python -m benchmarks.latency $(if $(PUBLISH),--publish)

bench-scale: $(READY) ## Memory, disk and CPU an event beside up to 5 million open transactions (TRANSACTIONS="1000000" EVENTS=600000)
	$(BIN)/python -m benchmarks.scale $(foreach number,$(TRANSACTIONS),--transactions $(number)) $(if $(EVENTS),--events $(EVENTS)) $(if $(PUBLISH),--publish)

bench-sink: $(READY) ## Rows a second of one sink into PostgreSQL (EVENTS=600000 REPEATS=3)
	$(BIN)/python -m benchmarks.sink $(if $(EVENTS),--events $(EVENTS)) $(if $(REPEATS),--repeats $(REPEATS)) $(if $(PUBLISH),--publish)

bench-api: $(READY) ## Milliseconds to the answers of the API in front of a million results (TRANSACTIONS=100000)
	$(BIN)/python -m benchmarks.api $(if $(TRANSACTIONS),--transactions $(TRANSACTIONS)) $(if $(PUBLISH),--publish)

bench-sockets: $(READY) ## Milliseconds from a result in Kafka to 500 websockets, at 2,000 results a second (SOCKETS=500)
	$(BIN)/python -m benchmarks.sockets $(if $(SOCKETS),--sockets $(SOCKETS)) $(if $(PUBLISH),--publish)

bench-overview: $(READY) ## How often the cache has what 20 open overviews ask for, while results come in (VIEWERS=20, TRANSACTIONS=100000)
	$(BIN)/python -m benchmarks.overview $(if $(TRANSACTIONS),--transactions $(TRANSACTIONS)) $(if $(VIEWERS),--viewers $(VIEWERS)) $(if $(PUBLISH),--publish)

bench-dashboard: $(READY) $(DASHBOARD) ## The dashboard in a browser: a million results, 2,000 updates a second (MINUTES=2 on each page, TRANSACTIONS=100000)
	$(BIN)/python -m benchmarks.dashboard $(if $(TRANSACTIONS),--transactions $(TRANSACTIONS)) $(if $(MINUTES),--minutes $(MINUTES)) $(if $(PUBLISH),--publish)

stack-up: $(READY) ## Start Kafka, the schema registry, PostgreSQL, Valkey and Keycloak
	$(BIN)/recon-stream stack up

stack-down: $(READY) ## Stop them
	$(BIN)/recon-stream stack down

clean: ## Stop the stack and delete local state and the environment
	@if [ -x $(BIN)/recon-stream ]; then $(BIN)/recon-stream stack reset --yes; fi
	rm -rf .recon .venv $(PEERS) build dashboard/node_modules recon_stream/web/dashboard *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
