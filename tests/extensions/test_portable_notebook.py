"""The notebook that a reader takes along: on a small book, with the repository's address and without."""

import importlib.util
import json
import re

import nbformat
import pytest
from IPython.core.inputtransformer2 import TransformerManager

URL = "https://github.com/nobody/a-small-book"
PROSE = """
(here)=
## A title of its own

The value is {glue:text}`kept:.2f`, see {numref}`fig-one`, {eq}`eq-one`,
[here](#here) and [there](two.md).
Code such as `` {glue:text}`kept` `` stays.

```{math}
:label: eq-one
a = b
```

:::{admonition} Mind the gap
:class: note
Said of {glue:text}`kept`.
:::

```{code-cell} ipython3
---
mystnb:
  figure:
    name: fig-one
    caption: |
      A picture of {glue:text}`kept:.1f`.
---
import matplotlib.pyplot as plt
from myst_nb import glue
glue("kept", 2.5, display=False)
plt.figure(figsize=(1, 1)).gca().plot([1, 2])
plt.show()
```
"""


@pytest.fixture(scope="module")
def notebooks(small_book):
    """Of chapter one, the notebook without and then with the repository's address; and the pages."""
    config = (small_book.folder / "_config.yml").read_text()
    config = config.replace(
        "    book_site: extensions\n", "    book_site: extensions\n    launch: extensions\n"
    )
    config = config.replace("config: {", "config: { numfig: true,").replace(
        "execute:", "parse: { myst_enable_extensions: [dollarmath, amsmath, colon_fence] }\nexecute:"
    )
    path = small_book.folder / "chapters/one.md"
    path.write_text(path.read_text() + PROSE)
    read = []
    for ending in ("", f'repository: {{ url: "{URL}", branch: main }}\n'):
        small_book.write("_config.yml", config + ending)
        status, said = small_book.build()
        assert status == 0, said
        notebook = small_book.folder / "_build/html/_sources/chapters/one.ipynb"
        read.append((nbformat.read(notebook, as_version=nbformat.NO_CONVERT), small_book.page("one")))
    return read


def first_cell(notebook, present, monkeypatch):
    """What the first cell has the kernel install; it runs with the package there or not."""
    asked = []

    class Kernel:
        def run_line_magic(self, name, line):
            asked.append(f"{name} {line}")

    monkeypatch.setattr(importlib.util, "find_spec", lambda name: object() if present else None)
    code = TransformerManager().transform_cell(notebook.cells[0].source)
    exec(compile(code, "first cell", "exec"), {"get_ipython": Kernel})
    return asked


def test_the_first_cell_installs_the_commit_that_was_built_where_the_package_is_absent(
    notebooks, monkeypatch
):
    with_address = notebooks[1][0]
    assert first_cell(with_address, True, monkeypatch) == []
    (asked,) = first_cell(with_address, False, monkeypatch)
    # The small book is no checkout: its branch stands in for the commit.
    assert asked == f'pip install --quiet "scaling-transformers[book] @ git+{URL}@main"'


def test_without_an_address_the_first_cell_says_what_to_do(notebooks, monkeypatch):
    without = notebooks[0][0]
    assert first_cell(without, True, monkeypatch) == []
    with pytest.raises(ModuleNotFoundError, match=re.escape('pip install -e ".[book]"')):
        first_cell(without, False, monkeypatch)


def test_the_prose_of_the_notebook_is_plain_markdown_with_what_the_page_shows(notebooks):
    for notebook, _ in notebooks:
        nbformat.validate(notebook)
        prose = "\n".join(cell.source for cell in notebook.cells if cell.cell_type == "markdown")
        assert "The value is 2.50, see Fig. 1, (1),\n[here](#here) and there." in prose
        assert "Code such as `` {glue:text}`kept` `` stays." in prose
        assert '<a id="here"></a>' in prose
        assert "$$\na = b\n\\tag{1}\n$$" in prose
        assert "> **Mind the gap**\n>\n> Said of 2.5." in prose
        assert "**Fig. 1.** A picture of 2.5." in prose
        assert not {"source_map", "jupytext"} & set(notebook.metadata)
        assert "fingerprint" not in json.dumps(notebook.metadata)


def test_the_buttons_of_colab_and_binder_come_with_the_address_and_not_before(notebooks):
    (_, without), (_, with_address) = notebooks
    assert "colab" not in without.lower()
    assert "mybinder" not in without.lower()
    colab = (
        "https://colab.research.google.com/github/nobody/a-small-book/blob/gh-pages/latest/_sources/chapters/"
    )
    assert f'href="{colab}one.ipynb"' in with_address
    binder = "https://mybinder.org/v2/gh/nobody/a-small-book/main?urlpath=lab/tree/chapters/one.md"
    assert f'href="{binder}"' in with_address


def test_a_role_without_plain_words_fails_the_build(small_book, notebooks):
    path = small_book.folder / "chapters/two.md"
    path.write_text(path.read_text() + "\n{doc}`one`\n")
    status, said = small_book.build()
    assert status != 0
    assert "the notebook to take along has no plain words for the role 'doc'" in said
