"""The files that publish the book name what is there: commands, packages, authors, versions."""

import ast
import importlib.metadata
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import yaml

ROOT = Path(__file__).parents[1]
WORKFLOW = ROOT / ".github/workflows/pages.yml"


def workflow():
    # BaseLoader: else "on" is read as true.
    return yaml.load(WORKFLOW.read_text("utf-8"), Loader=yaml.BaseLoader)


def steps():
    return [step for job in workflow()["jobs"].values() for step in job["steps"]]


def test_every_command_of_the_workflow_exists():
    phony = re.search(r"^\.PHONY: (.*)", (ROOT / "Makefile").read_text(), re.MULTILINE)[1].split()
    lines = [line for step in steps() for line in step.get("run", "").splitlines()]
    made = [line.split()[1] for line in lines if line.startswith("make ")]
    assert {"check", "test"} <= set(made) <= set(phony)
    scripts = [line.split()[1] for line in lines if line.startswith("python3 ")]
    assert scripts == ["deploy/versions.py"]
    assert all((ROOT / script).is_file() for script in scripts)


def test_the_workflow_asks_for_no_more_rights_than_it_needs():
    jobs = workflow()["jobs"]
    assert workflow()["permissions"] == {"contents": "read"}
    assert "permissions" not in jobs["build"]  # which runs what a pull request brings
    assert jobs["publish"]["permissions"] == {"contents": "write"}
    assert jobs["publish"]["if"] == "github.event_name == 'push'"
    assert workflow()["on"]["push"] == {"branches": ["main"], "tags": ["v*"]}


def test_every_action_is_pinned_to_a_whole_version():
    used = [step["uses"] for step in steps() if "uses" in step]
    assert used
    assert all(re.fullmatch(r"actions/[\w-]+@v\d+\.\d+\.\d+", action) for action in used)


def pins(path):
    lines = [line.split("#")[0].strip() for line in path.read_text("utf-8").splitlines()]
    return dict(line.split("==") for line in lines if "==" in line)


def name_of(package):
    return re.sub(r"[-_.]+", "-", package).lower()


def test_binder_has_the_pins_of_the_book():
    known = pins(ROOT / "requirements.txt") | pins(ROOT / "constraints.txt")
    for package, version in pins(ROOT / "binder/requirements.txt").items():
        assert known[package] == version
    assert (ROOT / "binder/runtime.txt").read_text().strip() == "python-3.11"


def test_binder_has_every_package_that_a_chapter_or_the_books_extra_imports():
    owners = importlib.metadata.packages_distributions()
    imported, written = set(), set()
    for chapter in (ROOT / "chapters").glob("*.md"):
        written |= set(re.findall(r"/ \"(\w+)\.py\"\)\.write_text", chapter.read_text("utf-8")))
        for cell in re.findall(r"^```\{code-cell\}.*?\n(.*?)^```", chapter.read_text("utf-8"), re.M | re.S):
            code = re.sub(r"\A(?:---\n.*?^---\n|(?::[\w-]+:.*\n)+)", "", cell, flags=re.M | re.S)
            for node in ast.walk(ast.parse(code)):
                if isinstance(node, ast.Import):
                    imported |= {alias.name.split(".")[0] for alias in node.names}
                elif isinstance(node, ast.ImportFrom):
                    imported.add(node.module.split(".")[0])
    outside = imported - set(sys.stdlib_module_names) - {"scaling_transformers"} - written
    assert {"numpy", "torch", "matplotlib"} <= outside
    needed = {name_of(owners[module][0]) for module in outside}
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    for requirement in [*project["dependencies"], *project["optional-dependencies"]["book"]]:
        needed.add(name_of(re.match(r"[\w.-]+", requirement)[0]))
    brought = {name_of(package) for package in pins(ROOT / "binder/requirements.txt")}
    assert needed - brought <= {name_of(package) for package in pins(ROOT / "constraints.txt")}
    # What a chapter imports by name is asked for by name, unless a package that is asked for is built on it.
    assert needed - brought <= {"ipython", "pandas", "scipy", "packaging", "nbformat"}
    assert "-e ." in (ROOT / "binder/requirements.txt").read_text().splitlines()


def test_binder_opens_the_chapters_as_notebooks(tmp_path):
    script = ROOT / "binder/postBuild"
    assert os.access(script, os.X_OK)
    # Its tools are those of this environment, its settings go to a folder of the test.
    tools = tmp_path / "bin"
    tools.mkdir()
    (tools / "python").write_text(f"#!/bin/sh\necho {tmp_path}\n")
    (tools / "python").chmod(0o755)
    (tools / "jupytext-config").write_text(
        f'#!/bin/sh\nexec {sys.executable} -m jupytext_config "$@"\n'
        if not (Path(sys.executable).parent / "jupytext-config").exists()
        else f'#!/bin/sh\nexec {Path(sys.executable).parent / "jupytext-config"} "$@"\n'
    )
    (tools / "jupytext-config").chmod(0o755)
    subprocess.run([script], env={**os.environ, "PATH": f"{tools}:{os.environ['PATH']}"}, check=True)
    settings = (tmp_path / "etc/jupyter/labconfig/default_setting_overrides.json").read_text()
    assert '"markdown": "Jupytext Notebook"' in settings


def test_the_citation_file_says_what_the_format_asks_for_and_what_the_book_is():
    said = yaml.safe_load((ROOT / "CITATION.cff").read_text("utf-8"))
    config = yaml.safe_load((ROOT / "_config.yml").read_text("utf-8"))
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    # The fields that version 1.2.0 of the format requires, and of the others those that are known to it.
    assert {"cff-version", "message", "title", "authors"} <= set(said)
    assert set(said) <= {
        *("cff-version", "message", "title", "authors", "type", "abstract", "version", "license"),
        *("keywords", "repository-code", "url", "date-released"),
    }
    assert said["cff-version"] == "1.2.0"
    assert said["type"] in ("software", "dataset")
    assert said["title"] == config["title"]
    name = config["author"]  # stands in a sentence on the pages, and at the start of a line here
    assert said["authors"] == [{"name": name[0].upper() + name[1:]}]
    assert (said["version"], said["license"]) == (project["version"], project["license"])
    assert all(isinstance(word, str) for word in said["keywords"])


def test_every_word_of_the_list_of_spellings_is_needed(tmp_path):
    words = (ROOT / "codespell.txt").read_text("utf-8").split()
    assert words == sorted(set(words))
    makefile = (ROOT / "Makefile").read_text("utf-8")
    asked = re.search(r"\$\(BIN\)/codespell (.*)", makefile)[1].split()
    skip = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["tool"]["codespell"]["skip"]
    done = subprocess.run(
        # Elsewhere, where no settings of the project are read.
        [Path(sys.executable).with_name("codespell"), "--skip", skip, *(ROOT / name for name in asked)],
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    found = {
        line.split(": ")[1].split(" ==>")[0].lower() for line in done.stdout.splitlines() if " ==> " in line
    }
    assert set(words) == found
