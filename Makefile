# Every command of the project. `make help` lists them; a variable is given as in `make control-plane KUBERNETES_VERSION=1.36.3`.

KUBERNETES_VERSION ?= $(shell cat tests/control-plane/default-version)
export KUBERNETES_VERSION

# What `make run` applies.
SAMPLE ?= deploy/samples/lws-rollout-strategy.yaml

# What `make image` builds. `make deploy` runs the one that it is given: what the cluster can pull is not known here.
image: IMAGE ?= localhost/lws:main
VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null)
CONTAINER_TOOL ?= docker

# What `make fuzz` feeds, and for how long.
TARGET ?= review
SECONDS ?= 60

# From which seed on `make soak` runs, and how long.
SEED ?= $(shell date +%s)
HOURS ?= 1

# The packages whose programs `make run` needs.
PROGRAMS := lws-controller lws-webhook lws-harness lws-demo

# The program of `make run`, once it is built: `make stop` works with it even while the sources do not compile.
DEMO := $(or $(CARGO_TARGET_DIR),target)/debug/lws-demo

# Benchmarks run the programs as they are shipped: linked statically.
SHIPPED := $(CURDIR)/target/shipped
BENCH := LWS_PROGRAMS='$(SHIPPED)' $(or $(CARGO_TARGET_DIR),target)/release/lws-bench

.DEFAULT_GOAL := help

.PHONY: help
help: ## List the commands.
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / { printf "  %-16s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: run
run: sample-exists tools control-plane programs ## Start a cluster with the system in the background and show a rollout (SAMPLE: a file of your own).
	@cargo run --quiet --package lws-demo -- run '$(SAMPLE)'

.PHONY: stop
stop: ## End what `make run` has left running.
	@if [ ! -e .run ]; then echo "No cluster is running."; \
	elif [ -x $(DEMO) ]; then $(DEMO) stop; \
	else cargo run --quiet --package lws-demo -- stop; fi

.PHONY: test
test: lint control-plane helm generate-check ## Check everything and run all tests; the last line says how many passed and failed.
	@tests/all

.PHONY: test-oldest
test-oldest: tools helm ## Run end-to-end tests on the oldest Kubernetes that will do (built first: 6 to 8 minutes).
	@tests/control-plane/build "$$(cat tests/control-plane/oldest-version)"
	@deploy/programs dev target/static
	@cargo build --package lws-harness --bins
	@LWS_PROGRAMS=$(CURDIR)/target/static tests/oldest

.PHONY: soak
soak: tools control-plane ## Run random changes against random faults until a promise is broken (HOURS, 0 for one seed; SEED: the first one, another each time; WITHOUT: steps to leave out).
	@cargo build $(addprefix --package ,lws-controller lws-webhook lws-harness) --bins
	@CHAOS_SEED='$(SEED)' CHAOS_HOURS='$(HOURS)' CHAOS_WITHOUT='$(WITHOUT)' cargo test --package lws-e2e --test chaos -- promises --nocapture

.PHONY: bench-admission
bench-admission: bench-programs ## Measure the webhook under load; SCENARIO: some of worker, tpu, nine-containers, mutate-set, validate-set, refuse-set.
	@$(BENCH) admission $(SCENARIO)

.PHONY: profile-admission
profile-admission: profiling-programs ## Tell where the webhook's processor time goes under load (SCENARIO: one of them; needs perf).
	@tests/bench/profile admission $(SCENARIO)

.PHONY: profile-controller
profile-controller: profiling-programs control-plane ## Tell where the controller's processor time goes at work (SCENARIO: one of them; needs perf).
	@tests/bench/profile controller $(SCENARIO)

.PHONY: profiling-programs
profiling-programs: tools
	@command -v perf >/dev/null || { echo "Profiling needs perf, and there is none: it comes with the tools of the Linux kernel." >&2; exit 1; }
	@cargo build --profile profiling $(addprefix --package ,lws-controller lws-webhook lws-harness lws-bench) --bins

.PHONY: bench
bench: bench-programs control-plane ## Measure the controller at work and write it to docs/ (half an hour; SCENARIO: some of them, only printed, see docs/performance.md).
	@$(BENCH) controller $(or $(SCENARIO),--guide docs)

.PHONY: bench-scale
bench-scale: bench-programs control-plane ## Measure few groups and many, up to 10 000 pods, and write tables and pictures to docs/ (40 minutes; SIZE: some of them, only printed).
	@$(BENCH) scale $(or $(SIZE),--guide docs)

.PHONY: bench-planner
bench-planner: tools ## Measure the arithmetic of rollouts of up to 100 000 groups and write it to docs/ (a minute).
	@cargo build --release --package lws-bench --bins
	@$(BENCH) planner --guide docs

.PHONY: bench-startup
bench-startup: bench-programs control-plane ## Measure how the programs begin and what they use at rest, and write it to docs/ (5 minutes).
	@$(BENCH) startup --guide docs

.PHONY: endurance
endurance: bench-programs control-plane ## See whether a million reviews and 200 000 reconciles cost memory or files, and write it to docs/ (20 minutes).
	@$(BENCH) endurance --guide docs

.PHONY: bench-programs
bench-programs: tools
	@deploy/programs release '$(SHIPPED)'
	@cargo build --release $(addprefix --package ,lws-harness lws-bench) --bins

.PHONY: lint
lint: tools ## Check format, style and, where cargo-deny is installed, what dependencies are.
	@cargo fmt --all --check
	@cargo clippy --workspace --all-targets --features lws-fuzz/targets -- -D warnings
	@if command -v cargo-deny >/dev/null; then cargo deny check licenses bans sources; else echo "Dependencies are not checked: there is no cargo-deny (cargo install cargo-deny)."; fi

.PHONY: fuzz
fuzz: tools ## Fuzz one target for a while (TARGET: configuration, patch, pod, quantity, review or revision; SECONDS; needs cargo-fuzz, a nightly toolchain and a C++ compiler).
	@command -v cargo-fuzz >/dev/null || { echo "Fuzzing needs cargo-fuzz, and there is none: cargo install cargo-fuzz." >&2; exit 1; }
	@cargo +nightly --version >/dev/null 2>&1 || { echo "Fuzzing needs a nightly toolchain, and there is none: rustup toolchain install nightly." >&2; exit 1; }
	@[ -d tests/fuzz/seeds/$(TARGET) ] || { echo "There is no target $(TARGET): $$(ls tests/fuzz/seeds | paste -sd' ')." >&2; exit 1; }
	@mkdir -p tests/fuzz/corpus/$(TARGET)
	@CARGO_PROFILE_RELEASE_LTO=off CARGO_PROFILE_RELEASE_STRIP=none cargo +nightly fuzz run --fuzz-dir tests/fuzz --features link $(TARGET) tests/fuzz/corpus/$(TARGET) tests/fuzz/seeds/$(TARGET) -- -max_total_time=$(SECONDS)

.PHONY: generate
generate: tools control-plane ## Write the generated files: the definition and manifests.yaml in deploy/, the pages about its fields and about metrics, the table and vectors of Go's encoder.
	@cargo run --quiet --package lws-generate -- crd
	@cargo run --quiet --package lws-generate -- reference
	@cargo run --quiet --package lws-generate -- metrics
	@deploy/manifests
	@cd tests/go-vectors && go run .

.PHONY: generate-check
generate-check: tools control-plane ## Check that the generated files are up to date.
	@cargo run --quiet --package lws-generate -- crd --check
	@cargo run --quiet --package lws-generate -- reference --check
	@cargo run --quiet --package lws-generate -- metrics --check
	@deploy/manifests --check
	@cd tests/go-vectors && go run . -check

.PHONY: book
book: tools ## Write the guide, the pages of docs/, as a book to target/book/.
	@cargo run --quiet --package lws-book
	@echo "The guide is in target/book/index.html."

.PHONY: image
image: ## Build the image of both processes (IMAGE, CONTAINER_TOOL: docker or podman; pulls the Rust image).
	@command -v '$(CONTAINER_TOOL)' >/dev/null || { echo "A tool that builds images is needed, and there is no $(CONTAINER_TOOL): install docker or podman, or set CONTAINER_TOOL." >&2; exit 1; }
	@$(CONTAINER_TOOL) info >/dev/null 2>&1 || { echo "$(CONTAINER_TOOL) cannot work here: \`$(CONTAINER_TOOL) info\` says why. docker needs its daemon, podman does not." >&2; exit 1; }
	$(CONTAINER_TOOL) build --file deploy/Dockerfile --tag '$(IMAGE)' --build-arg LWS_VERSION='$(VERSION)' --build-arg LWS_COMMIT="$$(git rev-parse HEAD)" --build-arg LWS_BUILD_DATE="$$(date -u +%Y-%m-%dT%H:%M:%SZ)" .

.PHONY: sbom
sbom: tools ## Write the bills of materials of both programs to target/sbom/ (needs cargo-cyclonedx).
	@deploy/sbom target/sbom

.PHONY: plugin
plugin: tools ## Install the plugin of kubectl, for `kubectl lws`, and its completion (ROOT: into its bin/, else where cargo puts programs).
	@cargo install --path crates/kubectl-lws --locked $(if $(ROOT),--root '$(ROOT)')
	@install -m 755 crates/kubectl-lws/kubectl_complete-lws "$(or $(ROOT),$${CARGO_INSTALL_ROOT:-$${CARGO_HOME:-$$HOME/.cargo}})/bin/"

.PHONY: deploy
deploy: ## Install on the cluster of the current kubeconfig (IMAGE is needed; DRY_RUN=1 only tells what would change; FORCE=1 takes over).
	@IMAGE='$(IMAGE)' deploy/install apply

.PHONY: undeploy
undeploy: ## Remove the installation, but not what sets need to run on (DRY_RUN=1 only tells what would go; FORCE=1 removes all sets too).
	@deploy/install delete

.PHONY: control-plane
control-plane: ## Build the Kubernetes that tests and `make run` use (KUBERNETES_VERSION; needs Go, 6 to 8 minutes the first time).
	@tests/control-plane/build $(KUBERNETES_VERSION)

.PHONY: helm
helm: ## Build the helm that tests use (needs Go, 2 to 4 minutes the first time).
	@tests/helm/build

.PHONY: alerts-check
alerts-check: ## Check the alerts and play time series to them with promtool (needs Go, 3 to 5 minutes the first time).
	@tests/prometheus/check

.PHONY: pictures
pictures: tools control-plane programs ## Draw the dashboard in docs/images/ from a run of three minutes that Prometheus scrapes (needs Go).
	@tests/prometheus/build
	@cargo run --quiet --package lws-bench -- pictures --prometheus "$$(dirname "$$(ls -t tests/prometheus/.cache/*/prometheus | head -1)")"

.PHONY: programs
programs: tools
	@cargo build $(addprefix --package ,$(PROGRAMS)) --bins

.PHONY: tools
tools:
	@command -v cargo >/dev/null || { echo "Rust is needed, and there is no cargo command: install it with rustup (https://rustup.rs)." >&2; exit 1; }
	@command -v cc >/dev/null || { echo "A C compiler is needed, and there is no cc command: install gcc or clang." >&2; exit 1; }

.PHONY: sample-exists
sample-exists:
	@[ -r '$(SAMPLE)' ] || { echo "There is no file $(SAMPLE)." >&2; exit 1; }
