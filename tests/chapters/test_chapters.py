"""What every chapter's source promises."""

import ast
import csv
import random
import re
from functools import cache
from pathlib import Path

import jupytext
import pytest
import yaml
from IPython.core.inputtransformer2 import TransformerManager
from nbclient import NotebookClient

CHAPTERS = Path(__file__).parents[2] / "chapters"
SEED = 20260117  # in the order that it gives, no chapter finds what the one before it in the book has left


def chapters_with_code():
    found = [path for path in sorted(CHAPTERS.glob("*.md")) if "\nkernelspec:" in path.read_text("utf-8")]
    return random.Random(SEED).sample(found, len(found))


every_chapter = pytest.mark.parametrize("path", chapters_with_code(), ids=lambda path: path.stem)


@cache
def executed(path):
    """The notebook of a chapter, run alone in a new kernel, and the files that this left behind."""
    before = set(CHAPTERS.rglob("*"))
    resources = {"metadata": {"path": str(CHAPTERS)}}
    client = NotebookClient(jupytext.read(path), timeout=600, kernel_name="python3", resources=resources)
    return client.execute(), sorted(set(CHAPTERS.rglob("*")) - before)


def outputs(path):
    return [output for cell in executed(path)[0].cells for output in cell.get("outputs", [])]


def test_there_is_a_chapter_with_code():
    assert chapters_with_code()


def test_every_chapter_is_in_the_table_of_contents():
    contents = yaml.safe_load((CHAPTERS.parent / "_toc.yml").read_text("utf-8"))
    listed = re.findall(r"'(?:file|root)': 'chapters/([^']+)'", str(contents))
    written = (path.relative_to(CHAPTERS).with_suffix("").as_posix() for path in CHAPTERS.rglob("*.md"))
    assert sorted(listed) == sorted(written)


@every_chapter
def test_every_cell_is_python(path):
    for cell in jupytext.read(path).cells:
        if cell.cell_type == "code":
            ast.parse(
                TransformerManager().transform_cell(cell.source), filename=f"{path.name}: {cell.source}"
            )


@every_chapter
def test_a_chapter_runs_alone_and_warns_of_nothing(path):
    warned = [output.text for output in outputs(path) if output.get("name") == "stderr"]
    assert warned == []


@every_chapter
def test_a_chapter_leaves_no_file_behind(path):
    assert executed(path)[1] == []


@every_chapter
def test_every_value_in_the_prose_is_glued_by_a_cell_of_the_chapter(path):
    text = path.read_text("utf-8")
    used = re.findall(r"\{glue(?::\w+)?\}`([^`:]+)", text) + re.findall(
        r"^[`:]{3,}\{glue(?::\w+)?\} (\S+)", text, re.M
    )
    names = [output.get("metadata", {}).get("scrapbook", {}).get("name") for output in outputs(path)]
    assert set(used) <= {(name or "").removeprefix("application/papermill.record/") for name in names}


def test_the_picture_of_the_argument_marks_the_chapters_that_are_there():
    table = CHAPTERS.parent / "src" / "scaling_transformers" / "data" / "chapters.csv"
    with table.open(encoding="utf-8") as file:
        written = {row["chapter"] for row in csv.DictReader(file) if row["written"] == "yes"}
    at_the_back = {"notation", "glossary", "reading", "references"}
    assert written == {path.stem for path in CHAPTERS.glob("*.md")} - {"index"} - at_the_back
