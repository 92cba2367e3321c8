"""A page says how long others take to read, and what its cells read beside the package counts as its own."""

import nbformat
import pytest

PAGE = """\
---
jupytext:
  text_representation:
    extension: .md
    format_name: myst
kernelspec:
  name: python3
  display_name: Python 3
reads: [table.csv]
---

# For those who teach

Both take {{reading-hours}}`{names}` h.

```{{code-cell}} ipython3
from pathlib import Path
Path("../table.csv").read_text()
```
"""


def words(n):
    return f"# Chapter two\n\n{' '.join(['word'] * n)}\n"


@pytest.fixture(scope="module")
def teaching_book(small_book):
    config = (small_book.folder / "_config.yml").read_text()
    small_book.write("_config.yml", config.replace("book_site:", "reading_time: extensions\n    book_site:"))
    small_book.write("_toc.yml", "format: jb-book\nroot: chapters/one\nchapters:\n  - file: chapters/two\n")
    small_book.write("table.csv", "first table")
    return small_book


def test_the_hours_and_what_a_cell_has_read_follow_the_other_pages_and_files(teaching_book):
    teaching_book.write("chapters/one.md", PAGE.format(names="two one"))
    teaching_book.write("chapters/two.md", words(230 * 17))
    status, said = teaching_book.build()
    assert status == 0, said
    assert "Both take 0.3 h." in teaching_book.page("one")
    assert "first table" in teaching_book.page("one")
    notebook = teaching_book.folder / "_build/html/_sources/chapters/one.ipynb"
    assert "Both take 0.3 h." in nbformat.read(notebook, as_version=4).cells[1].source

    teaching_book.write("chapters/two.md", words(230 * 47))
    teaching_book.write("table.csv", "second table")
    status, said = teaching_book.build()
    assert status == 0, said
    assert "Both take 0.8 h." in teaching_book.page("one")
    assert "second table" in teaching_book.page("one")


def test_a_name_that_is_no_page_fails_the_build(teaching_book):
    teaching_book.write("chapters/one.md", PAGE.format(names="two three"))
    status, said = teaching_book.build()
    assert status != 0
    assert "no page 'chapters/three' to say the reading time of" in said
