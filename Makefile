# Tidelock. `make help` lists the targets.

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory

GO ?= go
BIN := $(CURDIR)/bin
# Go erases what the password hash and the sealing of keys leave behind
# (docs/memory.md).
BUILD := GOEXPERIMENT=runtimesecret $(GO) build -trimpath
TOOL := $(GO) tool -modfile=tools/go.mod
# A number of runs: with a time, go test now and then reports its own deadline.
FUZZTIME ?= 100000x

.PHONY: help
help: ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: deps
deps: ## Install the Debian packages that demo and test need (as root; else say which)
	@scripts/deps.sh

.PHONY: build
build: ## Build bin/tidelock, bin/tidelock-p11 and bin/libtidelock.so
	@mkdir -p $(BIN)
	$(BUILD) -o $(BIN)/tidelock.new ./cmd/tidelock
	@mv -f $(BIN)/tidelock.new $(BIN)/tidelock
	$(BUILD) -o $(BIN)/tidelock-p11.new ./cmd/tidelock-p11
	@mv -f $(BIN)/tidelock-p11.new $(BIN)/tidelock-p11
	@$(MAKE) -C clib -s OUT=../build
	@install -m 755 build/libtidelock.so $(BIN)/libtidelock.so.new
	@mv -f $(BIN)/libtidelock.so.new $(BIN)/libtidelock.so
	@ln -sf libtidelock.so $(BIN)/libCryptoki2_64.so

.PHONY: static
static: ## Build bin/tidelock without cgo, linked statically
	@mkdir -p $(BIN)
	CGO_ENABLED=0 $(BUILD) -ldflags '-s -w' -o $(BIN)/tidelock.new ./cmd/tidelock
	@mv -f $(BIN)/tidelock.new $(BIN)/tidelock

.PHONY: deb
deb: build ## Build the Debian package in build/
	@packaging/debian/build.sh $(BIN) build

.PHONY: demo
demo: deps build ## Run the main job end to end with real programs, and say what happens
	@test/demo/demo.sh

.PHONY: check
check: ## Fast checks, before each commit: format, vet, generated files, short tests
	@test -z "$$(gofmt -l $$(git ls-files '*.go'))" || { echo 'not formatted:'; gofmt -l $$(git ls-files '*.go'); exit 1; }
	$(GO) vet ./...
	$(GO) test -short . ./internal/... ./cryptoki/... ./wire/... ./mech/... ./object/... ./seal/... ./keystore/... ./partition/... ./hsm/... ./home/... ./serve/... ./client/... ./compare/...

.PHONY: lint
lint: ## Format, vet and staticcheck
	@test -z "$$(gofmt -l $$(git ls-files '*.go'))" || { echo 'not formatted:'; gofmt -l $$(git ls-files '*.go'); exit 1; }
	$(GO) vet ./...
	$(TOOL) staticcheck ./...

# All that CI runs. Suites that start real programs come after the unit tests, since
# they share the two processors badly.
.PHONY: test
test: deps build lint ## All tests: lint, race, fuzz seeds, C library, behaviour, interop
	$(GO) test -race $$($(GO) list ./... | grep -v /test/)
	@$(MAKE) -s -C clib test
	$(GO) test -count=1 ./test/...

.PHONY: bench
bench: deps build ## Measure against SoftHSM in one run
	$(GO) run ./test/bench

.PHONY: timing
timing: ## See whether the time of a refusal tells its reason; on a machine that does nothing else
	$(GO) run ./test/timing

.PHONY: soak
soak: deps build ## Work for 30 minutes with 64 sessions; fails on an error or growing memory
	$(GO) run ./test/bench -soak 30m

.PHONY: crash
crash: ## Kill the server 10,000 times under load and 1,000 times while it destroys, flip 100,000 bits of its store
	TIDELOCK_CRASH_KILLS=10000 TIDELOCK_CRASH_FLIPS=100000 TIDELOCK_CRASH_QUICKSTARTS=500 TIDELOCK_CRASH_STARTS=500 TIDELOCK_CRASH_UPDATES=200 TIDELOCK_CRASH_DESTRUCTIONS=200 \
		$(GO) test -count=1 -timeout 3h -v ./test/crash

.PHONY: fuzz
fuzz: ## Run every fuzz target, of C with clang, 100,000 times each (FUZZTIME)
	@scripts/deps.sh --fuzz
	@for pkg in $$($(GO) list ./...); do \
		for target in $$($(GO) test -list '^Fuzz' $$pkg | grep '^Fuzz' || true); do \
			echo "== $$pkg $$target"; \
			$(GO) test -run '^$$' -fuzz "^$$target$$" -fuzztime $(FUZZTIME) $$pkg; \
		done; \
	done
	TIDELOCK_FUZZTIME=$(FUZZTIME) $(GO) test -count=1 -timeout 0 -run TestCFuzzTargets -v ./wire

.PHONY: man
man: build ## Write the manual pages into build/man
	@$(BIN)/tidelock man build/man

.PHONY: generate
generate: ## Generate constants, header and codecs from cryptoki/table
	$(GO) run ./internal/gen

.PHONY: clean
clean: ## Remove what was built
	rm -rf bin build
