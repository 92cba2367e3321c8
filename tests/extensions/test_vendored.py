"""The list of what comes from elsewhere: on folders made up for it."""

import hashlib
from pathlib import Path

import pytest
import vendored

ROOT = Path(__file__).parents[2]


@pytest.fixture
def static(tmp_path):
    (tmp_path / "mathjax/fonts").mkdir(parents=True)
    (tmp_path / "mathjax/tex-chtml.js").write_text('x={VERSION="3.2.2"}')
    (tmp_path / "mathjax/fonts/a.woff").write_bytes(b"letters")
    (tmp_path / "book.css").write_text("p {}")
    (tmp_path / "picture.png").write_bytes(b"")
    return tmp_path


def test_a_project_is_listed_with_version_licence_and_the_hash_of_each_file(static):
    own = {hashlib.sha256(b"p {}").hexdigest()}
    found = vendored.listing(static, own)
    (project,) = found["projects"]
    assert (project["name"], project["version"], project["licence"]) == ("MathJax", "3.2.2", "Apache-2.0")
    assert project["files"]["mathjax/fonts/a.woff"] == hashlib.sha256(b"letters").hexdigest()
    assert found["unknown"] == {}


def test_a_script_that_nobody_owns_is_unknown_whatever_its_folder(static):
    own = {hashlib.sha256(b"p {}").hexdigest()}
    (static / "scripts").mkdir()
    (static / "scripts/stranger.js").write_text("alert(1)")
    assert set(vendored.listing(static, own)["unknown"]) == {"scripts/stranger.js"}


def test_a_file_of_the_book_that_was_changed_on_the_way_is_unknown(static):
    assert set(vendored.listing(static, set())["unknown"]) == {"book.css"}
