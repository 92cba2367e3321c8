"""What every chapter's source promises, and what came out when the book was built of it."""

import ast
import csv
import re
from functools import cache
from pathlib import Path

import jupytext
import nbformat
import pytest
import yaml
from IPython.core.inputtransformer2 import TransformerManager
from jupyter_cache import get_cache

ROOT = Path(__file__).parents[2]
CHAPTERS = ROOT / "chapters"


def chapters_with_code():
    return [path for path in sorted(CHAPTERS.glob("*.md")) if "\nkernelspec:" in path.read_text("utf-8")]


every_chapter = pytest.mark.parametrize("path", chapters_with_code(), ids=lambda path: path.stem)


@cache
def executed(path):
    """The notebook of a chapter as the build has run it, alone in a new kernel."""
    built = ROOT / "_build" / "jupyter_execute" / "chapters" / f"{path.stem}.ipynb"
    if not built.is_file():
        pytest.fail("The book is not built: run `make book` first.")
    notebook = nbformat.read(built, as_version=nbformat.NO_CONVERT)
    _, run = get_cache(ROOT / "_build" / ".jupyter_cache").merge_match_into_notebook(notebook)
    return run


def code_in(notebook):
    return [cell.source.strip() for cell in notebook.cells if cell.cell_type == "code"]


def outputs(path):
    return [output for cell in executed(path).cells for output in cell.get("outputs", [])]


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
def test_the_build_has_run_the_chapter_as_it_is_written(path):
    assert code_in(executed(path)) == code_in(jupytext.read(path))


@every_chapter
def test_a_chapter_runs_and_warns_of_nothing(path):
    assert outputs(path)
    assert [output.text for output in outputs(path) if output.get("name") == "stderr"] == []
    assert [output for output in outputs(path) if output.output_type == "error"] == []


def test_no_chapter_has_left_a_file_behind():
    found = [
        path for path in CHAPTERS.rglob("*") if path.is_file() and CHAPTERS / "_static" not in path.parents
    ]
    assert [path for path in found if path.suffix not in (".md", ".bib")] == []


@every_chapter
def test_every_value_in_the_prose_is_glued_by_a_cell_of_the_chapter(path):
    text = path.read_text("utf-8")
    used = re.findall(r"\{glue(?::\w+)?\}`([^`:]+)", text) + re.findall(
        r"^[`:]{3,}\{glue(?::\w+)?\} (\S+)", text, re.M
    )
    names = [output.get("metadata", {}).get("scrapbook", {}).get("name") for output in outputs(path)]
    assert set(used) <= {(name or "").removeprefix("application/papermill.record/") for name in names}


def test_the_picture_of_the_argument_names_the_chapters():
    table = ROOT / "src" / "scaling_transformers" / "data" / "chapters.csv"
    with table.open(encoding="utf-8") as file:
        named = {row["chapter"] for row in csv.DictReader(file)}
    at_the_back = {"notation", "glossary", "reading", "instructors", "references", "colophon"}
    assert named == {path.stem for path in CHAPTERS.glob("*.md")} - {"index"} - at_the_back
