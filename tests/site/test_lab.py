"""What `make lab` promises: a chapter opens as a notebook, its cells run, and its explorer moves."""

import os
import shutil
import sys

import pytest
from laboratory import laboratory
from playwright.sync_api import expect

CHAPTER = """\
---
jupytext:
  text_representation:
    extension: .md
    format_name: myst
kernelspec:
  name: python3
  display_name: Python 3
---

# A small chapter

```{code-cell} ipython3
from scaling_transformers.explorers import attention_explorer
attention_explorer()
```
"""


@pytest.fixture(scope="module")
def lab(book, tmp_path_factory):
    """The address of a laboratory that `make lab` has opened on a small chapter."""
    tmp_path = tmp_path_factory.mktemp("lab")
    shutil.copy(book.root / "Makefile", tmp_path)
    (tmp_path / "chapters").mkdir()
    (tmp_path / "chapters" / "small.md").write_text(CHAPTER)
    # An environment that shares the programs of this one and keeps its own settings.
    (tmp_path / "venv").mkdir()
    (tmp_path / "venv" / "bin").symlink_to(f"{sys.prefix}/bin")
    command = ["make", "lab", "VENV=venv", "-o", "venv/.ready"]
    settings = {"JUPYTER_CONFIG_PATH": str(tmp_path / "venv" / "etc" / "jupyter")}
    with laboratory(
        command, cwd=tmp_path, home=tmp_path / "home", environment={**os.environ, **settings}
    ) as address:
        yield address


@pytest.fixture(scope="module")
def ran(lab, browser):
    """The small chapter, opened by its name and run from the menu."""
    with browser.new_context(viewport={"width": 1280, "height": 900}) as context:
        context.set_default_timeout(30_000)
        page = context.new_page()
        page.goto(f"{lab}/lab/tree/small.md")
        page.locator(".jp-NotebookPanel").wait_for()
        expect(page.locator("#jp-main-statusbar")).to_contain_text(
            "Python 3 (ipykernel) | Idle", timeout=30_000
        )
        page.get_by_role("menuitem", name="Run", exact=True).click()
        page.get_by_text("Run All Cells", exact=True).click()
        page.locator(".explorer svg").first.wait_for()
        yield page


def test_a_chapter_opens_as_a_notebook_and_its_explorer_moves(ran):
    ran.get_by_role("slider").first.fill("0")
    expect(ran.locator(".explorer-summary")).to_contain_text("Query at 0°")


# JupyterLab looks for the mark on the slider itself; explorer.js sets it around the slider, in vain.
def test_an_explorer_moves_by_keyboard_in_the_laboratory_too(ran):
    slider = ran.get_by_role("slider").first
    slider.fill("0")
    slider.press("ArrowRight")
    expect(ran.locator(".explorer-summary")).to_contain_text("Query at 10°")
