# Every command of the project. `make help` lists them; a variable is given as in `make control-plane KUBERNETES_VERSION=1.36.3`.

KUBERNETES_VERSION ?= $(shell cat tests/control-plane/default-version)
export KUBERNETES_VERSION

.DEFAULT_GOAL := help

.PHONY: help
help: ## List the commands.
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / { printf "  %-16s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: control-plane
control-plane: ## Build the Kubernetes that tests and `make run` use (KUBERNETES_VERSION; needs Go, 6 to 8 minutes the first time).
	@tests/control-plane/build $(KUBERNETES_VERSION)
