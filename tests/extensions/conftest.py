"""A small book that uses the extensions of this one."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
CONFIG = """\
title: A small book
author: Nobody
only_build_toc_files: true
execute: { execute_notebooks: cache, stderr_output: show }
sphinx:
  local_extensions:
    book_site: extensions
    first_use: extensions
    source_fingerprint: extensions
    spoiled_cells: extensions
  config: { nb_execution_show_tb: true, nb_ipywidgets_js: {} }
"""
CONTENTS = "format: jb-book\nroot: chapters/one\nchapters:\n  - file: chapters/two\n"
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

# Chapter {name}

```{{code-cell}} ipython3
from scaling_transformers.{name} import value
value
```

Words.

```{{code-cell}} ipython3
:tags: [{tag}]

{code}
```
"""


class SmallBook:
    def __init__(self, folder):
        self.folder = folder
        shutil.copytree(ROOT / "extensions", folder / "extensions")
        self.write("_config.yml", CONFIG)
        self.write("_toc.yml", CONTENTS)
        self.write("src/scaling_transformers/__init__.py", "")
        for name in ("one", "two"):
            self.write(f"src/scaling_transformers/{name}.py", f"value = 'first {name}'")
            self.write_chapter(name)

    def write(self, name, text):
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

    def write_chapter(self, name, code="value * 2", tag="hide-input"):
        self.write(f"chapters/{name}.md", CHAPTER.format(name=name, code=code, tag=tag))

    def build(self):
        """Exit status and what was said, without colours."""
        done = subprocess.run(
            [Path(sys.executable).with_name("jupyter-book"), "build", ".", "-W", "-n", "--keep-going"],
            cwd=self.folder,
            env={**os.environ, "PYTHONPATH": str(self.folder / "src")},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=300,
        )
        return done.returncode, re.sub(r"\x1b\[[\d;]*m", "", done.stdout)

    def page(self, name):
        return (self.folder / f"_build/html/chapters/{name}.html").read_text("utf-8")


@pytest.fixture(scope="module")
def small_book(tmp_path_factory):
    return SmallBook(tmp_path_factory.mktemp("book"))
