# Everything a developer or an operator needs, each in one word. `make` alone lists it.
# Pass arguments on with ARGS: `make serve ARGS="--port 4020 --data DIR"`.

SHELL = /bin/sh
.DEFAULT_GOAL := help
.PHONY: help install runtime serve test topologies test-clients quick lint chaos soak bench pin clean

BIN = .venv/bin
BIOME = .venv/node/node_modules/.bin/biome
ARGS ?=
# Two workers: a test that starts a server has two processes of its own.
PYTEST = $(BIN)/python -m pytest -q -n 2
QUICK = tests/schema tests/wire tests/fold tests/adapters tests/dialects tests/pairs \
	tests/test_house.py tests/test_settings.py tests/test_docs.py tests/api/test_stream.py tests/api/test_threads.py
# What the API promises, on whatever it stands (`--topology`); the tests left out bring their own nodes.
API = tests/api --ignore=tests/api/test_scaled.py

# One line of progress per stage, coloured where a person is looking.
stage = @if [ -t 1 ] && [ -z "$$NO_COLOR" ]; then printf '\033[36m%-8s\033[0m %s\n' '$(1)' '$(2)'; \
	else printf '%-8s %s\n' '$(1)' '$(2)'; fi

help:  ## list these commands
	@awk -v tty="$$([ -t 1 ] && [ -z "$$NO_COLOR" ] && echo 1)" 'BEGIN { FS = ":.*## " } \
		/^[a-z-]+:.*## / { printf (tty ? "  \033[36mmake %-12s\033[0m %s\n" : "  make %-12s %s\n"), $$1, $$2 }' Makefile

install:  ## the package and its dev tools, into .venv (instant when up to date)
	@sh scripts/install.sh dev

runtime:
	@sh scripts/install.sh runtime

serve: runtime  ## install what it takes and run the server: make serve ARGS="--port 4020"
	@exec $(BIN)/tailrace serve $(ARGS)

test: lint  ## every check and every test
	$(call stage,test,the whole suite)
	@$(PYTEST) $(ARGS)
	@$(if $(ARGS),:,$(MAKE) --no-print-directory topologies)

topologies: install  ## the tests of the API over Redis and PostgreSQL: on one node, and with its roles in four
	$(call stage,test,the API on Redis and PostgreSQL)
	@$(PYTEST) $(API) --topology scaled
	$(call stage,test,the API with its roles in four nodes)
	@$(PYTEST) $(API) --topology split

test-clients: install  ## real clients against the server: SDKs, frameworks, Codex, Claude Code
	@sh scripts/clients.sh
	$(call stage,test,the real clients)
	@TAILRACE_CLIENTS=.venv-clients $(PYTEST) tests/clients/matrix $(ARGS)

quick: install  ## the tests of what is pure, the house, and one server's stream: in under a minute
	$(call stage,test,without the slow ones)
	@$(PYTEST) -m "not slow" $(if $(ARGS),$(ARGS),$(QUICK))

lint: install  ## style, format, types, import floors, purity, budgets
	$(call stage,lint,style)
	@$(BIN)/ruff check --quiet .
	$(call stage,lint,format)
	@$(BIN)/ruff format --check . >.venv/format.txt || { cat .venv/format.txt; exit 1; }
	$(call stage,lint,types)
	@$(BIN)/mypy --no-error-summary
	$(call stage,lint,import floors)
	@$(BIN)/lint-imports --no-logo >.venv/floors.txt || { cat .venv/floors.txt; exit 1; }
	$(call stage,lint,purity)
	@$(BIN)/python scripts/check_purity.py
	$(call stage,lint,budgets)
	@$(BIN)/python scripts/check_budgets.py
	$(call stage,lint,the page)
	@if [ -x $(BIOME) ]; then $(BIOME) check --log-level=error ui tests/page; \
		else echo 'lint     the page is not looked over: npm is missing'; fi

chaos: install  ## half an hour of kill -9 and worse, seed printed: make chaos ARGS="--minutes 5 --seed 1"
	@$(BIN)/python -m tests.chaos $(ARGS)

soak: install  ## an hour of 200 mixed streams with faults; fails on a leak: make soak ARGS="--minutes 3 --seed 1"
	@$(BIN)/python -m tests.soak $(ARGS)

bench: install  ## what streaming costs, beside a bare passthrough: make bench ARGS="--quick"
	@$(BIN)/python -m bench $(ARGS)

pin: install  ## renew constraints.txt with the newest versions that fit
	@sh scripts/pin.sh

clean:  ## remove .venv, the clients, and what the tools left behind
	@rm -rf .venv .venv-clients .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
