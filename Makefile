# Redstart's tasks. Plain `make` lists them.

GO       ?= go
BIN      := $(CURDIR)/.bin
LINTER   := $(BIN)/golangci-lint
LINTER_VERSION := v2.15.0

# Every module below the root (cmd, faults, bench, …). Go's tools pass over nested modules in silence, so each
# task that must reach them names them.
ROOT     := github.com/redstart-go/redstart
MODULES  := $(patsubst %/go.mod,%,$(wildcard */go.mod))
PACKAGES := ./... $(patsubst %,./%/...,$(MODULES))

# The tests' output goes through internal/testsum: failures whole, a count, and every skipped test by name.
# It is run with `go run`, so it is never older than the tree.
TESTSUM  := $(GO) run ./internal/testsum

FUZZTIME ?= 20s
TIMEOUT  ?= $(if $(LONG),120m,15m)

.DEFAULT_GOAL := help
.PHONY: help test race faults guarantees fuzz bench lint tidy tools

help: ## list the tasks
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-11s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

test: ## run the tests of every module; names what was skipped and why
	@$(TESTSUM) work

race: ## the race detector on the library (ALL=1: on every module)
	@$(TESTSUM) -race $(if $(ALL),work,./...)

faults: ## the fault matrix, seconds a row (LONG=1: the long one)
	@REDSTART_FAULTS=$(if $(LONG),long,short) $(TESTSUM) -p 1 -count=1 -timeout $(TIMEOUT) ./faults/...

guarantees: ## run the long fault matrix and write its figures into GUARANTEES.md
	@REDSTART_TEST_REQUIRE=1 REDSTART_GUARANTEES=$(CURDIR)/GUARANTEES.md $(MAKE) --no-print-directory faults LONG=1

fuzz: ## fuzz every target for FUZZTIME (20s)
	@grep -rnoE --include='*_test.go' '^func Fuzz[A-Za-z0-9_]*' . | \
	sed -E 's|^\./||; s|/?[^/]*_test\.go:[0-9]+:func | |' | sort -u | \
	while read -r dir target; do \
		if [ -z "$$target" ]; then target=$$dir; dir=.; fi; \
		echo "== ./$$dir $$target"; \
		$(GO) test -run '^$$' -fuzz "^$$target\$$" -fuzztime $(FUZZTIME) "./$$dir" || exit 1; \
	done

bench: ## measure Redstart beside its peers, interleaved (PAGE=GUARANTEES.md: write the rows about speed)
	@$(GO) run ./bench $(if $(PAGE),--guarantees $(PAGE))

lint: tools ## gofmt, go vet and golangci-lint on every module (FIX=1: mend what can be)
	@unformatted=$$(find . -name '*.go' -not -path './.*' -print0 | xargs -0 -r gofmt -l) && \
	if [ -n "$$unformatted" ]; then echo "gofmt would change:"; echo "$$unformatted"; exit 1; fi
	$(GO) vet work
	$(LINTER) run $(if $(FIX),--fix) $(PACKAGES)

# A nested module requires the root by a version that does not exist before the first release (go.work puts this
# tree in its place), so tidying one needs a replace line. None is kept: with one, a module could not be installed
# by version.
tidy: ## tidy every go.mod
	GOWORK=off $(GO) mod tidy
	@for module in $(MODULES); do \
		echo "tidy $$module"; \
		( cd $$module && \
		  trap '$(GO) mod edit -dropreplace=$(ROOT) $(foreach m,$(MODULES),-dropreplace=$(ROOT)/$(m))' EXIT && \
		  $(GO) mod edit -replace=$(ROOT)=../ $(foreach m,$(MODULES),-replace=$(ROOT)/$(m)=../$(m)) && \
		  GOWORK=off $(GO) mod tidy ) || exit 1; \
	done
	@$(GO) list -deps -test work >/dev/null

tools: ## build golangci-lint into .bin unless it is there
	@if ! $(LINTER) version 2>/dev/null | grep -q "version $(patsubst v%,%,$(LINTER_VERSION)) "; then \
		echo "building golangci-lint $(LINTER_VERSION) (a few minutes)"; \
		GOBIN=$(BIN) GOWORK=off $(GO) install github.com/golangci/golangci-lint/v2/cmd/golangci-lint@$(LINTER_VERSION); \
	fi
