# Needs Python >= 3.11 and make; everything else goes into .venv.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
TRAIN := .venv-train
WORKERS ?= 2

.PHONY: demo paper test check check-training docs install

# the embedded analysis; its report is output/demo/report.html
demo: install
	$(BIN)/oddjets demo

# the paper's set-ups and figures from one simulated sample, 21 minutes: output/paper/index.html; an interrupted call goes on
paper: install
	$(BIN)/oddjets paper --workers $(WORKERS)

test: install
	$(BIN)/python -m pytest -n $(WORKERS) -m "not slow"

check: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(MAKE) docs
	$(BIN)/python -m pytest -m slow --mpl
	$(MAKE) check-training

# training and export of models: with torch and OmniLearned, in an environment of their own, so that nothing else needs them
check-training:
	if $(MAKE) $(TRAIN)/.installed; then $(TRAIN)/bin/python -m pytest -n $(WORKERS) tests/training; \
	else echo "tests/training were not run: torch and omnilearned cannot be installed here"; fi

# the documentation: output/site/index.html
docs: install
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --quiet --strict

install: $(VENV)/.installed

$(VENV)/.installed: pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet --editable ".[cpu,simulate,dev,docs]"
	touch $@

$(TRAIN)/.installed: pyproject.toml
	test -x $(TRAIN)/bin/python || $(PYTHON) -m venv $(TRAIN)
	$(TRAIN)/bin/python -m pip install --quiet --upgrade pip
	$(TRAIN)/bin/python -m pip install --quiet --editable ".[cpu,simulate,train,dev]" torch==2.13.0
	touch $@
