# What is done here is in scripts/, so that it can be run without make too.

.DEFAULT_GOAL := help
.PHONY: help build run test busy fuzz fmt lint cross clean

help: ## show this
	@echo "make TARGET, where TARGET is:"
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  \1|\2/p' $(MAKEFILE_LIST) | awk -F'|' '{ printf "%-15s%s\n", $$1, $$2 }'

build: ## bin/tunnels, static
	@scripts/build.sh

run: build ## client and server in one process on this machine, to try it out
	bin/tunnels -server -client -sla.log.path=-

test: ## all tests, after installing the programs they need
	@scripts/test.sh

busy: ## the tests of the packages that changed, beside 8 busy loops
	@scripts/busy.sh

fuzz: ## each fuzz target for a minute
	@scripts/fuzz.sh 60

fmt: ## format the source
	gofmt -w .

lint: ## gofmt, go vet, staticcheck
	@scripts/lint.sh

cross: ## bin/tunnels-SYSTEM-MACHINE for every system that is looked after
	@scripts/cross.sh

clean: ## remove what was built
	rm -rf bin

.PHONY: bench bench-quick benchcmp

# What is compared with is installed first, on a Debian.
bench: ## SOCKS5 proxies side by side, ours among them: under 15 minutes
	@scripts/bench.sh -json bin/bench.jsonl -svg bin/bench.svg -md bin/bench.md

bench-quick: ## the same with the reference alone: under 3 minutes
	@scripts/bench.sh -quick

benchcmp: ## Go benchmarks of this tree beside the last commit's; BASE=COMMIT: that one's
	@scripts/bench.sh cmp $(BASE)
