"""Cells that a reader can change and run in the page, by Pyodide, with nothing from elsewhere.

Which cells they are is found at the build, from the code: the statements of earlier cells that a cell needs
(`slices.py`) may import only what a browser's Python has without NumPy, and a trial run of them in a Python
without NumPy must print what the page shows. Pyodide's core lies beside the pages, from its npm package;
where that is not installed the site is built without such cells.

Built on Pyodide itself, in a worker, with some 300 lines of script of our own. JupyterLite with its Pyodide
kernel is a second site of 16 MB beside Pyodide, with an editor, a file system and notebooks, which a cell
amid prose does not need. thebe-lite must lie at the root of its host, as its own page says, where a book in
a folder, or in several versions, is not.
"""

from __future__ import annotations

import ast
import hashlib
import io
import json
import re
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Collection
from html import escape
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from docutils import nodes
from executed import executed_notebook
from nbformat import NotebookNode
from slices import code, imports, parsed, what_it_needs
from sphinx.application import Sphinx
from sphinx.config import Config
from sphinx.util import logging

logger = logging.getLogger(__name__)

PACKAGE = "scaling_transformers"
CORE = ("pyodide.js", "pyodide.asm.js", "pyodide.asm.wasm", "python_stdlib.zip", "pyodide-lock.json")
"""What a page needs of Pyodide's npm package."""
WITHOUT_NUMPY = ("accelerators", "accounting", "config", "footprint", "huggingface", "presets", "scaling")
"""Parts of the package that work on single numbers where NumPy is not installed."""
STAND_INS = {(f"{PACKAGE}.figures", "keep"), (f"{PACKAGE}.figures", "decide")}
NOT_IN_A_PAGE = {
    "asyncio",
    "multiprocessing",
    "socket",
    "ssl",
    "subprocess",
    "threading",
    "tkinter",
    "urllib",
}
WITH_NUMPY = {"numpy", "matplotlib", "cycler"} | sys.stdlib_module_names
HERE = Path(__file__).parent / "live"
HIDDEN = {"remove-cell", "remove-input", "hide-input"}
IN_WORDS = {"numpy": "NumPy", "matplotlib": "Matplotlib", "torch": "PyTorch"}
TRIAL_SECONDS = 300


def package_zip(source: Path) -> bytes:
    """The parts of the package that need no NumPy, with the tables that they read, as a zip file."""
    root = source / PACKAGE
    modules = [*root.glob("_*.py"), *(root / f"{part}.py" for part in WITHOUT_NUMPY)]
    for part in WITHOUT_NUMPY:
        modules += (root / part).glob("*.py")
    found = [path for path in modules if path.is_file()]
    stand_in = (HERE / "figures_stand_in.py").read_bytes()
    return _zipped(source, found, {f"{PACKAGE}/figures/__init__.py": stand_in})


def numpy_zip(source: Path) -> bytes:
    """All of the package that needs no more than NumPy and Matplotlib."""
    found = [*modules_with_numpy(source).values()]
    return _zipped(source, found, {"myst_nb.py": (HERE / "glue_stand_in.py").read_bytes()})


def _zipped(source: Path, modules: list[Path], instead: dict[str, bytes]) -> bytes:
    """Modules and the tables that they name; the same files give the same bytes, for browsers keep them."""
    contents = {path.relative_to(source).as_posix(): path.read_bytes() for path in modules}
    named = set(re.findall(rb'"([\w./-]+\.csv)"', b"".join(contents.values())))
    for path in (source / PACKAGE / "data" / name.decode() for name in sorted(named)):
        if path.is_file():
            contents[path.relative_to(source).as_posix()] = path.read_bytes()
    contents |= {**instead, "live_runner.py": (HERE / "live_runner.py").read_bytes()}
    written = io.BytesIO()
    with zipfile.ZipFile(written, "w") as archive:
        for name in sorted(contents):
            entry = zipfile.ZipInfo(name, (2026, 1, 1, 0, 0, 0))
            archive.writestr(entry, contents[name], zipfile.ZIP_DEFLATED, compresslevel=9)
    return written.getvalue()


def modules_with_numpy(source: Path) -> dict[str, Path]:
    """Modules that import nothing beyond NumPy, Matplotlib and Python's own, through any chain."""
    files: dict[str, Path] = {}
    for path in (source / PACKAGE).rglob("*.py"):
        parts = path.relative_to(source).with_suffix("").parts
        files[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    asked: dict[str, set[str]] = {}
    for name, path in files.items():
        asked[name] = {name.rpartition(".")[0]} - {""}
        body = ast.parse(path.read_text("utf-8")).body
        for module, taken in imports(
            [node for node in body if isinstance(node, ast.Import | ast.ImportFrom)]
        ):
            asked[name].add(f"{module}.{taken}" if f"{module}.{taken}" in files else module)
    while True:
        wrong = {
            name
            for name in files
            for module in asked[name]
            if module not in files and (module.split(".")[0] not in WITH_NUMPY or module.startswith(PACKAGE))
        }
        if not wrong:
            return files
        files = {name: path for name, path in files.items() if name not in wrong}


def runs_without_numpy(module: str, name: str) -> bool:
    """Whether an import works in a page as the site serves it."""
    root, *below = module.split(".")
    if root != PACKAGE:
        return root in sys.stdlib_module_names and root not in NOT_IN_A_PAGE
    if (module, name) in STAND_INS:
        return True
    return (below[0] if below else name) in (*WITHOUT_NUMPY, "TransformerConfig", "preset", "")


def runs_with_numpy(module: str, name: str, there: Collection[str]) -> bool:
    """Whether an import works in a page that also has NumPy, Matplotlib and the modules ``there``."""
    if module.split(".")[0] == PACKAGE:
        return module in there
    return module.split(".")[0] in WITH_NUMPY and module.split(".")[0] not in NOT_IN_A_PAGE


def printed(cell: NotebookNode) -> str | None:
    """What a cell printed, as text; None if it also drew something, or printed nothing."""
    said = ""
    for output in cell.get("outputs", []):
        if output.output_type == "stream" and output.name == "stdout":
            said += output.text
        elif output.output_type == "execute_result" and set(output.data) == {"text/plain"}:
            said += output.data["text/plain"] + "\n"
        elif not all(kind.startswith("application/papermill.record") for kind in output.get("data", {"": 0})):
            return None
    return said or None


def candidates(cells: list[NotebookNode]) -> dict[int, tuple[list[ast.stmt], set[tuple[str, str]]]]:
    """Cells whose names can all be traced: what they need of earlier ones, and all that is imported."""
    sources = [cell.source if cell.cell_type == "code" else "" for cell in cells]
    found = {}
    for index, cell in enumerate(cells):
        tags = cell.metadata.get("tags", [])
        if not sources[index] or not cell.get("outputs") or HIDDEN & {*tags}:
            continue
        own = parsed(sources[index])
        needed, unknown = what_it_needs(sources, index)
        if own and not unknown:
            found[index] = (needed, imports([*needed, *own]))
    return found


def names_of_the_package(cells: list[NotebookNode], index: int) -> str:
    """Imports of the cells before, as far as they work in a page: what a reader may want to use."""
    lines: dict[str, None] = {}
    for cell in cells[:index]:
        if cell.cell_type != "code":
            continue
        for node in parsed(cell.source):
            if isinstance(node, ast.ImportFrom):
                kept = [a for a in node.names if runs_without_numpy(node.module or "", a.name)]
                lines |= {code([ast.ImportFrom(node.module, [alias], 0)]): None for alias in kept}
            elif isinstance(node, ast.Import):
                kept = [a for a in node.names if runs_without_numpy(a.name, "")]
                lines |= {code([ast.Import([alias])]): None for alias in kept}
    return "\n".join(lines)


def live_cells(cells: list[NotebookNode], zip_file: Path) -> dict[int, dict[str, str]]:
    """The cells that print in a Python without NumPy what they printed at the build."""
    asked = {}
    for index, (needed, imported) in candidates(cells).items():
        if printed(cells[index]) and all(runs_without_numpy(*each) for each in imported):
            before = f"{names_of_the_package(cells, index)}\n{code(needed)}".strip()
            asked[index] = {"before": before, "source": cells[index].source}
    if not asked:
        return {}
    # Isolated and without site-packages: there is no NumPy, as in the page.
    done = subprocess.run(
        [sys.executable, "-I", "-S", str(HERE / "live_runner.py"), str(zip_file)],
        input=json.dumps([*asked.values()]),
        stdout=subprocess.PIPE,
        text=True,
        timeout=TRIAL_SECONDS,
        check=True,
    )
    results = dict(zip(asked, json.loads(done.stdout), strict=True))
    return {
        index: cell
        for index, cell in asked.items()
        if not results[index]["error"] and results[index]["printed"] == printed(cells[index])
    }


def cells_with_numpy(cells: list[NotebookNode], there: Collection[str]) -> dict[int, dict[str, Any]]:
    """The cells that need NumPy or Matplotlib, and no more."""
    found = {}
    for index, (needed, imported) in candidates(cells).items():
        if not all(runs_with_numpy(module, name, there) for module, name in imported):
            continue
        drawn = any(module.startswith(("matplotlib", f"{PACKAGE}.figures")) for module, _ in imported)
        style = f"from {PACKAGE}.figures import use_style\nuse_style()\n" if drawn else ""
        found[index] = {
            "before": style + code(needed),
            "source": cells[index].source,
            "packages": ["numpy", "matplotlib"] if drawn else ["numpy"],
        }
    return found


def note_in_words(n_live: int, n_all: int, download: str, needs: list[str]) -> str:
    """What a chapter says of its cells before its first heading.

    Where it speaks of buttons it is hidden until the page's script has made them.
    """
    link = f'<a href="{download}" download>download the notebook</a>'
    more = " and ".join([", ".join(needs[:-1]), needs[-1]] if needs[1:] else needs)
    if not n_live:
        which = f", which needs {more}" if more else ""
        return f'<p class="live-note">To run the code of this page{which}, {link}.</p>'
    what, them = ("One cell", "it") if n_live == 1 else (f"{n_live} cells", "them")
    which = f", which need {more}" if more else ""
    rest = "" if n_live == n_all else f" To run the others{which}, {link}."
    return (
        f'<p class="live-note" hidden><strong>{what} of this chapter can be changed and run in this page'
        f"</strong>: look for “Run this here” below {them}.{rest}</p>"
    )


def megabytes(n_byte: int) -> str:
    return f"{n_byte / 1e6:.1f} MB"


class Site:
    """What of Pyodide and the package the site serves; nothing where Pyodide is not installed."""

    def __init__(self, app: Sphinx, config: Config) -> None:
        self.source = Path(app.srcdir) / "src"
        self.npm = Path(app.srcdir) / "node_modules" / "pyodide"
        self.there = all((self.npm / name).is_file() for name in CORE)
        self.state = ""
        if not self.there:
            return
        self.version = json.loads((self.npm / "package.json").read_text("utf-8"))["version"]
        self.package = package_zip(self.source)
        self.distribution = config.live_cells_distribution.format(version=self.version)
        self.files = {f"_static/pyodide/{name}": (self.npm / name).read_bytes() for name in CORE}
        self.files["_static/live/package.zip"] = self.package
        if self.distribution:
            self.modules = modules_with_numpy(self.source)
            self.files["_static/live/numpy.zip"] = numpy_zip(self.source)
        self.files["_static/live-worker.js"] = (HERE / "live-worker.js").read_bytes()
        self.n_byte = sum(map(len, self.files.values()))
        self.hashes = {name: hashlib.sha256(content).hexdigest() for name, content in self.files.items()}
        worker = (HERE / "service-worker.js").read_text("utf-8")
        summary = json.dumps([self.hashes, worker, self.distribution], sort_keys=True)
        self.state = hashlib.sha256(summary.encode()).hexdigest()[:16]
        self.service_worker = worker.replace('"VERSION"', json.dumps(self.state)).replace(
            '"FILES"', json.dumps(sorted(self.files))
        )

    def write(self, folder: Path) -> None:
        """Lay the files into the site, and beside Pyodide its version, licence and hashes."""
        for name, content in self.files.items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_bytes(content)
        (folder / "service-worker.js").write_text(self.service_worker, encoding="utf-8")
        hashes = "".join(f"{self.hashes[f'_static/pyodide/{name}']}  {name}\n" for name in CORE)
        (folder / "_static/pyodide/SHA256SUMS").write_text(hashes, encoding="utf-8")
        (folder / "_static/pyodide/LICENSE").write_text(
            f"Pyodide {self.version}, https://pyodide.org, Mozilla Public License 2.0 (https://mozilla.org/MPL/2.0/).\n"
            "Its files are those of the npm package pyodide, unchanged; their source is at\n"
            f"https://github.com/pyodide/pyodide/tree/{self.version}.\n"
            "They hold CPython and its standard library, Python Software Foundation License.\n",
            encoding="utf-8",
        )

    @staticmethod
    def remove(folder: Path) -> None:
        """Take away what an earlier build laid there."""
        for name in ("_static/pyodide", "_static/live"):
            shutil.rmtree(folder / name, ignore_errors=True)
        for name in ("_static/live-worker.js", "service-worker.js"):
            (folder / name).unlink(missing_ok=True)


def prepare(app: Sphinx, config: Config) -> None:
    """See what is installed. Where that or the package has changed, every page is written again."""
    app.live_site = site = Site(app, config)  # type: ignore[attr-defined]
    config.live_cells_state = site.state
    if not site.there:
        logger.info("Pyodide is not installed (npm ci): the site is built without cells that run in a page.")


def mark_cells(app: Sphinx, doctree: nodes.document, docname: str) -> None:
    """Mark the cells of a chapter that run in a page, and leave their code there as data."""
    site: Site = app.live_site  # type: ignore[attr-defined]
    if app.builder.format != "html" or not site.there:
        return
    notebook = executed_notebook(app, docname)
    if notebook is None:
        return
    zip_file = Path(app.doctreedir) / "live_package.zip"
    if not zip_file.is_file() or zip_file.read_bytes() != site.package:
        zip_file.write_bytes(site.package)
    live: dict[int, dict[str, Any]] = {**live_cells(notebook.cells, zip_file)}
    if site.distribution:
        live = cells_with_numpy(notebook.cells, site.modules) | live
    n_all = 0
    for container in list(doctree.findall(nodes.container)):
        if container.get("nb_element") != "cell_code":
            continue
        n_all += 1
        index = container["cell_index"]
        if index not in live:
            continue
        mark = nodes.raw("", f'<div class="live-cell" data-cell="{index}"></div>', format="html")
        place = next(
            (
                i
                for i, child in enumerate(container.children)
                if child.get("nb_element") == "cell_code_output"
            ),
            len(container.children),
        )
        container.insert(place, mark)
    roots = {module.split(".")[0] for module, _ in _all_imports(notebook.cells)}
    needs = [words for root, words in IN_WORDS.items() if root in roots]
    _leave_data(app, doctree, docname, live, note_in_words(len(live), n_all, _download(docname), needs))


def _all_imports(cells: list[NotebookNode]) -> set[tuple[str, str]]:
    sources = [cell.source for cell in cells if cell.cell_type == "code"]
    return set().union(*(imports(parsed(source)) for source in sources))


def _download(docname: str) -> str:
    return escape(f"{'../' * docname.count('/')}_sources/{docname}.ipynb")


def _leave_data(
    app: Sphinx, doctree: nodes.document, docname: str, live: dict[int, dict[str, Any]], note: str
) -> None:
    site: Site = app.live_site  # type: ignore[attr-defined]
    chapter = next(iter(doctree.findall(nodes.section)), None)
    if chapter is None:
        return
    place = next((i for i, child in enumerate(chapter.children) if isinstance(child, nodes.section)), None)
    chapter.insert(len(chapter.children) if place is None else place, nodes.raw("", note, format="html"))
    if not live:
        return
    data = {
        "size": megabytes(site.n_byte),
        "host": urlsplit(site.distribution).hostname or "",
        "distribution": site.distribution,
        "cells": live,
    }
    text = json.dumps(data, ensure_ascii=False).replace("<", "\\u003c")
    doctree.append(
        nodes.raw("", f'<script type="application/json" id="live-cells">{text}</script>', format="html")
    )


def add_scripts(app: Sphinx, pagename: str, template: str, context: dict[str, Any], doctree: Any) -> None:
    """Name the script and the style of the cells, on the pages that have some."""
    if 'class="live-note"' in context.get("body", ""):
        app.add_css_file("live-cells.css")
        app.add_js_file("live-cells.js", defer="defer")


def lay_files(app: Sphinx, exception: Exception | None) -> None:
    """Lay Pyodide, the package and the workers into the site, or take them out of it."""
    if exception is not None or app.builder.format != "html":
        return
    site: Site = app.live_site  # type: ignore[attr-defined]
    if site.there:
        site.write(Path(app.outdir))
    else:
        site.remove(Path(app.outdir))


def setup(app: Sphinx) -> dict[str, Any]:
    app.add_config_value("live_cells_distribution", "", "html", types=[str])
    app.add_config_value("live_cells_state", "", "html", types=[str])
    app.connect("config-inited", prepare)
    app.connect("doctree-resolved", mark_cells)
    app.connect("html-page-context", add_scripts)
    app.connect("build-finished", lay_files)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
