# `make demo` runs the main job on generated scans, `make test` every check; each sets up its own environment.
PYTHON ?= python3
VENV ?= .venv
BIN = $(VENV)/bin
STAMP = $(VENV)/.ready
INSTALL ?= $(BIN)/python -m pip install --quiet

.PHONY: demo test lint constraints clean

demo: $(STAMP)
	$(BIN)/livervol demo --out demo_out --overwrite

test: $(STAMP) lint
	$(BIN)/python -m pytest -n 2 --dist loadfile

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

$(STAMP): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(INSTALL) --constraint constraints.txt --editable ".[test]"
	touch $(STAMP)

# the exact versions, without addresses; torch is left out because each machine needs its own build
constraints:
	$(BIN)/python -m pip install --quiet uv
	$(BIN)/uv pip compile --quiet --universal --no-annotate --no-header --python-version 3.11 \
	    --extra napari --extra dicomnet --extra cluster --extra trial --extra pdf --extra viewer --extra docs --extra bench --extra test pyproject.toml -o constraints.txt

clean:
	rm -rf $(VENV) build dist demo_out
