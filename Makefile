# Each target calls a `shardlake` command or a tool; `make` alone lists them.
PYTHON ?= python3.11
VENV ?= .venv
BIN := $(VENV)/bin
PYTEST_ARGS ?=
LAKE_TESTS := $(addprefix tests/e2e/test_,$(addsuffix .py,s3 jobs late_and_trace evidence upgrade pii poison schema types))

.DEFAULT_GOAL := help
.PHONY: help setup demo demo-scale faults package images dashboards test test-all test-s3 test-slow test-promises fuzz test-integration test-unit check format bench-start bench-jobs bench-spread bench-producer bench-files bench-follow bench-lines bench-parse bench-loghub fuzz-formats bench-verify bench-containers bench-consumers bench-lag bench-load bench-peers bench-pages metrics-page sbom lock clean

help: ## list the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /|/' | awk -F'|' '{printf "  make %-15s %s\n", $$1, $$2}'

$(VENV)/installed: requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; v = sys.version_info[:2]; (3, 11) <= v <= (3, 12) or sys.exit("error: Python %d.%d cannot run PyFlink 2.3.\n  Use Python 3.11 or 3.12: make PYTHON=python3.11" % v)'
	@echo "set-up: Python packages into $(VENV) (once, about a minute, 1.4 GB)"
	@$(PYTHON) -m venv $(VENV)
	@$(BIN)/python docker/requirements_of.py requirements.lock uv > $(VENV)/uv.lock
	@$(BIN)/python -m pip --disable-pip-version-check install --quiet --require-hashes -r $(VENV)/uv.lock
	@$(BIN)/uv pip install --quiet --python $(BIN)/python --require-hashes --compile-bytecode -r requirements.lock
	@$(BIN)/python -m pip --disable-pip-version-check install --quiet --no-deps --no-build-isolation -e .
	@touch $@

setup: $(VENV)/installed ## install everything that is missing (the other targets do so too)
	@$(BIN)/shardlake setup

demo: $(VENV)/installed ## logs through Kafka and Flink into a lake, with lag on screen, and the sum at the end
	@$(BIN)/shardlake demo $(DEMO_ARGS)

demo-scale: $(VENV)/installed ## workers added while a burst drains, one killed, and what they saw against the topic
	@$(BIN)/shardlake demo-scale

faults: $(VENV)/installed ## servers killed, paused and without disk under load for 5 minutes, and the verdict
	@$(BIN)/shardlake faults --run faults-out $(FAULTS_ARGS)

package: setup ## the jobs as a zip for Amazon's managed Flink or Kubernetes: docs/elsewhere.md
	@$(BIN)/shardlake package $(PACKAGE_ARGS)

test: setup ## every promise of the README once: what a stranger runs, in ten minutes
	@$(BIN)/pytest -m 'not slow and not thorough' -n 2 --no-loadscope-reorder $(PYTEST_ARGS)

test-all: setup ## all that must hold before a change lands: make test, more faults, the servers in containers
	@$(BIN)/pytest -m 'not slow' -n 2 --no-loadscope-reorder $(PYTEST_ARGS)

test-slow: setup ## minutes each, and in neither of the two: faults, full disks, the package, a demo whose servers die
	@$(BIN)/pytest -m slow $(PYTEST_ARGS)

test-promises: setup ## plant a fault in each of twenty promises, and see a test turn red: half an hour
	@$(BIN)/python -m tests.planted.promises $(PROMISES)

fuzz: setup ## spoiled lines, values, headers, files and queries, without a broker: FUZZ_ARGS='--seconds 1800 --seed 7'
	@$(BIN)/python -m tests.fuzz $(FUZZ_ARGS)

test-integration: setup ## those in containers alone
	@$(BIN)/pytest -m integration $(PYTEST_ARGS)

images: ## build the images, and print their sizes
	@docker compose --profile obs build --quiet
	@docker image ls --filter reference='shardlake-*' --format 'table {{.Repository}}\t{{.Size}}'

dashboards: $(VENV)/installed ## make docker/grafana/dashboards from the code beside it
	@PYTHONPATH=docker/grafana $(BIN)/python -m grafana_dashboards

test-s3: setup ## the tests of lake and jobs, with the lake in S3
	@$(BIN)/pytest --lake s3 $(LAKE_TESTS) $(PYTEST_ARGS)

test-unit: $(VENV)/installed ## the tests that need no server
	@$(BIN)/pytest -m unit $(PYTEST_ARGS)

check: $(VENV)/installed ## ruff, mypy and import-linter; changes nothing
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports --no-cache

format: $(VENV)/installed ## format and fix what ruff can
	@$(BIN)/ruff format .
	@$(BIN)/ruff check --fix .

bench-start: setup ## CPU-seconds by role of up, first and second run, finish, and of commands: --beside TREE compares
	@$(BIN)/python -m bench.start $(BENCH_ARGS)

bench-jobs: setup ## CPU-seconds of the jobs beside plain avro-confluent, and what each job adds
	@$(BIN)/python -m bench.jobs $(BENCH_ARGS)
	@$(BIN)/python -m bench.added_jobs

bench-spread: setup ## what it costs the archive that event times are spread over a month or a year
	@$(BIN)/python -m bench.spread $(BENCH_ARGS)

bench-producer: setup ## events a second of one producing process beside AvroSerializer in a plain loop
	@$(BIN)/python -m bench.producer $(BENCH_ARGS)

bench-follow: setup ## lines of a rotating log against events, with the follower killed
	@$(BIN)/python -m bench.follow $(BENCH_ARGS)

bench-files: $(VENV)/installed ## CPU of following thousands of files, packed ones and a gzip bomb, without a broker
	@$(BIN)/python -m bench.many_files $(BENCH_ARGS)

bench-lines: $(VENV)/installed ## what the lines cost each parser that cost it most; fails above 50 ms for 64 KiB
	@$(BIN)/python -m bench.hostile_lines $(BENCH_ARGS)

bench-parse: $(VENV)/installed ## CPU a line of the parsers, `auto` beside the format that is named, and a bare re.match
	@$(BIN)/python -m bench.parse $(BENCH_ARGS)

fuzz-formats: $(VENV)/installed ## a million spoiled lines through all parsers: none fails, each line is an event
	@$(BIN)/python -m bench.fuzz_formats $(BENCH_ARGS)

bench-loghub: $(VENV)/installed ## LOGHUB=FOLDER: lines of eight real systems against their true parts
	@$(BIN)/python -m bench.loghub $(LOGHUB)

bench-verify: setup ## 10 M events verified, beside one scan of the same files
	@$(BIN)/python -m bench.verify $(BENCH_ARGS)

bench-containers: setup ## topic to lake in containers beside the local stack, and a broker killed
	@$(BIN)/python -m bench.containers

bench-consumers: setup ## shards beside a plain loop, lanes beside one, and order through kills and hand-overs
	@$(BIN)/python -m bench.consumers $(BENCH_ARGS)
	@$(BIN)/python -m bench.order

bench-load: setup ## slip of the schedule, cost of measuring, and a planted slow-down that is seen
	@$(BIN)/python -m bench.load $(BENCH_ARGS)

bench-lag: setup ## a scrape of 1,000 partitions and 20 groups beside a plain probe, and the error of ages
	@$(BIN)/python -m bench.lag $(BENCH_ARGS)

bench-peers: setup ## the archive beside Quix Streams and a loop by hand: CPU-seconds, and what kills and poison lose
	@$(BIN)/python -m bench.peers $(BENCH_ARGS)

bench-pages: setup ## what web pages in a browser of this machine can do to a running stack (needs Chromium)
	@$(BIN)/python -m bench.pages

sbom: setup ## what set-up and images bring, with versions, checksums and licences, as CycloneDX: sbom.json
	@$(BIN)/python -m legal.sbom > sbom.json

metrics-page: $(VENV)/installed ## write docs/metrics.md anew from the code
	@$(BIN)/python -m shardlake.cli.metrics_page > docs/metrics.md

lock: $(VENV)/installed ## resolve the versions into requirements.lock and jars.lock.toml anew
	@$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header --no-emit-index-url --extra all --group dev pyproject.toml -o requirements.lock
	@$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header --no-annotate --no-emit-index-url tests/managed_flink/requirements.in -o tests/managed_flink/requirements.lock
	@$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header --no-annotate --no-emit-index-url tests/readers/requirements.in -o tests/readers/requirements.lock
	@for peer in bench/peer_programs/*/; do $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header --no-annotate --no-emit-index-url $${peer}requirements.in -o $${peer}requirements.lock || exit; done
	@$(BIN)/shardlake lock

clean: ## remove the virtual environment; downloads stay in the cache
	rm -rf $(VENV) .shardlake
