.DEFAULT_GOAL := help
LINT_VERSION := v2.15.0
LINTER := .tools/$(LINT_VERSION)/golangci-lint
FUZZTIME ?= 10s
.PHONY: help build package

help: ## show this list
	@awk -F ':.*## ' '/^[a-zA-Z0-9_-]+:.*## / { printf "  %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

build: ## compile everything
	go build ./...

.PHONY: test lint fuzz fmt
test: ## test everything with the race detector: units, Azurite, the simulator, and real processes end to end
	go test -race -timeout 15m ./...

.PHONY: interop
interop: ## run IoT Hub's SDKs for Node.js, Python and Java and the Go library against the simulator and the app, and the examples
	go test -count=1 -v -timeout 9m ./test/interop

lint: $(LINTER) ## check style, faults and the direction of imports
	$(LINTER) run ./...
	go mod tidy -diff

fmt: $(LINTER) ## format, and fix what the linter can fix
	$(LINTER) run --fix ./...

$(LINTER):
	GOBIN=$(CURDIR)/.tools/$(LINT_VERSION) go install github.com/golangci/golangci-lint/v2/cmd/golangci-lint@$(LINT_VERSION)

fuzz: ## fuzz every parser; FUZZTIME=10s each
	@for package in $$(grep -rl --include='*_test.go' '^func Fuzz' . | xargs -n1 dirname | sort -u); do \
	  for target in $$(grep -rhoE '^func Fuzz[A-Za-z0-9]+' $$package/*_test.go | cut -c6- | sort -u); do \
	    echo "$$package $$target"; \
	    go test -run '^$$' -fuzz "^$$target$$" -fuzztime $(FUZZTIME) -fuzzminimizetime 20x $$package || exit 1; \
	  done; \
	done

package: ## make dist/app for this machine and the zips for linux/amd64 and linux/arm64
	go run ./tools/package

.PHONY: demo dev
demo: ## show everything at work: the tutorial's jobs, then a reboot of 10,000 simulated devices
	go run ./cmd/fleetjobs demo

dev: ## run a whole deployment on this machine until Ctrl-C; flags in ARGS="--devices 10000"
	go run ./cmd/fleetjobs dev $(ARGS)

.PHONY: bench bench-small
bench: ## measure everything on this machine; tables, and dist/bench.json; flags in ARGS="-only instant"
	go run ./bench $(ARGS)

bench-small: ## the same with small fleets, once: shows that the benchmarks work
	go run ./bench -small $(ARGS)

.PHONY: infra-check
infra-check: ## check infra/ offline: it parses, fits together, names known types and roles, is secure by default
	go run ./tools/infracheck

.PHONY: connector
connector: ## make connector/ for Logic Apps from internal/api/openapi.yaml; another one in ARGS="-host <host> -out dist/connector"
	go run ./tools/connector $(ARGS)
