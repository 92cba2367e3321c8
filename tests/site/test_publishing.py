"""What the built book says of itself, and what its readers take along."""

import csv
import hashlib
import json
import posixpath
import re
import shutil

import nbformat
import pytest
from nbclient import NotebookClient
from PIL import Image

PREFIX = "http"
QUICK = "conclusion"
"""The chapter whose notebook is run from start to end: it takes seconds."""


def offered(book):
    return sorted((book.folder / "_sources").rglob("*.ipynb"))


def test_every_notebook_to_take_along_is_valid_and_begins_by_installing_what_it_needs(book):
    assert len(offered(book)) >= 12
    for path in offered(book):
        notebook = nbformat.read(path, as_version=nbformat.NO_CONVERT)
        nbformat.validate(notebook)
        assert 'find_spec("scaling_transformers") is None' in notebook.cells[0].source, path.name


def test_no_notebook_holds_syntax_that_a_bare_jupyter_does_not_know(book):
    code = re.compile(r"(`+)(?!`)(?:.*?[^`])\1(?!`)", re.DOTALL)
    for path in offered(book):
        for cell in nbformat.read(path, as_version=nbformat.NO_CONVERT).cells:
            if cell.cell_type == "markdown":
                roles = re.findall(r"\{[a-z][\w:.-]*\}`[^`]+`", cell.source)
                explained = [found[0] for found in code.finditer(cell.source)]
                assert [role for role in roles if not any(role in words for words in explained)] == []
                assert not re.search(
                    r"^(?:`{3,}|:{3,})\s*\{|^\([\w-]+\)=$|^:[a-z]+: ", cell.source, re.MULTILINE
                )


def test_a_notebook_taken_elsewhere_runs_from_start_to_end(book, tmp_path):
    shutil.copy(book.folder / f"_sources/chapters/{QUICK}.ipynb", tmp_path)
    notebook = nbformat.read(tmp_path / f"{QUICK}.ipynb", as_version=nbformat.NO_CONVERT)
    before = [cell.outputs for cell in notebook.cells if cell.cell_type == "code"]
    NotebookClient(notebook, timeout=300, resources={"metadata": {"path": str(tmp_path)}}).execute()
    after = [cell.outputs for cell in notebook.cells if cell.cell_type == "code"]
    assert [len(outputs) > 0 for outputs in after] == [len(outputs) > 0 for outputs in before]


def test_without_the_address_of_a_repository_no_page_names_a_service(path, book):
    text = (book.folder / path).read_text("utf-8").lower()
    assert "colab.research" not in text
    assert "mybinder" not in text


def head(book, path):
    tags = book.html(path).select("head meta[content]")
    return {tag.get("property") or tag.get("name"): tag["content"] for tag in tags}


def test_every_page_describes_itself(path, book):
    if path == "search.html":
        pytest.skip("made by the theme, and found by nobody")
    said = head(book, path)
    assert 10 <= len(said["description"]) <= 200
    assert said["og:description"] == said["description"]
    assert said["og:title"] in book.html(path).select_one("title").get_text()
    assert said["og:type"] == ("website" if path == "chapters/index.html" else "article")
    assert said["twitter:card"] == "summary_large_image"
    image = said["og:image"]
    assert not image.startswith(PREFIX)  # the book names no address
    with Image.open(book.folder / posixpath.normpath(posixpath.join(posixpath.dirname(path), image))) as card:
        assert (f"{card.width}", f"{card.height}") == (said["og:image:width"], said["og:image:height"])


def test_a_chapter_is_described_by_its_question_and_has_a_card_of_its_own(book):
    table = book.root / "src/scaling_transformers/data/chapters.csv"
    cards = set()
    with table.open(encoding="utf-8") as file:
        for row in csv.DictReader(file):
            said = head(book, f"chapters/{row['chapter']}.html")
            assert said["description"].startswith(row["question"])
            cards.add(
                hashlib.sha256((book.folder / said["og:image"].removeprefix("../")).read_bytes()).digest()
            )
    assert len(cards) == 11
    for card in (book.folder / "_static/cards").iterdir():
        assert card.stat().st_size < 25_000


def test_a_page_of_prose_says_how_long_it_takes_and_one_with_code_how_long_that_ran(book):
    for path in book.pages:
        soup = book.html(path)
        lines = soup.select("h1 + p.reading-time")
        if path == "search.html" or soup.select("dl.py"):
            assert lines == []
        else:
            (line,) = lines
            found = re.fullmatch(r"(\d+) minutes? to read(?:, (\d+) seconds? to run)?", line.get_text())
            assert bool(found[2]) == bool(soup.select("div.cell")), path


def test_what_comes_from_elsewhere_is_listed_with_its_version_and_licence(book):
    static = book.folder / "_static"
    listed = json.loads((static / "vendored.json").read_text("utf-8"))
    assert listed["unknown"] == {}
    for project in listed["projects"]:
        assert re.match(r"\d+\.\d+", project["version"]), project["name"]
        assert project["licence"]
        for name, digest in project["files"].items():
            assert hashlib.sha256((static / name).read_bytes()).hexdigest() == digest
    shown = book.html("chapters/colophon.html").select_one(".bd-article").get_text()
    for project in listed["projects"]:
        assert f"{project['name']} {project['version']}: {project['licence']}" in shown
