# Two commands do everything on a fresh machine with Python 3.11, git and make:
#   make e2e     from nothing to a verdict on a real cluster
#   make test    lint, types, unit and contract tests; no cluster
#   make contract    the contract tests that few changes concern
#   make mutations   the verdict against everything that may be wrong, on a kept cluster
#   make e2e-lookalike   the same tests as on EKS, against a look-alike of it on this machine
#   make harness     a verb of the command
# FLAGS are handed on: make e2e FLAGS="--keep always", make harness FLAGS="doctor"

PYTHON ?= python3.11
VENV := .tox/bootstrap
TOX := $(VENV)/bin/tox
REGISTRY := .tox/registry/usr/bin/docker-registry

.PHONY: help e2e e2e-lookalike test contract mutations harness locks clean
help: ## show this
	@grep -hE '^[a-z0-9-]+:.*## ' $(MAKEFILE_LIST) | sed 's/:.*## /\t/'

e2e: $(TOX) ## the main job: a real cluster, from nothing to a verdict
	$(TOX) run -e e2e -- $(FLAGS)

mutations: $(TOX) ## the verdict against everything that may be wrong, on a kept cluster
	$(TOX) run -e mutations -- $(FLAGS)

e2e-lookalike: $(TOX) ## the same tests as on EKS, against a look-alike of it on this machine
	$(TOX) run -e e2e-lookalike -- $(FLAGS)

harness: $(TOX) ## a verb of the command: make harness FLAGS="doctor"
	$(TOX) run -e harness -- $(FLAGS)

test: $(TOX) $(REGISTRY) ## lint, types, unit and contract tests
	$(TOX) run-parallel --parallel 2 --parallel-live

contract: $(TOX) $(REGISTRY) ## the contract tests that few changes concern: odd repositories, registries, EKS
	$(TOX) run -e contract-more,contract-eks

# Debian's registry, for the contract tests of the registry supply: unpacked here, since installing it would start a
# server. Where it cannot be had, those tests say that they skip.
$(REGISTRY):
	@mkdir -p .tox/registry && cd .tox/registry && \
	  { apt-get download -q -o APT::Sandbox::User=root docker-registry || { apt-get update -q && apt-get download -q -o APT::Sandbox::User=root docker-registry; }; } && \
	  dpkg-deb --extract docker-registry_*.deb . || echo "no docker-registry from apt: its contract tests will skip"

# Debian ships Python without ensurepip's wheels unless python3-venv is installed.
$(TOX): requirements/bootstrap.txt
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { \
	  echo "installing python3-venv"; apt-get update -q && apt-get install -y -q --no-install-recommends python3-venv; }
	$(PYTHON) -m venv --clear $(VENV)
	$(VENV)/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes --requirement requirements/bootstrap.txt

locks: $(TOX) ## compile every lock file anew
	scripts/compile-locks $(VENV)/bin/uv

clean: ## remove what the build tools left in this checkout
	rm -rf .tox .harness .mypy_cache .ruff_cache .pytest_cache .hypothesis
