.PHONY: environment check

PYTHON ?= python3

environment:
	$(PYTHON) -m venv .venv
	.venv/bin/pip install --quiet $(if $(LOCKED),--constraint requirements-dev.lock) --editable '.[dev]'

check:
	ruff check .
	ruff format --check .
	mypy
	lint-imports
	pytest -q -m "not slow and not vllm" --numprocesses auto --dist loadfile tests/unit

lock:
	uv pip compile --quiet --universal --no-header --extra dev pyproject.toml --output-file requirements-dev.lock
