# The commands of this repository. They call plain cargo; with CLUSTER=<kubeconfig>, demo and test use that cluster.

N ?= 1000
MINUTES ?= 10
TOKENS ?= 2000
RATE ?= 50
PROFILE ?= bench
CHART = charts/realtime-token-operator

# How long each target is fuzzed, in seconds.
SECONDS ?= 60
# How much further the models go than in the unit tests.
DEPTH ?= 1

# A tool of .ci/run, built once per machine.
DENY_VERSION = 0.20.2
DENY_ROOT = $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/realtime-token-operator/tools/cargo-deny-$(DENY_VERSION)
DENY = $(DENY_ROOT)/bin/cargo-deny

# A tool of a release, built once per machine.
CYCLONEDX_VERSION = 0.5.9
CYCLONEDX_ROOT = $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/realtime-token-operator/tools/cargo-cyclonedx-$(CYCLONEDX_VERSION)
CYCLONEDX = $(CYCLONEDX_ROOT)/bin/cargo-cyclonedx

# Asked of cargo: CARGO_TARGET_DIR or a configuration file can move the folder.
TARGET = $(shell cargo metadata --no-deps --format-version 1 | sed -n 's/.*"target_directory":"\([^"]*\)".*/\1/p')

.DEFAULT_GOAL := help
.PHONY: faults help check demo local test test-lib test-node test-node-slow image image-reproducible tools bench bench-requests models seeded-bugs fuzz mutants crds docs matrix chart-docs lint deny advisories fmt binaries modules cargo bench-crd sbom soak dist

help: ## List the commands
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 20

# The properties and models of the core that take longest; `make test-lib` runs them too.
LONG = ::life:: ::model:: ::hostile:: ::fairness:: ::spacing:: ::outages::
check: cargo ## Check the format, lint the library and run the quick tests of its core: 23 s of CPU after a change
	cargo fmt --all --check
	cargo clippy --quiet --lib --profile test -- -D warnings
	cargo test --quiet --lib -- token:: budget:: resolve:: $(addprefix --skip ,$(LONG))

test-lib: cargo ## Run all tests of the library, the controller against an API in memory among them
	cargo test --quiet --lib

local: binaries ## Keep a token of a stand-in provider in .realtime-token, without a cluster, until Ctrl-C
	@tests/support/local $(TARGET)/debug

demo: modules binaries ## Watch RealtimeTokens rotate on a real API server, against a stand-in provider
	@STEP="[2/3]" $(TARGET)/debug/control-plane build
	@echo "[3/3] starting; with a terminal, keys interfere"
	@$(TARGET)/debug/demo --operator $(TARGET)/debug/realtime-token-operator

TESTED = -p realtime-token-operator -p testkit
test: modules binaries ## Run every test that needs no root
	@STEP="[2/4]" $(TARGET)/debug/control-plane build
	@tests/support/cargo-build "[3/4]" test --no-run $(TESTED)
ifdef CLUSTER
	@echo "CLUSTER is set: left out are the tests named alone::, which stop the API server, count its requests or loosen a CRD"
endif
	@echo "[4/4] running the tests"
	cargo test $(TESTED) $(if $(CLUSTER),-- --skip alone::)

.PHONY: newcomer pictures
newcomer: cargo ## Clone the last commit and run the commands of README and quickstarts as they are written (TARGET_DIR: a warm one)
	@tests/newcomer $(if $(TARGET_DIR),--target $(TARGET_DIR))

pictures: modules binaries ## Make docs/pictures from a demo of ten minutes, with Debian's Prometheus beside it
	@$(TARGET)/debug/control-plane build
	@tests/pictures/make $(TARGET)/debug/demo $(TARGET)/debug/realtime-token-operator

test-node: modules binaries ## Run the tests that need root and Debian packages: image, node, Prometheus, consumers
	cargo test -p nodetests

test-node-slow: modules binaries ## Measure the guarantee with every default (a quarter of an hour); see docs/guarantee.md
	cargo test -p nodetests --test slow -- --nocapture

image: ## Build the container image with buildah: target/image/*.tar
	@image/files && image/build

image-reproducible: image ## Build it again elsewhere, from a clone of the last commit, and compare (minutes)
	@image/reproduce

sbom: $(CYCLONEDX) ## Write what is in the image of `make image` as CycloneDX: target/image/*.cdx.json
	@CYCLONEDX=$(CYCLONEDX) image/sbom

$(CYCLONEDX): | cargo
	env -u CARGO_TARGET_DIR cargo install --quiet cargo-cyclonedx --version $(CYCLONEDX_VERSION) --locked --root $(CYCLONEDX_ROOT)

# The programs that `make test-node` runs beside the operator, from Debian. Needs root. A program that is installed
# already is kept: Debian's containerd would replace Docker's.
DEBIAN = ca-certificates openssl chromium prometheus
DEBIAN += tinyproxy-bin buildah skopeo docker-registry containerd runc containernetworking-plugins iproute2

# policy-rc.d keeps Debian from starting some of them as services.
tools: ## Install the Debian packages of `make test-node`
	@missing=$$(for name in $(DEBIAN); do command -v $$name >/dev/null || dpkg -s $$name >/dev/null 2>&1 || echo $$name; done); \
	if [ -n "$$missing" ]; then \
		if [ ! -e /usr/sbin/policy-rc.d ]; then \
			trap 'rm -f /usr/sbin/policy-rc.d' EXIT INT TERM; \
			printf '#!/bin/sh\nexit 101\n' >/usr/sbin/policy-rc.d && chmod 755 /usr/sbin/policy-rc.d; \
		fi; \
		apt-get update -qq && \
		DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $$missing >/dev/null; fi

bench: cargo ## Measure N tokens (N=1000, LIFE in seconds) beside a bare client that does the same writes
	@cargo build --quiet --workspace --bins && $(TARGET)/debug/control-plane build
	cargo bench --bench rotation -- --tokens $(N) $(if $(LIFE),--life $(LIFE))

bench-requests: cargo ## Measure tokens on request beside TanStack's realtimeToken() calling the provider itself
	@cargo build --quiet --workspace --bins && $(TARGET)/debug/control-plane build
	cargo bench --bench requests

models: cargo ## Explore the models of lifecycle, Lease and pool further than the unit tests do (minutes; DEPTH=2: hours)
	MODEL_DEPTH=$(DEPTH) cargo test --lib model:: -- --nocapture --test-threads 1

seeded-bugs: cargo ## Show that each bug in tests/seeded_bugs is caught by the test it names (BUGS="..." for some of them)
	@tests/seeded_bugs/run $(BUGS)

fuzz: cargo ## Fuzz the readers of what others wrote, SECONDS=60 each (TARGETS="..." for some of them); needs a C++ compiler
	@fuzz/run $(SECONDS) $(TARGETS)

mutants: cargo ## Let cargo-mutants change the pure core; MUTANTS="--file src/leader.rs" for a part, hours for all
	cargo mutants --jobs 1 $(MUTANTS)

bench-crd: cargo ## Measure what a write of a RealtimeToken costs the API server, beside kinds without rules
	@cargo build --quiet --workspace --bins && $(TARGET)/debug/control-plane build
	cargo bench --profile dev --bench crd

faults: modules binaries ## Run the operator through every fault that we know of: minutes, on a machine that does nothing else
	@$(TARGET)/debug/control-plane build
	cargo test -p realtime-token-operator --test faults

# With PROFILE=dev what `make test` has built is used again; the figures of memory and CPU are those of such a build then.
soak: modules cargo ## Run TOKENS=2000 and RATE=50 requests/s through fault after fault for MINUTES=10; FAULTS_SEED repeats a run
	@cargo build --quiet --workspace --bins && $(TARGET)/debug/control-plane build
	cargo bench -p realtime-token-operator -p testkit --profile $(PROFILE) --bench soak -- \
		--minutes $(MINUTES) --tokens $(TOKENS) --rate $(RATE) $(if $(LIFE),--life $(LIFE))

crds: binaries ## Write crds/*.yaml and schemas/ from the types, and the chart's copies
	@$(TARGET)/debug/realtime-token-operator crd | awk ' \
		/^---$$/ { if (doc) printf "%s", doc > file; doc = "" } \
		/^  name: .*\.realtime-token\.dev$$/ { split($$2, name, "."); file = "crds/" name[1] ".yaml" } \
		{ doc = doc $$0 "\n" } \
		END { printf "%s", doc > file }'
	@mkdir -p $(CHART)/files/crds && cp crds/*.yaml $(CHART)/files/crds/
	UPDATE=1 cargo test --quiet -p realtime-token-operator --test docs schemas::they_are

docs: cargo ## Write docs/api.md, docs/providers.md and the pages beneath it from the types; what is written by hand stays
	UPDATE=1 cargo test --quiet -p realtime-token-operator --test docs -- providers:: api::

matrix: modules binaries ## Print what is tested of each provider; fails on an empty cell
	@$(TARGET)/debug/control-plane build
	cargo test --quiet -p realtime-token-operator --test operator providers:: -- --nocapture

chart-docs: cargo ## Write the chart's README from the comments in its values.yaml
	UPDATE=1 cargo test --quiet -p realtime-token-operator --test chart readme::it_is

dist: cargo ## Write dist/install.yaml, the chart as plain manifests, with real helm
	UPDATE=1 cargo test --quiet -p realtime-token-operator --test chart dist::the_manifests_are

lint: cargo ## Check the format, and run clippy on everything
	cargo fmt --all --check
	cargo clippy --workspace --all-targets -- -D warnings
	cargo clippy -p realtime-token-operator --test faults -- -D warnings

deny: $(DENY) ## Check licences, banned crates and sources of the dependencies
	@$(DENY) --workspace check licenses bans sources

$(DENY): | cargo
	env -u CARGO_TARGET_DIR cargo install --quiet cargo-deny --version $(DENY_VERSION) --locked --root $(DENY_ROOT)

advisories: $(DENY) ## Check the dependencies for known vulnerabilities; reads a Git repository of github.com
	@$(DENY) --workspace check advisories

fmt: cargo ## Format the code
	cargo fmt --all

demo: STEP = [1/3]
test: STEP = [1/4]
# Always the whole workspace: a single package has fewer features enabled, and cargo would build most dependencies a
# second time.
binaries: cargo
	@tests/support/cargo-build "$(or $(STEP),[1/1])" build --workspace --bins

# Downloading the modules of the test control plane takes a minute: done in the background while cargo builds.
modules: cargo
	@if [ -z "$(CLUSTER)$(KUBEBUILDER_ASSETS)" ] && command -v go >/dev/null && \
		! ls "$${XDG_CACHE_HOME:-$$HOME/.cache}"/realtime-token-operator/control-plane-*/control-plane >/dev/null 2>&1; \
	then (cd tests/cluster && exec go mod download >/dev/null 2>&1) & fi

cargo:
	@command -v cargo >/dev/null || { echo "no cargo on the PATH: install Rust 1.89 or newer, see https://rustup.rs" >&2; exit 1; }
