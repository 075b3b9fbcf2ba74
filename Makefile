SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory

export PATH := $(CURDIR)/.deps/bin:$(CURDIR)/.deps/lint:$(PATH)
export CGO_ENABLED := 1
# For gorgonia.org/cu and internal/cuda. Not CGO_CFLAGS: setting that drops Go's own -O2.
export CGO_CPPFLAGS := -I$(CURDIR)/.deps/cuda/include
export CGO_LDFLAGS := -L$(shell scripts/cuda/stub.sh --where)

NAME ?= seresnet20-fashion-mnist# the config that `make run` takes
FUZZTIME ?= 30s
VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo development)

RUN := runs/$(NAME)
NATIVE = $(shell find internal -name '*.[ch]' -o -name '*.[ch]pp' -o -name '*.cu' -o -name '*.cuh')
SHELLS = .ci/run deploy/slurm/train.sbatch $(shell find bench deploy scripts -name '*.sh')

.PHONY: help
help: ## List the targets
	@sed -nE 's/^([a-z]+):.*## (.*)/\1\t\2/p' Makefile | while IFS=$$'\t' read -r target does; do \
		printf '  make %-7s %s\n' "$$target" "$$does"; done

.PHONY: deps
deps: ## Install what the other targets need: they call it themselves
	@scripts/deps.sh build lint data

# Nearly nothing where no kernel changed. stdout stays free for `make env`.
.PHONY: kernels
kernels: ## Compile the CUDA kernels that senet embeds: other targets do it themselves
	@scripts/deps.sh build >&2
	@go run ./internal/kernels/compile

# -r: the library is also found beside the binary, so bin and lib can move together.
.PHONY: build
build: kernels ## Build bin/senet, and put the library that it needs into lib
	install -C -D -m 755 .deps/onednn/lib/libdnnl.so.3 lib/libdnnl.so.3
	go build -trimpath -buildvcs=false -ldflags '-r $$ORIGIN/../lib -X senet/internal/cli.Version=$(VERSION)' -o bin/senet ./cmd/senet

.PHONY: env
env: kernels ## Print the exports that `go` needs outside make: eval what `make -s env` prints
	@printf "export %s='%s'\n" CGO_ENABLED 1 CGO_CPPFLAGS '$(CGO_CPPFLAGS)' CGO_LDFLAGS '$(CGO_LDFLAGS)'

.PHONY: run
run: build ## Train SE-ResNet-20 on Fashion-MNIST, evaluate it and write a report; NAME=... takes another config
	@scripts/deps.sh data
	@if [ -e $(RUN) ]; then \
		before=$(RUN).until-$$(date +%Y%m%d-%H%M%S); mv -T $(RUN) "$$before"; echo "the run before is now in $$before"; fi
	bin/senet train --config configs/$(NAME).yaml
	bin/senet eval --config configs/$(NAME).yaml --checkpoint $(RUN)/best --report $(RUN)/report.html
	@echo "report: $(CURDIR)/$(RUN)/report.html"

.PHONY: test
test: lint ## Check and test everything, as CI does
	@scripts/deps.sh onnx mpi sass data
	go test ./...
	@$(MAKE) race

# Packages whose goroutines share memory; the others have none, and the oracle's loops would take minutes.
.PHONY: race
race: kernels ## Run the tests of concurrent packages with the race detector
	@scripts/deps.sh mpi data
	go test -race -short -timeout 20m ./internal/{cli,cpu,cuda,data,dist,train}/...

.PHONY: fuzz
fuzz: kernels ## Run each fuzz target for FUZZTIME (30s)
	@scripts/fuzz.sh $(FUZZTIME)

# errcheck: outside tests, a line drops its error only with //nolint:errcheck and a reason.
.PHONY: lint
lint: kernels ## Check formats, modules and licences, and analyse the code
	@scripts/deps.sh lint
	go mod verify
	go mod tidy -diff
	scripts/notice.sh
	! gofumpt -l cmd internal | grep .
	@echo clang-format --dry-run -Werror
	@clang-format --dry-run -Werror $(NATIVE)
	shellcheck $(SHELLS)
	go vet ./...
	staticcheck ./...
	! errcheck -ignoretests -exclude scripts/errcheck.txt ./... 2>&1 | grep -v '//nolint:errcheck // .'

.PHONY: fmt
fmt: ## Format the code
	@scripts/deps.sh build lint
	gofumpt -w cmd internal
	@clang-format -i $(NATIVE)

.PHONY: docker
docker: ## Build the image senet, for CPU and GPU, and senet:slim without cuDNN
	docker build --build-arg VERSION=$(VERSION) --tag senet:$(VERSION) --tag senet:latest .
	docker build --build-arg VERSION=$(VERSION) --target slim --tag senet:slim .

.PHONY: clean
clean: ## Remove what was built; runs and .deps stay
	rm -rf bin lib internal/kernels/kernels.zip
