# Each target works alone on a fresh clone: it makes .venv, installs the pinned versions, and runs.

PYTHON ?= python3
BIN := .venv/bin
STAMP := .venv/.installed

.PHONY: install quickstart test clean

install: $(STAMP)

# torch is installed first, alone and at its pin, in the build that pip's index has for this machine. On Linux that may be the
# one with CUDA, which is some gigabytes; PIP_EXTRA_INDEX_URL with PyTorch's index of CPU builds avoids it.
$(STAMP): pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --upgrade pip
	$(BIN)/pip install --quiet --constraint constraints.txt torch==2.13.0
	$(BIN)/pip install --quiet --constraint constraints.txt --editable '.[quickstart]' --group test --group lint
	touch $(STAMP)

quickstart: $(STAMP)
	$(BIN)/gecko-hf run recipes/quickstart

test: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/pytest --numprocesses auto --dist loadfile

clean:
	rm -rf .venv
