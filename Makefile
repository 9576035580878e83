# make help lists the targets. hack/need.sh checks for programs that are not built here
# (nginx, wrk, haproxy, chromium) and installs them where that is possible.

VERSION   ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo unknown)
FUZZTIME  ?= 20s
PREFIX    ?= /usr/local
BINARY    := bin/migration-proxy
GO        ?= go
# On Debian nginx and haproxy are in a directory that only root's PATH has.
export PATH := $(PATH):/usr/sbin:/usr/local/sbin
# The module of the product, and the modules of test clusters and measurements.
MODULES   := ./... ./e2e/... ./bench/...
# In a clone of another user (CI containers) git fails, and so would go build. The version
# above is set without git information in the build.
export GOFLAGS := $(GOFLAGS) -buildvcs=false

.DEFAULT_GOAL := help
.PHONY: help build install demo demo-cluster e2e e2e-figures gitops e2e-kind test check lint golden image faults bench fuzz hostile controlplane release release-dry-run workflows clean need-go need-nginx need-haproxy need-chromium need-namespaces need-bench

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / {printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

build: need-go ## Build bin/migration-proxy
	@mkdir -p $(dir $(BINARY))
	CGO_ENABLED=0 $(GO) build -trimpath -ldflags '-X main.version=$(VERSION)' -o $(BINARY) ./cmd/migration-proxy

install: build ## Install the program in PREFIX (/usr/local), also as the kubectl plugin: kubectl migration
	install -D -m 755 $(BINARY) $(DESTDIR)$(PREFIX)/bin/migration-proxy
	ln -sf migration-proxy $(DESTDIR)$(PREFIX)/bin/kubectl-migration
	ln -sf migration-proxy $(DESTDIR)$(PREFIX)/bin/kubectl_complete-migration

demo: build need-nginx ## Watch a migration on this machine: two backends, nginx, a failure, the way back
	$(BINARY) demo

demo-recording: build need-nginx ## Record the demo for the README
	$(BINARY) demo --record docs/demo.svg

demo-cluster: need-go need-nginx need-namespaces ## Watch a migration in a cluster: real control plane, pods as processes, kubectl, Helm
	@echo "make demo-cluster: scan, opt in, a few percent, a drill, new dies, all of it, finish, uninstall; about 90 s"
	@echo "make demo-cluster: the first time the control plane is built too, about 19 minutes more"
	@$(MAKE) --no-print-directory controlplane
	@mkdir -p bin/e2e
	$(GO) build -o bin/e2e/demo ./e2e/demo
	@exec bin/e2e/demo # exec: the demo gets the signals of make

e2e: need-go need-nginx need-haproxy need-namespaces ## Run only the scenarios in a cluster (docs/e2e.md)
	@echo "make e2e: about 14 minutes; the first time the control plane is built too, about 19 minutes more"
	@$(MAKE) --no-print-directory controlplane
	$(GO) test -count=1 -v -timeout 40m ./e2e

e2e-figures: need-go need-nginx need-namespaces controlplane ## Measure how fast an edit and a ramp's position take effect in a cluster; an outage of a minute
	MIGRATION_PROXY_E2E_LONG=1 $(GO) test -count=1 -v -timeout 30m -run 'TakesEffectAtOnce|TestAPIServerGone' ./e2e

gitops: need-go controlplane ## Compare rewritten Ingresses with Argo CD's own diff, and as Flux does (7 minutes to compile the first time)
	cd hack/gitops && GOWORK=off $(GO) test -count=1 -v -timeout 10m .

e2e-kind: need-go ## Run the scenarios on a kind cluster; CONTROLLERS=yes: also behind ingress-nginx and Traefik (needs docker, kind, kubectl, helm, internet)
	CONTROLLERS=$(CONTROLLERS) deploy/kind.sh

test: need-go need-nginx need-haproxy need-chromium need-namespaces ## Run all tests and go vet, against the real nginx and control plane (22 minutes on 2 cores, 45 the first time)
	@echo "make test: against $$($(NGINX_VERSION)); about 22 minutes on 2 cores, about 45 the first time;"
	@echo "make test: what needs no control plane comes first"
	@GO=$(GO) hack/test.sh

check: need-go need-nginx controlplane lint ## Lint, import arrows, generated files fresh, the commands build for macOS
	$(GO) test ./internal/arrows
	GOOS=darwin GOARCH=arm64 CGO_ENABLED=0 $(GO) build -o /dev/null ./cmd/migration-proxy
	$(GO) test $$($(LIST_GOLDEN_PACKAGES) | grep -v -e '^./e2e/' -e '^./proxy/behavior$$')

# golangci-lint is a module of its own, so that its 200 dependencies are not ours.
LINTER := bin/golangci-lint
$(LINTER): hack/tools/go.mod hack/tools/go.sum
	@echo "make lint: building golangci-lint, about 3 minutes the first time on 2 cores ..."
	cd hack/tools && GOWORK=off $(GO) build -o ../../$(LINTER) github.com/golangci/golangci-lint/v2/cmd/golangci-lint

lint: need-go $(LINTER) ## What CONTRIBUTING.md promises of the code, by golangci-lint (.golangci.yml)
	$(LINTER) run $(MODULES)

golden: need-go need-nginx need-chromium controlplane ## Rewrite the golden files; then read git diff
	$(GO) test $$($(LIST_GOLDEN_PACKAGES)) -update

IMAGE ?= migration-proxy:$(VERSION)
image: ## Build the container image IMAGE (needs docker with BuildKit); BUILD_ARGS="GO_IMAGE=... NGINX_IMAGE=..."
	@hack/need-buildkit.sh docker
	DOCKER_BUILDKIT=1 docker build -f deploy/Dockerfile -t $(IMAGE) --build-arg VERSION=$(VERSION) $(addprefix --build-arg ,$(BUILD_ARGS)) .

faults: need-go need-nginx ## Break everything around the proxy for minutes and count what is lost (docs/reliability.md)
	@echo "make faults: about 12 minutes; the table goes to bin/faults.md"
	@mkdir -p bin
	MIGRATION_PROXY_FAULTS=long MIGRATION_PROXY_FAULTS_TABLE=$(CURDIR)/bin/faults.md \
	  $(GO) test -count=1 -v -timeout 60m -parallel 1 ./e2e/faults

bench: build need-nginx need-bench ## Measure our nginx config against hand-written nginx and HAProxy
	$(GO) test -run '^$$' -bench . -benchtime 300ms $$(grep -rl --include='*_test.go' '^func Benchmark' . | xargs -n 1 dirname | sort -u)
	$(GO) run ./bench

fuzz: need-go need-nginx ## Run each fuzz target for FUZZTIME (20s)
	@set -eu; for package in $$($(GO) list $(MODULES)); do \
	  listed=$$($(GO) test -list '^Fuzz' "$$package"); \
	  for target in $$(echo "$$listed" | grep '^Fuzz'); do \
	    echo "fuzz $$package $$target for $(FUZZTIME)"; \
	    $(GO) test -run '^$$' -fuzz "^$$target\$$" -fuzztime $(FUZZTIME) "$$package"; \
	  done; \
	done

HOSTILE ?= 100000
hostile: need-go need-nginx ## Try HOSTILE (100000) hostile configs with nginx, and as many forged Ingresses
	MIGRATION_PROXY_HOSTILE=$(HOSTILE) $(GO) test -count=1 -v -timeout 180m -run '^TestManyHostileConfigs$$' ./nginxgen
	MIGRATION_PROXY_FORGED=$(HOSTILE) $(GO) test -count=1 -v -timeout 180m -run '^TestManyForgedIngresses$$' ./webhook

controlplane: need-go ## Build etcd, Kubernetes, Helm, cert-manager and HAProxy Ingress for tests (19 minutes the first time)
	@GO=$(GO) hack/controlplane/build.sh

# A release: the version, and the time of the commit as the time of all files.
DIST            ?= dist
RELEASE         ?= v$(shell sed -n 's/^version: //p' deploy/chart/Chart.yaml)
export SOURCE_DATE_EPOCH ?= $(shell git log -1 --format=%ct 2>/dev/null || echo 0)
HELM            ?= $(if $(wildcard bin/controlplane/helm),$(CURDIR)/bin/controlplane/helm,helm)

release: need-go ## Make the files of release RELEASE (v1.2.3) in dist: programs, chart, install.yaml, SBOMs, Krew's manifest, checksums
	cd hack/release && GOWORK=off $(GO) run . -version "$(RELEASE)" -epoch $(SOURCE_DATE_EPOCH) -root ../.. -out "$(abspath $(DIST))" -helm "$(HELM)" $(RELEASE_FLAGS)

release-dry-run: need-go ## Make a release twice, from two folders, compare the bytes, try them with Krew and Helm; nothing is published
	@$(HELM) version >/dev/null 2>&1 || hack/controlplane/build.sh helm
	@GO=$(GO) HELM="$(HELM)" hack/release-dry-run.sh "$(RELEASE)"

workflows: need-go ## Check .github/workflows (actionlint)
	cd hack/release && GOWORK=off $(GO) tool actionlint -shellcheck= ../../.github/workflows/*.yaml

clean: ## Remove what was built
	rm -rf bin dist

need-go:
	@hack/need.sh go

need-nginx:
	@hack/need.sh nginx

need-namespaces:
	@hack/need.sh ip namespaces

need-haproxy:
	@hack/need.sh haproxy

need-chromium:
	@hack/need.sh chromium

need-bench:
	@hack/need.sh wrk haproxy

NGINX_VERSION = "$${MIGRATION_PROXY_NGINX:-nginx}" -v 2>&1 | sed 's/^nginx version: //'
# The packages whose tests compare with golden files, and so know -update. Those of e2e and
# proxy/behavior take minutes: make check leaves them to make test.
LIST_GOLDEN_PACKAGES = grep -rl --include='*_test.go' 'migration-proxy/internal/golden"' . | xargs -n1 dirname | sort -u
