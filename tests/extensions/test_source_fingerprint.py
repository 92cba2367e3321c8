"""When a chapter counts as changed."""

import pytest
import source_fingerprint as extension

P = extension.PACKAGE


@pytest.fixture
def source_root(tmp_path):
    """A package in which a imports b, b imports c (both relatively), and nothing imports d."""
    files = {
        "__init__.py": "",
        "alone.py": "import os",
        "data/runs.csv": "1",
        "maths/__init__.py": "from .a import f",
        "maths/a.py": "from .b import g\nf = g",
        "maths/b.py": "from ..deep import c\ng = c.value",
        "maths/curve.txt": "1 2 3",
        "deep/__init__.py": "",
        "deep/c.py": "value = 1",
        "deep/d.py": "value = 2",
    }
    for name, text in files.items():
        path = tmp_path / P / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return tmp_path


def names(source, source_root):
    folder = source_root / P
    return {path.relative_to(folder).as_posix() for path in extension.dependencies(source, source_root)}


@pytest.mark.parametrize(
    ("source", "inside", "found"),
    [
        (f"import {P}", "", {P}),
        (f"import {P}.maths.a as short", "", {f"{P}.maths.a"}),
        (f"import os, {P}.maths", "", {f"{P}.maths"}),
        (f"from {P}.maths import a as short", "", {f"{P}.maths", f"{P}.maths.a"}),
        ("from . import b", f"{P}.maths.a", {f"{P}.maths", f"{P}.maths.b"}),
        ("from ..deep.c import value", f"{P}.maths.a", {f"{P}.deep.c", f"{P}.deep.c.value"}),
        (f"def f():\n    from {P} import deep", "", {P, f"{P}.deep"}),
        (f"import numpy\nimport {P}_of_another", "", set()),
        (f"'import {P}.maths'", "", set()),
    ],
)
def test_imports_of_the_package_are_seen_and_no_others(source, inside, found):
    assert extension.imported_modules(source, inside=inside) == found


def test_a_chain_of_imports_is_followed_to_its_end(source_root):
    assert names(f"import {P}.maths.a as maths", source_root) >= {"maths/a.py", "maths/b.py", "deep/c.py"}


def test_a_module_brings_the_packages_around_it_and_what_is_not_python_beside_it(source_root):
    found = names(f"from {P}.maths.b import g", source_root)
    assert found >= {"__init__.py", "maths/__init__.py", "maths/curve.txt", "data/runs.csv"}


def test_source_that_imports_nothing_of_the_package_depends_on_nothing(source_root):
    assert names("import numpy", source_root) == set()


@pytest.mark.parametrize("source", ["this is no Python", f"from {P}.maths import a\nvalue = !ls", "a?"])
def test_source_that_python_cannot_read_depends_on_every_file(source, source_root):
    assert {"alone.py", "deep/d.py", "maths/curve.txt", "data/runs.csv"} <= names(source, source_root)


@pytest.mark.parametrize(
    "name", ["maths/a.py", "deep/c.py", "maths/__init__.py", "maths/curve.txt", "data/runs.csv"]
)
def test_a_change_of_a_file_in_use_changes_the_fingerprint(name, source_root):
    source = f"from {P}.maths import f"
    before = extension.fingerprint(source, source_root)
    (source_root / P / name).write_text("value = g = f = 3  # changed")
    assert extension.fingerprint(source, source_root) != before


def test_a_change_of_a_file_not_in_use_leaves_the_fingerprint(source_root):
    source = f"from {P}.maths import f"
    before = extension.fingerprint(source, source_root)
    for name in ("alone.py", "deep/d.py", "maths/new.py", "__pycache__/alone.pyc", "data/__pycache__/x.pyc"):
        (source_root / P / name).parent.mkdir(exist_ok=True)
        (source_root / P / name).write_text("changed")
    assert extension.fingerprint(source, source_root) == before


def test_where_the_sources_lie_does_not_matter(source_root, tmp_path_factory):
    other = tmp_path_factory.mktemp("other")
    (source_root / P).rename(other / P)
    (source_root / P).symlink_to(other / P)
    source = f"from {P}.maths import f"
    assert extension.fingerprint(source, source_root) == extension.fingerprint(source, other)


@pytest.mark.parametrize(
    "cell",
    [
        "```{code-cell} ipython3\nx = 1\ny = 2\n```",
        "```{code-cell}\nx = 1\ny = 2\n```",
        "````{code-cell} ipython3\nx = 1\ny = 2\n````",
        ":::{code-cell} ipython3\nx = 1\ny = 2\n:::",
        "```{code-cell} ipython3\n:tags: [hide-input]\n:other: 1\n\nx = 1\ny = 2\n```",
        "```{code-cell} ipython3\n---\ntags: [hide-input]\nimport: nothing\n---\nx = 1\ny = 2\n```",
        "```{code-cell} ipython3\n%matplotlib inline\nx = 1\n!ls\n    %time x\ny = 2\n```",
        "```{code-cell} ipython3\nx = 1\n```\n\nNo.\n\n```python\nz = 3\n```\n\n```{code-cell}\ny = 2\n```",
    ],
)
def test_the_code_of_a_chapter_is_what_its_cells_run(cell):
    text = f"---\nkernelspec:\n  name: python3\n---\n\n# A title\n\n{cell}\n\nimport words\n"
    assert extension.code_of_chapter(text) == "x = 1\ny = 2"


def test_a_line_of_code_that_starts_with_a_colon_or_dashes_is_code():
    text = "```{code-cell}\nx[\n:2]\n---1\n```\n"
    assert extension.code_of_chapter(text) == "x[\n:2]\n---1"


def test_a_page_says_which_other_files_its_cells_read(source_root):
    text = "---\nkernelspec: { name: python3 }\nreads: [sets/*.md, table.csv]\n---\n\n# A title\n"
    (source_root / "sets").mkdir()
    for name in ("sets/b.md", "sets/a.md", "sets/other.py", "table.csv"):
        (source_root / name).write_text(name)
    read = extension.files_read(text, source_root)
    assert [path.name for path in read] == ["a.md", "b.md", "table.csv"]
    assert extension.files_read("# No top matter\n", source_root) == []
    source = f"from {P}.maths import f"
    before = extension.fingerprint(source, source_root, beside=read)
    assert before != extension.fingerprint(source, source_root)
    (source_root / "sets/a.md").write_text("changed")
    assert extension.fingerprint(source, source_root, beside=read) != before
