# Two virtual environments: .venv is what a user gets (no torch), .venv-test is what a contributor needs.
# All paths are relative, so that a checkout in a folder with a space in its name works.

PYTHON ?= $(shell command -v python3.11 || command -v python3)
# On Linux, PyPI's torch brings CUDA along. For the smaller CPU build:
#   make test TORCH="torch==2.13.0 --index-url https://download.pytorch.org/whl/cpu"
TORCH ?= torch==2.13.0
# Processes that run tests side by side, each a file at a time.
WORKERS ?= 2
PIP := -m pip --disable-pip-version-check --quiet

SOURCES := pyproject.toml $(shell find src -type f -not -name "*.pyc")

.DEFAULT_GOAL := help
.PHONY: help demo quick test light check refresh pages tools clean

help: ## show this list
	@sed -n 's/^\([a-z]*\):.*## \(.*\)/  make \1\t\2/p' Makefile | expand -t 16

demo: .venv/ready ## upscale the photographs in examples/ into out/, in a fresh environment without torch
	.venv/bin/python scripts/demo.py examples out

test: .venv-test/ready ## install what the tests need and run the whole suite
	.venv-test/bin/python -m pytest --numprocesses $(WORKERS) --dist loadfile --no-loadscope-reorder

# A file for each thing that breaks most often, without training, other programs and processes of their own.
QUICK := pixels system/test_folders.py system/test_files.py system/test_threads.py batch/test_batch.py \
	batch/test_disk_space.py degrade/test_bicubic.py models/test_catalog.py pictures/test_picture.py \
	pictures/test_sniff.py pictures/test_tiff.py upscaling/test_api.py evaluation/test_scoring.py \
	evaluation/test_matching.py cli/test_cli_sizes.py cli/test_cli_adapt.py project/test_words.py

quick: .venv-test/ready ## run the tests to run while working, under 90 seconds on two idle cores
	.venv-test/bin/python -m pytest -q -m "not slow" $(addprefix tests/,$(QUICK))

light: .venv-light/ready ## run the tests that need no torch, on the built wheel, where there is no torch
	scripts/light .venv-light/bin/python $(WORKERS)

check: .venv-test/checks ## lint, format, types, layers, documentation
	scripts/check .venv-test/bin

refresh: .venv-test/ready ## measure and write again what hangs on the models: BENCH=DIR PHOTOGRAPHS=DIR
	scripts/refresh .venv-test/bin/python $(BENCH) $(PHOTOGRAPHS)

pages: .venv-test/ready ## write again only what is drawn from cards and results
	scripts/refresh .venv-test/bin/python --pages

tools: ## install the other programs that some tests need, on Debian as root
	scripts/tools

clean: ## remove the environments, build outputs and caches
	rm -rf .venv .venv-test .venv-light out site build dist .coverage .hypothesis
	rm -rf .mypy_cache .pytest_cache .ruff_cache .import_linter_cache

.venv/ready: $(SOURCES)
	$(PYTHON) -m venv .venv
	.venv/bin/python $(PIP) install --upgrade pip
	.venv/bin/python $(PIP) install .
	@touch $@

# Editable: a contributor changes the code and runs the tests again without an install between.
.venv-test/ready: pyproject.toml
	$(PYTHON) -m venv .venv-test
	.venv-test/bin/python $(PIP) install --upgrade pip
	.venv-test/bin/python $(PIP) install $(TORCH)
	.venv-test/bin/python $(PIP) install --editable \
		".[train,openvino,heic,detect,video,web,bulk,plots,tensorboard]" \
		--group test --group elsewhere
	@touch $@

.venv-test/checks: .venv-test/ready
	.venv-test/bin/python $(PIP) install --group lint --group docs
	@touch $@

# The wheel, not the checkout: a file that the package forgot to bring along is found missing here.
.venv-light/ready: $(SOURCES)
	rm -rf dist
	$(PYTHON) -m venv .venv-light
	.venv-light/bin/python $(PIP) install --upgrade pip
	.venv-light/bin/python $(PIP) wheel --no-deps --wheel-dir dist .
	.venv-light/bin/python $(PIP) install --force-reinstall --no-deps dist/*.whl
	.venv-light/bin/python $(PIP) install "$$(ls dist/*.whl)[web]" --group test
	@touch $@
