# SPDX-License-Identifier: MIT
# `make` lists what can be made.

# Where to: say it on the command line, e.g. make install PREFIX=/opt/torqueckpt STORE=/scratch/checkpoint
PREFIX = /usr/local
DESTDIR =
SYSCONFDIR = /etc
STORE = /var/spool/checkpoint
SPOOL = /var/spool/torqueckpt
POINTERS = /var/spool/checkpoint-pointers
# Whose example in conf/ the settings begin with: criu, altix, blcr or dmtcp
FLAVOUR = criu
# altix: the directory that SGI_Altix_checkpointing_* was unpacked to; its tools go to PREFIX/bin
ALTIX_PACKAGE =
# Where `make wheelhouse` puts what an installation without network needs; ./wheelhouse is used when it is there
WHEELHOUSE =
# The interpreter, when the one that is found is not the one you want
PYTHON =
# The Pythons whose programs are to find `import pbs` (docs/bindings.md), or none; empty: python3, in /usr and /usr/local
CLIENT_PYTHON =
# What demo and test try out: a complete installation of its own, beside the real one
TEST_PREFIX = /opt/torqueckpt-test
# How many checkpoints `make soak` takes
TIMES = 2000

# Which of the places are asked for, and not the defaults of above
GIVEN = $(foreach place,STORE SPOOL POINTERS,$(if $(filter file,$(origin $(place))),,$(place)))

export GIVEN PREFIX DESTDIR SYSCONFDIR STORE SPOOL POINTERS FLAVOUR ALTIX_PACKAGE WHEELHOUSE PYTHON CLIENT_PYTHON TEST_PREFIX

in_test_prefix = PREFIX=$(TEST_PREFIX) DESTDIR= SYSCONFDIR=$(TEST_PREFIX)/etc \
	STORE=$(TEST_PREFIX)/var/spool/checkpoint SPOOL=$(TEST_PREFIX)/var/spool/torqueckpt \
	POINTERS=$(TEST_PREFIX)/var/spool/checkpoint-pointers
scripts = install/* .ci/*
unit_tests = tests/unit tests/ifl
# Debian packages that tests run programs of: small ones, which `make test` brings (CONTRIBUTING.md names larger ones)
test_packages = procps gcc libc6-dev binutils strace fuse3 iproute2 e2fsprogs groff man-db zstd sqlite3 python3-numpy numactl tmux screen netcat-openbsd python3-joblib python3-distributed tcsh csh zsh ksh fish

.PHONY: help setup install install-shims uninstall wheelhouse demo test test-quick test-unit test-job test-faults soak bench bench-quick fuzz lint typecheck rooms check dist clean test-packages test-prefix

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  %-13s %s\n", $$1, $$2 }' Makefile
	@echo 'Variables: PREFIX=$(PREFIX) SYSCONFDIR=$(SYSCONFDIR) STORE=$(STORE) SPOOL=$(SPOOL)'
	@echo '           POINTERS=$(POINTERS) FLAVOUR=$(FLAVOUR) WHEELHOUSE=$(WHEELHOUSE)'
	@echo '           DESTDIR=$(DESTDIR) PYTHON=$(PYTHON) CLIENT_PYTHON=$(CLIENT_PYTHON) TEST_PREFIX=$(TEST_PREFIX)'

setup: .venv/made ## make .venv, for working on torqueckpt

.venv/made: setup.cfg pyproject.toml
	install/dev-setup

install: ## install on this node (as root), with whatever is missing for it
	@install/install

install-shims: ## install, and link chkpnt resume cr_run cr_checkpoint cr_restart, done by CRIU, into PREFIX/bin
	@SHIMS=yes install/install

uninstall: ## take the installation away again; settings, key and images stay
	@install/uninstall

wheelhouse: ## fetch what install would fetch into WHEELHOUSE (./wheelhouse), for nodes without network
	@install/wheelhouse $(or $(WHEELHOUSE),wheelhouse)

demo: test-prefix ## install into TEST_PREFIX and show a job that is checkpointed, killed and resumed
	$(TEST_PREFIX)/lib/torqueckpt/venv/bin/python tests/demo.py --prefix $(TEST_PREFIX)

test: test-packages test-prefix .venv/made ## install into TEST_PREFIX and run all tests on it (ARGS= for pytest)
	TORQUECKPT_PREFIX=$(TEST_PREFIX) .venv/bin/python -m pytest -n 4 --dist loadfile --no-loadscope-reorder $(ARGS)

test-quick: .venv/made ## without root and installation, in seconds; the report's header says what is left out
	TORQUECKPT_PREFIX=/nonexistent .venv/bin/python -m pytest --quick -n 3 --dist loadfile tests/unit $(ARGS)

test-unit: test-packages .venv/made ## all tests that need no installation (those that need root skip without it)
	TORQUECKPT_PREFIX=/nonexistent .venv/bin/python -m pytest -n 3 --dist loadfile $(unit_tests) $(ARGS)

test-job: test-packages test-prefix .venv/made ## all others: real jobs, batch systems, faults and the installation itself (as root)
	TORQUECKPT_PREFIX=$(TEST_PREFIX) .venv/bin/python -m pytest -n 3 --dist loadfile \
		$(unit_tests:%=--ignore=%) $(ARGS)

test-faults: test-packages test-prefix .venv/made ## kill, starve and mislead every program at every step, put hostile things in; writes docs/reliability.md (long)
	TORQUECKPT_FAULTS=all TORQUECKPT_REPORT=docs/reliability.md TORQUECKPT_PREFIX=$(TEST_PREFIX) \
		.venv/bin/python -m pytest tests/faults $(ARGS)
	TORQUECKPT_REPORT=docs/reliability.md TORQUECKPT_PREFIX=$(TEST_PREFIX) \
		.venv/bin/python -m pytest -p tests.faults.inputs --hypothesis-profile=many \
		$$(.venv/bin/python -m tests.faults.inputs) $(ARGS)

soak: test-packages test-prefix .venv/made ## one job, TIMES checkpoints (2000); writes docs/reliability.md
	TIMES=$(TIMES) TORQUECKPT_REPORT=docs/reliability.md TORQUECKPT_PREFIX=$(TEST_PREFIX) \
		.venv/bin/python -m pytest tests/faults/soak.py $(ARGS)

bench: test-prefix .venv/made ## measure beside bare criu and DMTCP; writes benchmarks/RESULTS.md (as root, on a quiet machine)
	TORQUECKPT_PREFIX=$(TEST_PREFIX) .venv/bin/python -m benchmarks $(ARGS)

bench-quick: test-prefix .venv/made ## the same in less than two minutes, small and rough; writes benchmarks/RESULTS-quick.md
	TORQUECKPT_PREFIX=$(TEST_PREFIX) .venv/bin/python -m benchmarks --quick $(ARGS)

fuzz: .venv/made ## look for made-up input that breaks something, 5000 for each such test
	TORQUECKPT_PREFIX=$(TEST_PREFIX) .venv/bin/python -m pytest --hypothesis-profile=explore -q \
		--hypothesis-show-statistics $$(grep -rl 'hypothesis import.*given' tests) $(ARGS)

lint: .venv/made ## look for slips: ruff, and shellcheck for the scripts
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .
	.venv/bin/shellcheck -x $(scripts)

typecheck: .venv/made ## mypy --strict
	.venv/bin/mypy

rooms: ## list the package's rooms: modules, lines, the biggest of each
	@python3 tests/unit/floors.py

check: lint typecheck test ## all three: what a change must pass

dist: .venv/made ## source archive and wheel, into dist/
	.venv/bin/python -m build

clean: ## take away what was made here, TEST_PREFIX and its sudo rule
	@$(in_test_prefix) install/test-prefix remove
	rm -rf .venv build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find . -name __pycache__ -prune -exec rm -rf {} +

test-packages:
	@install/packages --optional $(test_packages)

test-prefix:
	@$(in_test_prefix) install/test-prefix make
