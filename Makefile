# `make help` lists the targets. Every target sets up what it needs; the second time that takes no time.

.DEFAULT_GOAL := help
SHELL := bash
PYTHON := .venv/bin/python
CODE := imgsearch jobs plantdemo tests benchmarks archive examples house.py
export PYTHONPATH := $(CURDIR)

##@ Set-up
.PHONY: setup
setup:  ## the locked environment in .venv, with what development needs, and Delta's jars
	@bash setup.sh dev

##@ Checks
.PHONY: test test-slow test-cluster test-fast test-pairs coverage lint format
test: lint  ## everything but clusters and slow proofs: lint, types, all tests (starts Spark), in two processes
	$(PYTHON) -m pytest imgsearch tests -m "not cluster and not slow" -n 2 --dist loadfile $(PYTEST)

test-slow: setup  ## minutes each: two writers, killed runs, an old warehouse, the wheel, the notebook, a browser
	$(PYTHON) -m pytest tests -m "slow and not cluster" $(PYTEST)

test-cluster: setup  ## real processes: a standalone cluster, HDFS and YARN, an object store
	$(PYTHON) -m pytest tests/cluster tests/archive tests/test_wheel.py -m cluster $(PYTEST)

test-fast: lint  ## lint, types, and the tests that need no Spark
	$(PYTHON) -m pytest imgsearch tests -m "not spark and not real_data and not slow and not cluster" $(PYTEST)

coverage: setup  ## `make test` with the lines that it reaches, a line a file (what only runs in Spark's workers is not seen)
	$(PYTHON) -m pytest imgsearch tests -m "not cluster and not slow" -n 2 --dist loadfile --cov --cov-report=term $(PYTEST)

test-pairs: lint  ## all pairs of jobs started together on one warehouse (`make test-slow` runs the most dangerous)
	IMGSEARCH_PAIRS=all $(PYTHON) -m pytest tests/lake/test_two_writers.py $(PYTEST)

lint: setup  ## ruff, its formatter, mypy, and the measures of the house (lengths, circles of imports)
	$(PYTHON) -m ruff check $(CODE)
	$(PYTHON) -m ruff format --check $(CODE)
	$(PYTHON) -m mypy
	$(PYTHON) house.py

format: setup  ## what ruff can mend by itself
	$(PYTHON) -m ruff check --fix $(CODE)
	$(PYTHON) -m ruff format $(CODE)

##@ Measurements (never part of the tests)
.PHONY: fuzz soak
bench-%: setup  ## benchmarks/NAME.py, side by side with its peers (ARGS="…" are its options)
	$(PYTHON) benchmarks/$(subst -,_,$*).py $(ARGS)

fuzz: setup  ## 20,000 damaged image files: each one embedded or refused, none fatal
	$(PYTHON) benchmarks/fuzz.py --files 20000 $(ARGS)

soak: setup  ## 50 random kills on a standalone cluster over 20,000 images, against an undisturbed run
	$(PYTHON) benchmarks/soak.py $(ARGS)

##@ The product
.PHONY: demo package clean help
demo:  ## draw a gallery and run the whole chain on it (ARGS="--images 200")
	./spark-submit.sh demo $(ARGS)

package: setup  ## one archive for executors (Python and all), and the wheel, in dist/
	uv="$$(bash setup.sh uv)" && "$$uv" build --wheel --quiet --out-dir dist && $(PYTHON) -m archive.build --uv "$$uv" $(ARGS)

clean:  ## caches and what the demo wrote; .venv and the jars stay
	rm -rf .coverage demo-out spark-warehouse metastore_db derby.log .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find imgsearch jobs plantdemo tests benchmarks archive -name __pycache__ -prune -exec rm -rf {} +

help:  ## this list
	@awk 'BEGIN {FS = ":.*##"; printf "make TARGET\n"} \
	/^##@/ {printf "\n%s\n", substr($$0, 5)} \
	/^[a-z%-]+:.*##/ {sub(/%/, "NAME", $$1); printf "  %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)
