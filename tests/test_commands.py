"""What `make` promises to someone with a fresh clone. Nothing here installs anything."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest

ROOT = Path(__file__).parents[1]
REQUIREMENTS = ("requirements.txt", "constraints.txt", "pyproject.toml", "package.json", "package-lock.json")
OLD = 'case "$*" in *--version*) echo Python 3.9.2;; *version_info*) exit 1;; esac'
WITHOUT_VENV = 'case "$*" in *--version*) echo Python 3.12.1;; *venv*) exit 1;; esac'


@pytest.fixture
def clone(tmp_path):
    """A copy of what the commands read."""
    folder = tmp_path / "a clone"
    shutil.copytree(ROOT / "chapters", folder / "chapters")
    for name in ("Makefile", *REQUIREMENTS):
        shutil.copy(ROOT / name, folder)
    return folder


def make(folder, *arguments):
    done = subprocess.run(
        ["make", *arguments],
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=120,
    )
    return done.returncode, done.stdout


def test_make_alone_lists_every_command_with_a_word_on_it(clone):
    status, said = make(clone)
    phony = re.search(r"^\.PHONY: (.*)", (clone / "Makefile").read_text(), re.MULTILINE)[1].split()
    assert status == 0
    assert sorted(re.findall(r"^make ([a-z-]+) — \S", said, re.MULTILINE)) == sorted(phony)


def test_without_python_the_message_says_what_to_do(clone, tmp_path):
    status, said = make(clone, "book", "PYTHON=/no/such/python", f"VENV={tmp_path / 'venv'}")
    assert status != 0
    assert "Python is missing. Install Python 3.11, or name one: make PYTHON=" in said


@pytest.mark.parametrize(
    ("script", "message"),
    [
        (OLD, r"is Python 3\.9\.2; the book needs 3\.11 or newer\. Install it, or name one: make PYTHON="),
        (WITHOUT_VENV, "has no venv module. On Debian and Ubuntu: apt install python3-venv"),
    ],
    ids=["too old", "without venv"],
)
def test_a_python_that_will_not_do_is_named_with_the_mend(clone, tmp_path, script, message):
    python = tmp_path / "python"
    python.write_text(f"#!/bin/sh\n{script}\n")
    python.chmod(0o755)
    status, said = make(clone, "book", f"PYTHON={python}", f"VENV={tmp_path / 'venv'}")
    assert status != 0
    assert re.search(re.escape(str(python)) + " " + message, said)
    assert not (tmp_path / "venv").exists()


def test_make_notebooks_writes_every_chapter_as_a_notebook(clone):
    here = sys.prefix
    status, said = make(clone, "notebooks", f"VENV={here}", "-o", f"{here}/.ready")
    assert status == 0, said
    with_code = [path for path in clone.glob("chapters/*.md") if "\nkernelspec:" in path.read_text("utf-8")]
    written = list((clone / "_build" / "notebooks").glob("*"))
    assert sorted(path.name for path in written) == sorted(f"{path.stem}.ipynb" for path in with_code)
    for path in written:
        notebook = nbformat.read(path, as_version=nbformat.NO_CONVERT)
        nbformat.validate(notebook)
        assert any(cell.cell_type == "code" for cell in notebook.cells)


@pytest.mark.parametrize("name", REQUIREMENTS)
def test_a_changed_requirement_means_that_the_environment_is_renewed(clone, tmp_path, name):
    ready = tmp_path / "venv" / ".ready"
    ready.parent.mkdir()
    ready.touch()
    assert "pip install" not in make(clone, "-n", "book", f"VENV={ready.parent}")[1]
    os.utime(clone / name, (ready.stat().st_mtime + 10,) * 2)
    said = make(clone, "-n", "book", f"VENV={ready.parent}")[1]
    assert said.index("pip install") < said.index("npm ci --ignore-scripts")


def test_make_clean_takes_away_what_was_made_and_nothing_else(clone, tmp_path):
    before = sorted(clone.rglob("*"))
    for made in ("_build/html", "node_modules/pyodide", ".pytest_cache", ".hypothesis", "venv/bin"):
        (clone / made).mkdir(parents=True)
    assert make(clone, "clean", "VENV=venv")[0] == 0
    assert sorted(clone.rglob("*")) == before


def test_the_lock_of_npm_holds_exact_versions_and_hashes_and_names_no_address():
    wanted = json.loads((ROOT / "package.json").read_text())["dependencies"]
    packages = json.loads((ROOT / "package-lock.json").read_text())["packages"]
    assert {name: packages[f"node_modules/{name}"]["version"] for name in wanted} == wanted
    locked = [package for path, package in packages.items() if path]
    assert all(package["integrity"].startswith("sha512-") for package in locked)
    assert not any("resolved" in package for package in locked)
