# The words: run, test, style, types, tests, autobahn, fuzz, crash, soak, soak-sockets, bench, docs, clean.
# `make PYTHON=python3.12 ...` chooses an interpreter, `make run PORT=9000` a port, `make tests ARGS="tests/storage -x"`
# what pytest is given, `make tests WORKERS=0` has one process run all tests, `make crash MINUTES=60 KILLS=5000` for how
# long power fails and how often processes are killed, `make soak MINUTES=60`, `make autobahn CASES="1.* 12.1.*"` which
# cases of Autobahn|Testsuite (all take an hour), `make fuzz MINUTES=60 ARGS="--seed 7"`.

PYTHON ?=
PORT ?= 8787
ARGS ?=
WORKERS ?= 2
MINUTES ?= 10
KILLS ?= 2000
CASES ?= *

VENV := .venv
BIN := $(VENV)/bin

.PHONY: run test style types tests autobahn fuzz crash soak soak-sockets bench docs clean

run: $(VENV)/.installed
	$(BIN)/roost dev examples/whiteboard/app.py --port $(PORT)

test: style types tests

style: $(VENV)/.installed-test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(VENV)/.installed-test
	$(BIN)/mypy --strict src tests

tests: $(VENV)/.installed-test
	@.ci/system chromium:chromium "gcc:gcc libc6-dev" || echo "the tests that need these will fail and say so" >&2
	$(BIN)/python -m pytest --numprocesses $(WORKERS) --dist loadfile $(ARGS)

autobahn: $(VENV)/.installed-test
	@.ci/autobahn $(BIN)/python "$(CASES)"

fuzz: $(VENV)/.installed-test
	$(BIN)/python -m tests.conformance.fuzz --minutes $(MINUTES) $(ARGS)

crash: $(VENV)/.installed-test
	@.ci/system "gcc:gcc libc6-dev"
	$(BIN)/python -m tests.power_loss --minutes $(MINUTES)
	$(BIN)/python -m tests.crash --kills $(KILLS)
	EXAMPLES=200 $(BIN)/python -m pytest --timeout 3600 tests/crash/test_whole_object.py

soak: $(VENV)/.installed-test
	$(BIN)/python -m tests.crash.soak --minutes $(MINUTES)

soak-sockets: $(VENV)/.installed-test
	$(BIN)/python -m tests.crash.soak_sockets --minutes $(MINUTES)

bench: $(VENV)/.installed
	@.ci/system "gcc:gcc libc6-dev"
	$(BIN)/python -m benchmarks $(ARGS)

docs: $(VENV)/.installed-docs
	$(BIN)/zensical build --clean

clean:
	rm -rf $(VENV) .autobahn build dist site test-artefacts .mypy_cache .ruff_cache .pytest_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# What is installed, and from which pyproject.toml: a stamp in the environment, so that the next call is quick.

$(VENV)/.installed: pyproject.toml .ci/venv
	@.ci/venv $(VENV) $(PYTHON)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e .
	@touch $@

$(VENV)/.installed-test: $(VENV)/.installed
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[test,style]'
	@touch $@

$(VENV)/.installed-docs: $(VENV)/.installed
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[docs]'
	@touch $@
