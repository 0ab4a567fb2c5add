# `make quickstart` and `make test` do everything on a bare machine with Python 3.11 or newer.
PYTHON ?= python3
BIN = .venv/bin
export PATH := $(CURDIR)/$(BIN):$(PATH)

.PHONY: quickstart test bench coverage faults fuzz mutants slurm

quickstart: $(BIN)/.installed
	snakemake --profile profiles/local --configfile config/quickstart.yaml
	snakemake --profile profiles/local --configfile config/quickstart-universes.yaml

test: $(BIN)/.installed
	python -m pytest -n 2 --dist loadfile

bench: $(BIN)/.installed
	python -m lautum.studies.bench
	python -m lautum.studies.overhead
	python -m lautum.studies.bench_page

coverage: $(BIN)/.installed
	python -m lautum.studies.coverage

faults: $(BIN)/.installed
	python tests/faults.py

fuzz: $(BIN)/.installed
	python tests/fuzz.py

mutants: $(BIN)/.installed
	python tests/mutants.py

slurm: $(BIN)/.installed
	tests/slurm/lab.sh install
	python -m pytest -m slurm

$(BIN)/.installed: pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; assert sys.version_info >= (3, 11), "lautum needs Python >= 3.11, this is " + sys.version'
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	touch $@
