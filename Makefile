# Everything a contributor or CI does with this repository; `make help` lists it. All of it runs on the Node.js that
# package.json pins and npm brings: nothing but make, git and npm has to be there before.

.DEFAULT_GOAL := help
SHELL := /bin/sh
export PATH := $(CURDIR)/node_modules/.bin:$(PATH)

MEMBERS ?= 3
# Where what is built for others goes.
DIST ?= dist
# The version of this release, as package.json has it: the images' tag, which the chart and spec.version name.
VERSION := $(shell sed -n 's/^  "version": "\(.*\)",/\1/p' package.json)
MEMBER_IMAGE ?= raftbase/member:$(VERSION)
OPERATOR_IMAGE ?= raftbase/operator:$(VERSION)
NODE := node_modules/.bin/node
# Newer than package-lock.json exactly when node_modules is what the lock file says.
INSTALLED := node_modules/.install-stamp
# The sources as Node.js compiled them. A member that has to erase the types itself starts slower and stays larger.
COMPILED := node_modules/.cache/raftbase/stamp
SOURCES := $(shell find lib member/src -name '*.ts' 2>/dev/null)

# Refused before anything is installed or started.
ifneq ($(filter run,$(MAKECMDGOALS)),)
ifeq ($(filter $(MEMBERS),1 3 5),)
$(error MEMBERS=$(MEMBERS) is not a number of members: use 1, 3 or 5)
endif
endif

.PHONY: help
help: ## list the targets
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / { printf "  make %-22s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

.PHONY: install
install: $(INSTALLED) $(COMPILED) ## install Node.js 24 and the dependencies (only when the lock file has changed)

$(INSTALLED): package-lock.json
	@command -v npm >/dev/null || { echo 'npm is missing: install any Node.js from version 20' >&2; exit 1; }
	@npm ci --loglevel=error --no-audit --no-fund >/dev/null
	@case "$$($(NODE) --version 2>&1)" in \
	  v24.*) ;; \
	  *) echo 'npm did not install Node.js 24: its install scripts must be allowed (npm config get ignore-scripts)' >&2; exit 1 ;; \
	esac
	@ln -sf ../../member/raftbase.js node_modules/.bin/raftbase
	@touch $@

# What is compiled under one set of flags is nothing to a process under another: once as a command, once as a member.
$(COMPILED): $(INSTALLED) $(SOURCES)
	@mkdir -p $(@D)
	@flags=$$($(NODE) --print "require('./member/src/cli/dev-members.ts').NODE_FLAGS.join(' ')") && \
	  for with in '' "$$flags"; do \
	    $(NODE) $$with --eval "const m = require('node:module'); m.enableCompileCache('$(@D)'); \
	      Promise.all(['main', 'server', 'cli/member', 'cli/dev', 'cli/status', 'cli/help'] \
	        .map((name) => import('./member/src/' + name + '.ts'))).then(() => m.flushCompileCache())" || exit 1; \
	  done
	@touch $@

.PHONY: run
run: $(INSTALLED) $(COMPILED) ## start a cluster on this machine; MEMBERS=1, 3 or 5
	@exec $(NODE) member/raftbase.js dev --members $(MEMBERS)

.PHONY: build
build: $(INSTALLED) ## compile to dist/
	@rm -rf dist
	@tsc -p tsconfig.build.json

.PHONY: test
test: $(INSTALLED) ## every test that needs no container engine and no cluster
	@vitest run

.PHONY: test-unit
test-unit: $(INSTALLED) ## the tests that start no process of their own
	@vitest run --exclude 'test/faults/**' --exclude 'test/**/*.process.test.ts'

.PHONY: test-faults
test-faults: $(INSTALLED) $(COMPILED) ## every fault scenario with real members, as long as it should last, and every crash point
	@summary=$$(mktemp); RAFTBASE_FAULTS=long RAFTBASE_FAULT_SUMMARY=$$summary vitest run --project processes --project timed-processes; \
	  status=$$?; sort -V $$summary; rm -f $$summary; exit $$status
	@RAFTBASE_FAULTS=long SIM_TEETH=wide vitest run --project modules test/operator/crash test/operator/interrupted \
	  test/sim/teeth

.PHONY: test-e2e
test-e2e: test-e2e-containers test-e2e-kind ## every end-to-end scenario

.PHONY: test-e2e-containers
test-e2e-containers: $(INSTALLED) ## the scenarios under Docker Compose; needs a container engine
	@vitest run --config vitest.e2e.config.ts

.PHONY: test-e2e-kind
test-e2e-kind: $(INSTALLED) ## the scenarios on Kubernetes: kind, or E2E_CLUSTER=current; E2E_SCENARIOS="NAME ..." for some
	@vitest run --config vitest.kind.config.ts $(E2E_SCENARIOS)

.PHONY: lint
lint: $(INSTALLED) ## look for mistakes and check the format
	@oxlint --type-aware
	@biome check

.PHONY: typecheck
typecheck: $(INSTALLED) ## check the types
	@tsc --noEmit

.PHONY: fmt
fmt: $(INSTALLED) ## format the sources
	@biome format --write

.PHONY: generate
generate: $(INSTALLED) ## write the generated files anew: codecs, alerts, OpenAPI document
	@$(NODE) member/proto/generate.ts
	@$(NODE) operator/generate-alerts.ts
	@UPDATE_GOLDEN=1 vitest run test/member/rest/openapi.test.ts

.PHONY: images
images: ## build both images; MEMBER_IMAGE and OPERATOR_IMAGE name them
	@docker build --quiet -t $(MEMBER_IMAGE) --build-arg VERSION=$(VERSION) -f member/Dockerfile . >/dev/null
	@docker build --quiet -t $(OPERATOR_IMAGE) --build-arg VERSION=$(VERSION) -f operator/Dockerfile . >/dev/null
	@echo 'built $(MEMBER_IMAGE) and $(OPERATOR_IMAGE)'

.PHONY: sbom
sbom: ## write dist/raftbase.cdx.json: what runs with ours, with checksums, as a CycloneDX bill of materials
	@command -v npm >/dev/null || { echo 'make $@: npm is missing' >&2; exit 1; }
	@mkdir -p $(DIST)
	@npm sbom --omit=dev --package-lock-only --sbom-format=cyclonedx --sbom-type=application >$(DIST)/sbom.tmp
	@mv $(DIST)/sbom.tmp $(DIST)/raftbase.cdx.json

.PHONY: bench
bench: $(INSTALLED) $(COMPILED) ## measure speed and memory
	@$(NODE) test/bench/run.ts

.PHONY: sim
sim: $(INSTALLED) ## simulate whole clusters under faults; SECONDS, HOURS, SEED, FAULTS, TRACE, FROM, WORKERS
	@SECONDS='$(SECONDS)' HOURS='$(HOURS)' SEED='$(SEED)' FAULTS='$(FAULTS)' TRACE='$(TRACE)' FROM='$(FROM)' \
	  WORKERS='$(WORKERS)' $(NODE) test/sim/main.ts

.PHONY: chart
chart: ## bring the chart's copy of the CRD up to date, check the charts, and package them to dist/
	@cp crds/raftclusters.yaml charts/raftbase-operator/files/raftclusters.yaml
	@command -v helm >/dev/null || { echo 'make $@: helm is missing' >&2; exit 1; }
	@helm lint --strict --quiet charts/raftbase-operator charts/raftbase-crds
	@mkdir -p $(DIST)
	@helm package --destination $(DIST) charts/raftbase-operator charts/raftbase-crds

.PHONY: install-manifest
install-manifest: ## write dist/install.yaml: what the chart installs by default, for kubectl apply --server-side
	@mkdir -p $(DIST)
	@helm template raftbase charts/raftbase-operator --namespace raftbase-system --skip-tests >$(DIST)/rendered.tmp
	@sed '/^ *helm.sh\/chart:/d; s/\(managed-by:\) Helm$$/\1 raftbase/' $(DIST)/rendered.tmp \
	  | cat charts/raftbase-operator/files/namespace.yaml - >$(DIST)/install.yaml
	@rm $(DIST)/rendered.tmp

.PHONY: clean
clean: ## remove what make builds; data and node_modules stay
	@rm -rf dist coverage node_modules/.cache
