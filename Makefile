# The commands of the book. `make` alone lists them. They need Python 3.11 or newer, and make.
FOUND := $(shell for name in python3.11 python3.12 python3.13 python3 python; do command -v $$name && break; done)
PYTHON ?= $(or $(FOUND),python3.11)
VENV ?= .venv
PORT ?= 8000
GRADES ?= grades
BIN := $(VENV)/bin
SITE := _build/html

.DEFAULT_GOAL := help
.PHONY: help book pdf serve lab notebooks coursework grade mark test check bench clean small-models sweep bias cognition frontiers

help: ## list the commands
	@sed -n 's/^\([a-z-]*\):.*## /make \1 — /p' $(MAKEFILE_LIST)

$(VENV)/.ready: requirements.txt constraints.txt pyproject.toml package.json package-lock.json
	@command -v $(PYTHON) >/dev/null || { \
	  echo "Python is missing. Install Python 3.11, or name one: make PYTHON=/path/to/python3 book"; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo "$(PYTHON) is $$($(PYTHON) --version 2>&1); the book needs 3.11 or newer." \
	       "Install it, or name one: make PYTHON=/path/to/python3.11 book"; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { \
	  echo "$(PYTHON) has no venv module. On Debian and Ubuntu: apt install python3-venv"; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --disable-pip-version-check --quiet --requirement requirements.txt
	PATH="$(abspath $(BIN)):$$PATH" npm ci --ignore-scripts --no-audit --no-fund --loglevel=error
	@touch $@

book: $(VENV)/.ready ## make the environment, run the chapters, build the site
	$(BIN)/jupyter-book build . -W -n --keep-going
	@echo
	@echo "The book: file://$(CURDIR)/$(SITE)/index.html"
	@echo "Served:   make serve"

pdf: book ## build, then write the whole book as one PDF into the site (needs Chromium)
	$(BIN)/python extensions/book_pdf.py

serve: book ## build, then serve the site on this machine
	@echo "The book: http://localhost:$(PORT)/   (stop with Ctrl-C)"
	@$(BIN)/python -m http.server $(PORT) --bind localhost --directory $(SITE)

lab: $(VENV)/.ready ## open the chapters as notebooks in JupyterLab
	@mkdir -p $(VENV)/etc/jupyter/labconfig
	@$(BIN)/jupytext-config --settings-file $(VENV)/etc/jupyter/labconfig/default_setting_overrides.json \
	  set-default-viewer markdown >/dev/null
	$(BIN)/jupyter lab chapters

notebooks: $(VENV)/.ready ## write every chapter as a plain notebook into _build/notebooks
	@mkdir -p _build/notebooks
	@for chapter in $$(grep -l '^kernelspec:' chapters/*.md); do \
	  $(BIN)/jupytext --quiet --to ipynb --output _build/notebooks/$$(basename $$chapter .md).ipynb $$chapter \
	    || exit 1; done
	@echo "The notebooks: $(CURDIR)/_build/notebooks"

coursework: $(VENV)/.ready ## write the problem sets: for students, for instructors, for the grader
	$(BIN)/python coursework/release.py $(if $(VARIANT),--variant "$(VARIANT)")

grade: $(VENV)/.ready ## grade a folder of notebooks in sandboxes: make grade SUBMISSIONS=folder
	@test -n "$(SUBMISSIONS)" || { echo "Name the folder: make grade SUBMISSIONS=folder [ROSTER=students.csv]"; exit 1; }
	$(BIN)/python coursework/grade.py "$(SUBMISSIONS)" --grades "$(GRADES)" $(if $(ROSTER),--roster "$(ROSTER)")

mark: $(VENV)/.ready ## open the grades in JupyterLab, to mark answers in words: make mark [GRADES=folder]
	@test -f "$(GRADES)/gradebook.db" || { echo "No grades in $(GRADES): make grade SUBMISSIONS=folder first."; exit 1; }
	cd "$(GRADES)" && PATH="$(abspath $(BIN)):$$PATH" jupyter lab

test: book ## build, then run every test, one process a core
	OMP_NUM_THREADS=$${OMP_NUM_THREADS:-1} $(BIN)/python -m pytest --numprocesses auto --dist loadfile

check: $(VENV)/.ready ## lint, format, types and spelling
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/codespell chapters coursework src extensions deploy tests benchmarks README.md CONTRIBUTING.md

bench: $(VENV)/.ready ## speed and memory, each beside a peer in the same run
	OMP_NUM_THREADS=$${OMP_NUM_THREADS:-1} $(BIN)/python benchmarks/attention.py
	OMP_NUM_THREADS=$${OMP_NUM_THREADS:-1} $(BIN)/python benchmarks/coursework.py
	OMP_NUM_THREADS=$${OMP_NUM_THREADS:-1} $(BIN)/python benchmarks/experts.py
	OMP_NUM_THREADS=$${OMP_NUM_THREADS:-1} $(BIN)/python benchmarks/merging.py
	OMP_NUM_THREADS=$${OMP_NUM_THREADS:-1} $(BIN)/python benchmarks/model.py
	OMP_NUM_THREADS=$${OMP_NUM_THREADS:-1} $(BIN)/python benchmarks/parallelism.py
	OMP_NUM_THREADS=$${OMP_NUM_THREADS:-1} $(BIN)/python benchmarks/scaling.py
	@test -d $(SITE) || { echo "make book first: the site is measured too"; exit 1; }
	OMP_NUM_THREADS=$${OMP_NUM_THREADS:-1} $(BIN)/python benchmarks/site.py
	OMP_NUM_THREADS=$${OMP_NUM_THREADS:-1} $(BIN)/python benchmarks/sparsity.py
	OMP_NUM_THREADS=$${OMP_NUM_THREADS:-1} $(BIN)/python benchmarks/sweeps.py
	OMP_NUM_THREADS=$${OMP_NUM_THREADS:-1} $(BIN)/python benchmarks/training.py

small-models: $(VENV)/.ready ## train again the models whose heads the chapter on attention shows
	$(BIN)/python -m scaling_transformers.training.small_models

sweep: $(VENV)/.ready ## train what is missing of the runs that the chapters on power laws and sparsity fit
	$(BIN)/python -m scaling_transformers.training.runs

bias: $(VENV)/.ready ## train again the models that the chapter on ethics measures for bias
	OMP_NUM_THREADS=1 $(BIN)/python -m scaling_transformers.society.bias_runs

cognition: $(VENV)/.ready ## train again the readers that the chapter on cognition opens, and let them write
	OMP_NUM_THREADS=1 $(BIN)/python -m scaling_transformers.cognition.model_runs
	OMP_NUM_THREADS=1 $(BIN)/python -m scaling_transformers.cognition.novelty_runs

frontiers: $(VENV)/.ready ## train again the models that the chapter on frontiers measures
	OMP_NUM_THREADS=1 $(BIN)/python -m scaling_transformers.frontiers.spiking_runs
	OMP_NUM_THREADS=1 $(BIN)/python -m scaling_transformers.frontiers.cheap_runs
	OMP_NUM_THREADS=1 $(BIN)/python -m scaling_transformers.frontiers.fields_runs

clean: ## remove the site, the caches and the environment
	rm -rf _build $(VENV) node_modules .pytest_cache .mypy_cache .ruff_cache .hypothesis
