# tlskeep: build, try and test. `make help` lists the targets.
SHELL := /bin/bash
.DEFAULT_GOAL := build
BUILD := build
SIM_DIR ?= /tmp/tlskeep-aws
JOBS ?= $(shell nproc)

.PHONY: help deps build native sim-image enclave sim demo demo-stop test lint unit clean

help: ## List the targets
	@awk -F':.*## ' '/^[a-z-]+:.*## /{printf "  %-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

deps: ## Install what is missing, by package name (Debian 12, as root)
	@scripts/install-deps.sh

.PHONY: test-deps
test-deps:
	@scripts/install-deps.sh test

build: deps native dist sim-image ## Build everything

# Stale output of deleted sources must not be found by tests or bundles.
.PHONY: dist
dist: deps
	@rm -rf dist
	@node_modules/.bin/tsc -p . && chmod +x dist/parent/cli.js

.PHONY: native-configure native-tests
native-configure: deps
	@cmake -S native -B $(BUILD)/native -G Ninja -DCMAKE_BUILD_TYPE=RelWithDebInfo -DBUILD_TESTING=OFF >/dev/null

native: native-configure ## Build the PKCS #11 module and the Node addon
	@cmake --build $(BUILD)/native -j $(JOBS) --target tlskeep-pkcs11 tlskeep_addon

native-tests: test-deps native
	@cmake -S native -B $(BUILD)/native -DBUILD_TESTING=ON >/dev/null
	@cmake --build $(BUILD)/native -j $(JOBS)

sim-image: dist native ## Bundle the simulator's enclave image
	@node scripts/bundle-image.mjs simulator

enclave: dist native ## Bundle the production enclave programs that Dockerfile.enclave packs
	@node scripts/bundle-image.mjs enclave
	@node scripts/bundle-image.mjs enclave-general

CONTAINER_TAG ?= tlskeep-enclave:latest
EIF ?= $(BUILD)/tlskeep.eif
export NODE_IMAGE IMAGE CONTAINER_TOOL CONTAINER_FLAGS

.PHONY: image eif test-vm test-container test-reproducible
image: ## Build the enclave's container image by docker or buildah; NODE_IMAGE=NAME@sha256:… is its base
	@scripts/build-container.sh $(CONTAINER_TAG)

eif: dist image ## Pack it into EIF by nitro-cli, signed with PRIVATE_KEY and SIGNING_CERTIFICATE
	@mkdir -p $(dir $(EIF))
	@scripts/build-eif.sh $(CONTAINER_TAG) $(EIF) $(PRIVATE_KEY) $(SIGNING_CERTIFICATE)

.PHONY: boot-time
boot-time: sim-image ## Measure how long the enclave's program takes from its start to serving
	@node scripts/boot-time.mjs

test-container: build ## Build the container image by buildah on a base of debootstrap's, look into it, and test what is in it by its Node.js
	@scripts/container/run-tests.sh && scripts/container/node-tests.sh

test-reproducible: build ## Build the enclave's root file system twice from clean sources, and compare
	@scripts/reproducible-tests.sh

test-vm: build ## Boot the enclave image in a virtual machine and serve a page from it
	@scripts/vm/run-tests.sh

sim: build ## Bring the local AWS up below SIM_DIR (/tmp/tlskeep-aws) until interrupted
	@node dist/sim/main.js up --dir $(SIM_DIR)

demo: build ## Serve a page with a key that only the (simulated) enclave holds; KEEP=1 leaves it up
	@node dist/sim/demo.js

demo-stop: ## Stop a demo that KEEP=1 left up
	@node dist/sim/demo.js --stop

test: test-deps build native-tests ## Run all checks and tests
	@node scripts/run-tests.mjs

.PHONY: test-long sanitize fuzz
test-long: sim-image native-tests ## Run the endurance tests with their full counts: native ones, tokens' lives under load
	@TLSKEEP_TEST_LONG=1 ctest --test-dir $(BUILD)/native -R LoadTest --output-on-failure --no-tests=error
	@TLSKEEP_TEST_LONG=1 node_modules/.bin/vitest run test/e2e/life

# full, or quick, which takes a minute and a half.
BENCH ?= full

.PHONY: bench bench-deps bench-tools soak
bench-deps:
	@scripts/install-deps.sh bench

bench-tools: bench-deps sim-image
	@cmake --build $(BUILD)/native -j $(JOBS) --target tlskeep-sign-load

bench: bench-tools ## Compare speeds side by side; BENCH=quick for less of it
	@node dist/bench/main.js $(BENCH) $(BENCH_ARGS)

soak: bench-tools ## Serve under load with a renewal a minute for SOAK_MINUTES (30)
	@node dist/bench/soak-main.js $(or $(SOAK_MINUTES),30)

sanitize: deps ## Run the native tests under ASan and UBSan, TSan, and valgrind
	@JOBS=$(JOBS) scripts/sanitize-native.sh

fuzz: deps ## Fuzz the decoders of both sides for FUZZ_SECONDS (60) each
	@JOBS=$(JOBS) FUZZ_SECONDS=$(or $(FUZZ_SECONDS),60) scripts/fuzz-native.sh
	@FUZZ_SECONDS=$(or $(FUZZ_SECONDS),60) node scripts/fuzz-frames.mjs

lint: deps ## Check types, style and import rules
	@node_modules/.bin/tsc -p . --noEmit
	@node_modules/.bin/biome ci .

unit: build ## Run the TypeScript tests but the end-to-end ones
	@node_modules/.bin/vitest run --exclude 'test/e2e/**'

clean: ## Remove everything built
	rm -rf $(BUILD) dist
