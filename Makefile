# The work is done by scripts/, which can also be run without make.

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

busy: ## tests of the packages that changed, alongside 8 busy loops
	@scripts/busy.sh

fuzz: ## each fuzz target for a minute
	@scripts/fuzz.sh 60

fmt: ## format the source
	gofmt -w .

lint: ## gofmt, go vet, staticcheck
	@scripts/lint.sh

cross: ## bin/tunnels-SYSTEM-MACHINE for every supported system
	@scripts/cross.sh

clean: ## remove the build output
	rm -rf bin

.PHONY: bench bench-quick benchcmp

# On Debian, this first installs the programs to compare with.
bench: ## compare SOCKS5 proxies, including ours; under 15 minutes
	@scripts/bench.sh -json bin/bench.jsonl -svg bin/bench.svg -md bin/bench.md

bench-quick: ## compare with the reference only; under 3 minutes
	@scripts/bench.sh -quick

benchcmp: ## compare the Go benchmarks of this tree with the last commit's, or with BASE=COMMIT
	@scripts/bench.sh cmp $(BASE)
