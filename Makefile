# The system's Python makes .venv; everything else comes from there, pinned by hash in requirements.lock.
PYTHON ?= python3
BIN := .venv/bin
READY := .venv/.ready
ARGS ?=
# pytest compiles the tests, and Python the program, for each of the many processes anew where this is set.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.PHONY: help venv demo test e2e-node security unit check format docs crds lock bench engine-age image clean

help: ## This list
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / { printf "make %-8s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

venv: $(READY) ## Set up .venv alone: the command is then .venv/bin/workflow-operator

demo: $(READY) ## Bring everything up on this machine, run the examples, stay up until Ctrl-C
	@$(BIN)/python -m dev.demo $(ARGS)

test: $(READY) ## All tests: unit, integration, e2e (the first time compiles an API server: 6 to 12 minutes)
	@$(BIN)/python -m pytest $(ARGS)

e2e-node: $(READY) ## The chart and the image on a real node of its own: root on Linux, or docker and kind
	@$(BIN)/python -m pytest tests/node -v $(ARGS)

security: $(READY) ## What hostile tenants write, against a real stack with another tenant in it
	@$(BIN)/python -m pytest tests/security -v $(ARGS)

unit: $(READY) ## The unit tests alone, in seconds
	@$(BIN)/python -m pytest -m "not integration and not e2e" $(ARGS)

check: $(READY) ## Style, types, and which package may import which
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/hadolint Dockerfile

format: $(READY) ## Format the code and sort its imports
	$(BIN)/ruff check --fix --select I .
	$(BIN)/ruff format .

crds: $(READY) ## Generate the CRD and its reference in docs/ from resources/
	@$(BIN)/python -m workflow_operator.resources.generate

docs: crds ## Generate every generated page in docs/, and what is generated in the chart
	@$(BIN)/python -m dev.settings_doc
	@$(BIN)/python -m dev.metrics_doc
	@$(BIN)/python -m dev.nats_permissions
	@$(BIN)/python -m dev.dashboard
	@$(BIN)/python -m dev.chart

engine-age: $(READY) ## Fail when V8 is old and nobody has looked at that
	@$(BIN)/python -m dev.engine_age

bench: $(READY) ## Measure against the targets: a table, and a plot in benchmarks/results (about 8 minutes)
	@$(BIN)/python -m benchmarks.report $(ARGS)

image: $(READY) ## Build the container image into an archive (needs docker, or buildah and mmdebstrap)
	@$(BIN)/python -m dev.image $(ARGS)

LOCK := uv pip compile --quiet --universal --generate-hashes --no-emit-index-url --no-header --python-version 3.11

lock: ## Pin all dependencies in requirements.lock again, and the image's parts of it (needs uv)
	$(LOCK) --all-extras pyproject.toml -o requirements.lock $(ARGS)
	$(LOCK) --extra tracing -c requirements.lock pyproject.toml -o requirements-runtime.lock
	echo hatchling | $(LOCK) -c requirements.lock - -o requirements-build.lock

clean: ## Remove .venv and the tools' caches
	rm -rf .venv .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis

$(READY): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
		echo "Python 3.11 or newer is needed, and $(PYTHON) is: $$($(PYTHON) --version 2>&1)."; \
		echo "Name another one: make PYTHON=/path/to/python3.12"; exit 1; }
	@echo "installing the dependencies into .venv: about 2 minutes the first time"
	@$(PYTHON) -m venv .venv || { \
		echo "$(PYTHON) cannot make a virtual environment: install its venv module (Debian: python3-venv)."; exit 1; }
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@$(BIN)/python -m compileall -q operator
	@echo "done; try: $(BIN)/workflow-operator run examples/hello.yaml"
	@touch $@
