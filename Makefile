.DEFAULT_GOAL := help
.PHONY: help build package

help: ## show this list
	@awk -F ':.*## ' '/^[a-zA-Z0-9_-]+:.*## / { printf "  %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

build: ## compile everything
	go build ./...

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

bench-small: ## the same with a small fleet, once: shows that the benchmarks work
	go run ./bench -small $(ARGS)
