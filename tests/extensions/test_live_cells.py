"""Which cells run in a page is found in the code, and nothing of it shows where Pyodide is not installed."""

import json
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import live_cells as extension
import pytest
from bs4 import BeautifulSoup
from nbformat.v4 import new_code_cell, new_markdown_cell, new_output

ROOT = Path(__file__).parents[2]

FIRST = """\
import numpy as np
import torch
from scaling_transformers import preset
from scaling_transformers.accounting import count_parameters, vary
from scaling_transformers.figures import keep, show
names = ["gpt2", "gpt2-xl"]
zeros = np.zeros(3)
"""
COUNT = "for name in names:\n    print(count_parameters(preset(name)).total)\nkeep(n=1)\nlen(names)"
COUNTED = "124439808\n1557611200\n"


def stream(text):
    return new_output("stream", name="stdout", text=text)


def value(text):
    return new_output("execute_result", data={"text/plain": text})


def cell(source, *outputs, tags=()):
    return new_code_cell(source, outputs=list(outputs), metadata={"tags": list(tags)})


@pytest.fixture(scope="module")
def zip_file(tmp_path_factory):
    path = tmp_path_factory.mktemp("zip") / "package.zip"
    path.write_bytes(extension.package_zip(ROOT / "src"))
    return path


def test_a_cell_that_prints_the_same_without_numpy_is_live_and_brings_what_it_needs(zip_file):
    cells = [new_markdown_cell("Words."), cell(FIRST), cell(COUNT, stream(COUNTED), value("2"))]
    live = extension.live_cells(cells, zip_file)
    assert set(live) == {2}
    assert live[2]["source"] == COUNT
    assert "names = ['gpt2', 'gpt2-xl']" in live[2]["before"]
    assert "zeros" not in live[2]["before"]
    assert "import numpy" not in live[2]["before"]
    assert "import vary" in live[2]["before"]  # not needed here, but the reader may want it


@pytest.mark.parametrize(
    ("source", "output", "tags"),
    [
        ("print(zeros.sum())", stream("0.0\n"), []),  # NumPy by a name from before
        ("import torch\nprint(1)", stream("1\n"), []),
        ("print(vary(preset('gpt2'), d_model=[12, 24]).shape)", stream("(2,)\n"), []),  # only at run time
        ("import time\nprint(time.time())", stream("1.5\n"), []),  # prints something else each time
        ("print(1)", stream("1\n"), ["hide-input"]),
        ("print(1)", new_output("display_data", data={"text/html": "<b>1</b>"}), []),
        ("nowhere", value("1"), []),
        ("%time 1", stream("1\n"), []),
    ],
)
def test_a_cell_is_not_live(source, output, tags, zip_file):
    assert extension.live_cells([cell(FIRST), cell(source, output, tags=tags)], zip_file) == {}


def test_with_numpy_from_elsewhere_cells_that_need_it_are_live_and_those_with_torch_are_not(tmp_path):
    figure = "import matplotlib.pyplot as plt\nfig, ax = plt.subplots()\nshow(fig, alt='Nothing.')"
    cells = [
        cell(FIRST),
        cell("print(zeros.sum())", stream("0.0\n")),
        cell(figure, new_output("execute_result", data={"text/html": "<svg>"})),
        cell("torch.zeros(1)", value("0")),
    ]
    there = extension.modules_with_numpy(ROOT / "src")
    assert "scaling_transformers.figures.drawing" in there
    assert "scaling_transformers.model" not in there
    live = extension.cells_with_numpy(cells, there)
    assert {index: found["packages"] for index, found in live.items()} == {
        1: ["numpy"],
        2: ["numpy", "matplotlib"],
    }
    # They do run with the package as the page has it.
    path = tmp_path / "numpy.zip"
    path.write_bytes(extension.numpy_zip(ROOT / "src"))
    code = (
        "import json, sys; sys.path.insert(0, sys.argv[1]); import live_runner\n"
        "drawn, said = [], []\n"
        "for cell in json.load(sys.stdin):\n"
        "    assert not live_runner.run(cell['before'], cell['source'], said.append, drawn.append)\n"
        "import scaling_transformers; assert sys.argv[1] in scaling_transformers.__file__\n"
        "print(json.dumps([''.join(said), ''.join(drawn)[:24]]))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(path)],
        input=json.dumps([*live.values()]),
        stdout=subprocess.PIPE,
        text=True,
        check=True,
        timeout=120,
    )
    assert json.loads(done.stdout) == ["0.0\n", '<div class="book-figure"']


def test_the_same_package_gives_the_same_zip_and_it_holds_no_more_than_it_needs(zip_file):
    assert extension.package_zip(ROOT / "src") == zip_file.read_bytes()
    names = zipfile.ZipFile(zip_file).namelist()
    assert "scaling_transformers/data/presets.csv" in names
    assert not any("/model/" in name or "/training/" in name for name in names)
    assert zip_file.stat().st_size < 250_000


def test_the_note_counts_the_cells_and_names_what_the_others_need():
    def note(*numbers):
        found = extension.note_in_words(*numbers, "a.ipynb", ["NumPy", "Matplotlib", "PyTorch"])
        return BeautifulSoup(found, "html.parser").get_text()

    assert note(2, 5) == (
        "2 cells of this chapter can be changed and run in this page: look for “Run this here” below them. "
        "To run the others, which need NumPy, Matplotlib and PyTorch, download the notebook."
    )
    assert note(1, 1).endswith("below it.")
    assert note(0, 3) == (
        "To run the code of this page, which needs NumPy, Matplotlib and PyTorch, download the notebook."
    )


CORE = {name: name.encode() for name in extension.CORE} | {"package.json": b'{"version": "1.2.3"}'}


def test_without_pyodide_the_site_has_no_such_cells_and_says_why_in_one_line(small_book):
    def lay_pyodide():
        for name, content in CORE.items():
            path = small_book.folder / "node_modules/pyodide" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)

    config = (small_book.folder / "_config.yml").read_text()
    small_book.write("_config.yml", config.replace("    spoiled", "    live_cells: extensions\n    spoiled"))
    small_book.write_chapter("one", code="print(6 * 7)", tag="a-tag")
    small_book.write_chapter("two")
    site = small_book.folder / "_build/html"

    status, said = small_book.build()
    assert status == 0, said
    assert said.count("Pyodide is not installed") == 1
    assert "live-" not in small_book.page("one")
    assert not (site / "service-worker.js").exists()

    lay_pyodide()
    status, said = small_book.build()
    assert status == 0, said
    page = BeautifulSoup(small_book.page("one"), "html.parser")
    assert len(page.select(".live-cell")) == 1
    data = json.loads(page.select_one("script#live-cells").string)
    assert [found["source"] for found in data["cells"].values()] == ["print(6 * 7)"]
    assert (data["host"], data["distribution"]) == ("", "")
    assert not page.select("script:not([src]):not([type])[id^=live]")
    for name, content in CORE.items():
        if name != "package.json":
            assert (site / "_static/pyodide" / name).read_bytes() == content
    assert "1.2.3" in (site / "_static/pyodide/LICENSE").read_text()
    assert "live-cell" not in BeautifulSoup(small_book.page("two"), "html.parser").select_one("main").text

    before = (site / "service-worker.js").read_text()
    small_book.write("src/scaling_transformers/config.py", "changed = True")
    assert small_book.build()[0] == 0
    assert (site / "service-worker.js").read_text() != before  # what browsers keep is renewed

    shutil.rmtree(small_book.folder / "node_modules")
    assert small_book.build()[0] == 0
    assert not (site / "service-worker.js").exists()
    assert not (site / "_static/pyodide").exists()
    assert "live-cell" not in small_book.page("one")
