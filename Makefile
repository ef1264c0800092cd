# dsrlab. `make` alone lists the targets.
#
# Users need Go and root (sudo is used where it must be). Only `generate`, `check-generate` and `lint` need clang.

SHELL     := bash
GO        ?= go
CLANG     ?= clang-19
STRIP     ?= llvm-strip-19
FORMAT    ?= clang-format-19
LINT      := github.com/golangci/golangci-lint/v2/cmd/golangci-lint@v2.15.0
GOVULNCHECK := golang.org/x/vuln/cmd/govulncheck@v1.1.4
ROOT      := $(filter 0,$(shell id -u))
SUDO      := $(if $(ROOT),,sudo)
TEST_EXEC := $(if $(ROOT),,-exec 'sudo -E')

export CGO_ENABLED = 0

.DEFAULT_GOAL := help

.PHONY: help
help: ## list the targets
	@[ "$$($(GO) env GOOS)" = linux ] || echo "dsrlab needs Linux. Here, make image builds it for a container (README.md, In a container)."
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 18

.PHONY: linux
linux:
	@[ "$$($(GO) env GOOS)" = linux ] || { echo "dsrlab runs on Linux, and this is $$($(GO) env GOOS): make image, then run it in a container (README.md, In a container)" >&2; exit 1; }

.PHONY: build
build: linux ## build the commands into bin/, one static binary each
	@mkdir -p bin
	$(GO) build -trimpath -buildvcs=auto -ldflags '-s -w' -o bin/ ./cmd/...

.PHONY: image
image: ## write the container image, FROM scratch, as an archive: bin/dsrlab-image.tar, for `docker load` and kind; on macOS and Windows, too
	@mkdir -p bin/linux
	GOOS=linux $(GO) build -trimpath -buildvcs=auto -ldflags '-s -w' -o bin/linux/ ./cmd/...
	env -u GOOS -u GOARCH $(GO) run ./dataplane/kube/image/mkimage -o bin/dsrlab-image.tar bin/linux

.PHONY: generate
generate: ## compile the BPF programs and write what is derived from the Go types (needs $(CLANG))
	BPF2GO_CC=$(CLANG) BPF2GO_STRIP=$(STRIP) BPF2GO_CFLAGS="-O2 -g -Wall -Werror -I/usr/include/$$(uname -m)-linux-gnu" $(GO) generate ./...

.PHONY: check-generate
check-generate: generate ## fail if what is committed is not what `generate` makes
	@changed=$$(git status --porcelain -- '*_bpfel.*' '*.schema.json' labs/STEPS.md 'labs/*/measured.svg'); \
	if [ -n "$$changed" ]; then echo "not what 'make generate' makes:"; echo "$$changed"; exit 1; fi

.PHONY: docs
docs: ## draw the pictures of the READMEs from the reference runs
	$(GO) generate ./labs/pictures

.PHONY: recording
recording: build ## record the terminal that the README shows, playing the reference runs of the demonstration's two labs
	$(GO) run ./labs/recording -svg labs/recording/demo.svg -columns 100 -rows 28 -title 'dsrlab demo LAB --present --play LAB' \
		-keys 'space space space space space q space space space space space space space space q' \
		sh -c 'for lab in 01-source-ip 02-throughput; do bin/dsrlab demo $$lab --present --runs labs/recording --play $$lab || exit; done'

.PHONY: lint
lint: ## check formatting, the direction of imports, and the usual mistakes
	@unformatted=$$(gofmt -l $$(git ls-files '*.go')); if [ -n "$$unformatted" ]; then echo "gofmt: $$unformatted"; exit 1; fi
	$(FORMAT) --dry-run -Werror $$(git ls-files '*.bpf.c' '*/bpf/*.h')
	cd .ci/kubernetes && $(GO) list -test -deps ./... >/dev/null # a module of its own: its go.sum must have what this one's packages need
	$(GO) vet ./... ./.ci/campaign/... ./.ci/kernels/... ./.ci/robustness/...
	$(GO) run $(LINT) run ./... ./.ci/campaign/... ./.ci/kernels/... ./.ci/robustness/...

.PHONY: format
format: ## format Go and C
	gofmt -w $$(git ls-files '*.go')
	$(FORMAT) -i $$(git ls-files '*.bpf.c' '*/bpf/*.h')

# What tests import says how they run. Those that make network namespaces or load BPF programs run two packages at a time, whatever the
# number of CPUs: they see none of each other's namespaces, and what they expect holds beside two busy loops. Those of cmd/dsrlab compare
# the whole host before and after, with its BPF programs: they run before, beside those that need no kernel. labs/support runs the doctor,
# which makes a namespace.
TESTED       := ./... ./.ci/campaign ./.ci/robustness
TEST_IMPORTS := $(GO) list -f '{{.ImportPath}} {{join .TestImports " "}} {{join .XTestImports " "}}' $(TESTED)
TESTS_KERNEL := ' (github.com/cilium/ebpf|github.com/vishvananda/|github.com/dsrlab/dsrlab/(topologies/netns|labs/labtest))|^[^ ]*/labs/support '
TESTS_HOST   := github.com/dsrlab/dsrlab/cmd/dsrlab

.PHONY: test
test: build ## run all tests: packages that make network namespaces two at a time, after all others
	@imports=$$($(TEST_IMPORTS)) || exit; failed=0; \
	kernel=$$(grep -E $(TESTS_KERNEL) <<<"$$imports" | cut -d' ' -f1 | grep -vxF $(TESTS_HOST)); \
	others=$$(cut -d' ' -f1 <<<"$$imports" | grep -vxF "$$kernel"); \
	run() { DSRLAB_TEST_PROGRAMS=$(CURDIR)/bin $(GO) test $(TEST_EXEC) $(TEST_FLAGS) -count=1 -timeout 20m "$$@" || failed=1; }; \
	[ -z "$$others" ] || run $$others; [ -z "$$kernel" ] || run -p 2 $$kernel; exit $$failed

AXE_VERSION := 4.14.1
AXE_SHA512  := 1477dafa598d8d065f273d6af302aa203c02e83131707b7fa648cd41bd3d6b734f8c22a0dab86ee6a6f64b8afbe804b214d36db85a2826965edfb3a0b9d546b5
# What checks pages in tests: axe-core, fetched and not committed (MPL-2.0).
export AXE_CORE ?= $(CURDIR)/bin/axe-core-$(AXE_VERSION)/axe.min.js

.PHONY: axe
axe: ## fetch axe-core (needs npm), with which tests check that the live page and the reports are accessible
	@[ ! -f "$(AXE_CORE)" ] || exit 0; set -e; folder=$$(mktemp -d); trap 'rm -rf "$$folder"' EXIT; mkdir -p "$(dir $(AXE_CORE))"; \
	npm pack --silent --pack-destination "$$folder" axe-core@$(AXE_VERSION) >/dev/null; archive="$$folder/axe-core-$(AXE_VERSION).tgz"; \
	echo "$(AXE_SHA512)  $$archive" | sha512sum --check --status || { echo "axe-core $(AXE_VERSION): what npm fetched is not what was expected" >&2; exit 1; }; \
	tar -xzf "$$archive" -C "$$folder"; mv "$$folder/package/axe.min.js" "$(AXE_CORE)"

.PHONY: bench
bench: ## what the BPF programs cost per packet, in net nanoseconds; BENCH_OUT=FILE writes JSON, too
	BENCH_OUT=$(abspath $(BENCH_OUT)) $(GO) test $(TEST_EXEC) -run '^$$' -bench 'BenchmarkPackets' -benchtime 1x -timeout 30m ./dataplane

.PHONY: bench-all
bench-all: ## run all benchmarks: packets, tables, throughput and connections without shaped links, bringing labs up
	$(GO) test $(TEST_EXEC) -p 1 -run '^$$' -bench . -benchtime 1x -timeout 60m ./...

.PHONY: lab-up
lab-up: build ## build the talk's topology with DSR, and leave it standing
	$(SUDO) bin/dsrlab up -f talk --mode dsr

.PHONY: lab-down
lab-down: build ## take down what lab-up built
	$(SUDO) bin/dsrlab down --name talk

.PHONY: ui
ui: build ## serve a live page for the testbed that runs (lab-up builds one): open the address that it prints
	$(SUDO) bin/dsrlab ui

.PHONY: demo-dsr
demo-dsr: build ## show what SNAT does to the client's address and to throughput, and what DSR changes
	$(SUDO) bin/dsrlab demo dsr

LABS ?= --all

.PHONY: labs
labs: build ## run all labs (or LABS="NAME ..."), and say in the end which did not pass, and what became of each claim
	$(SUDO) bin/dsrlab lab run $(LABS)

N       ?= 5
DISTURB ?= none busy-1 busy-all one-cpu
OUT     ?= results/reference/robustness.json

.PHONY: robustness
robustness: build ## run all labs (or LABS) N times under each of DISTURB, and say how much room each expectation has; JSON goes to OUT
	$(SUDO) "$$($(GO) tool -n robustness)" -n $(N) --disturb "$(DISTURB)" --out "$(OUT)" $(filter-out --all,$(LABS))

SEED     ?= 1
KILLS    ?= 500
SOAK     ?= 15m
CAMPAIGN = $(SUDO) env PATH="$$PATH" "$$($(GO) tool -n campaign)"
FIGURES  ?= results/reference

.PHONY: test-crash
test-crash: build ## send KILLS random signals to all commands (SEED), beside a testbed that serves; figures go to FIGURES
	$(CAMPAIGN) crash -seed $(SEED) -n $(KILLS) -out $(FIGURES)/reliability-crash.json

.PHONY: test-chaos
test-chaos: build ## let links, nodes, backends, agents and disks fail under traffic (SEED), and count the connections that are lost
	$(CAMPAIGN) chaos -seed $(SEED) -out $(FIGURES)/reliability-chaos.json

.PHONY: soak
soak: build ## traffic and changes of the cluster for SOAK, each answer checked
	$(CAMPAIGN) soak -seed $(SEED) -duration $(SOAK) -out $(FIGURES)/reliability-soak.json

.PHONY: test-fresh
test-fresh: build ## do what the README says first in a bare Debian with make and Go, and nothing else (needs debootstrap)
	$(CAMPAIGN) fresh -out $(FIGURES)/reliability-fresh.json

.PHONY: vulnerabilities
vulnerabilities: ## look for known vulnerabilities in what the programs call; says so, and goes on, if their database can't be reached
	@said=$$($(GO) run $(GOVULNCHECK) ./... 2>&1); code=$$?; echo "$$said"; \
	if [ $$code != 0 ] && grep -qE 'vuln\.go\.dev.*(dial|lookup|timeout|refused|unreachable|[45][0-9][0-9])|fetching vulnerabilities' <<<"$$said"; then \
		echo "VULNERABILITIES NOT CHECKED: the database at vuln.go.dev can't be reached"; exit 0; fi; exit $$code

.PHONY: clean
clean: ## remove what the build made
	rm -rf bin

KERNELS         ?= bookworm,trixie,newest
KERNEL_PACKAGES ?= ./dataplane
KERNEL_FLAGS    ?=

.PHONY: test-kernels
test-kernels: ## run the data path's tests and the demo on Debian's kernels, 6.1 to the newest, in QEMU (needs qemu-system-x86; KERNEL_FLAGS=--demo=only, or no)
	$(GO) vet ./.ci/kernels/...
	$(GO) test ./.ci/kernels/...
	$(GO) tool kernels --kernels $(KERNELS) $(KERNEL_FLAGS) $(KERNEL_PACKAGES)

.PHONY: test-image
test-image: build ## run the container image with a Docker engine (skipped, and said so, where there is none)
	$(GO) test -count=1 -v ./.ci/image

# Image of the nodes of a kind cluster; empty: kind's own.
KIND_IMAGE ?=

.PHONY: kind-image
kind-image: ## build an image of kind's nodes, KIND_IMAGE, where none can be pulled (needs a Docker engine, debootstrap, containerd)
	.ci/kind/image/build $(or $(KIND_IMAGE),dsrlab.dev/kind-node:latest)

.PHONY: test-kind
test-kind: build ## run the labs on a kind cluster (needs a Docker engine and a node image, KIND_IMAGE; else skipped, and said so)
	KIND_IMAGE=$(KIND_IMAGE) $(GO) test -count=1 -v -timeout 60m $(TEST_FLAGS) ./.ci/kind

.PHONY: test-apiserver
test-apiserver: ## run the node agent, and dsrlab assess, against etcd and a real API server (a module of its own: compiles for minutes, once)
	cd .ci/kubernetes && $(GO) vet ./apiserver && $(GO) test $(TEST_EXEC) -count=1 -timeout 20m $(TEST_FLAGS) ./apiserver

.PHONY: test-kubernetes
test-kubernetes: ## run labs, dsrd and assess on a real cluster whose nodes are namespaces (needs containerd and runc; no image is pulled)
	$(GO) mod download github.com/containernetworking/plugins # the tests have no network
	cd .ci/kubernetes && $(GO) vet ./... && $(GO) test $(TEST_EXEC) -count=1 -timeout 30m $(TEST_FLAGS) ./cluster

FUZZ_TIME ?= 60s

.PHONY: fuzz
fuzz: ## mutated frames through the BPF programs, hostile objects and files through the parsers, FUZZ_TIME each
	@set -eo pipefail; log=$$(mktemp); trap 'rm -f "$$log"' EXIT; \
	for package in $$(grep -rl --include='*_test.go' '^func Fuzz' . | xargs -n1 dirname | sort -u); do \
		for fuzzer in $$($(GO) test $(TEST_EXEC) -list '^Fuzz' $$package | grep '^Fuzz'); do \
			echo "$$package $$fuzzer"; \
			$(GO) test $(TEST_EXEC) -run '^$$' -fuzz "^$$fuzzer\$$" -fuzztime $(FUZZ_TIME) -fuzzminimizetime 10x -parallel 2 $$package 2>&1 | \
				tee "$$log" || $(FUZZ_TIME_OVER); \
		done; \
	done

# Up to Go 1.26 the end of FUZZ_TIME can be taken for a failure, of no input (golang/go#75804).
FUZZ_TIME_OVER = { ! grep -q 'Failing input' "$$log" && grep -A1 -e '^--- FAIL' "$$log" | grep -qx ' *context deadline exceeded' && \
	echo "no failing input: the time was over"; }

.PHONY: fuzz-long
fuzz-long: ## the same for half an hour each
	$(MAKE) fuzz FUZZ_TIME=30m
