"""What in the built site comes from elsewhere: version, licence and SHA-256, for readers and for hosts.

The list is made of the files of the site itself, once all are there: ``_static/vendored.json`` names every
one, and the page with the marker below shows the projects. A script, style or font that is neither of this
book nor known here is listed as such; the tests of the site fail on it.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator
from fnmatch import fnmatch
from html import escape
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

from sphinx.application import Sphinx

KINDS = {
    ".js",
    ".mjs",
    ".cjs",
    ".css",
    ".map",
    ".wasm",
    ".whl",
    ".zip",
    ".woff",
    ".woff2",
    ".ttf",
    ".otf",
    ".eot",
}
"""What a browser would run, lay out or set letters with."""

MADE_HERE = ("documentation_options.js", "pygments.css", "live/package.zip")
"""Written by the build from the book's own settings and source, below ``_static``."""

_NAMED_BY_CONTENT = re.compile(r"-([0-9a-f]{12})\.(?:js|css)$")  # so is what the book's extensions lay

BEGIN, END = "<!-- vendored: begin -->", "<!-- vendored: end -->"


class Project(NamedTuple):
    """Whose files match ``patterns``; the version is that of a package, or found in one of the files."""

    name: str
    address: str
    licence: str
    patterns: tuple[str, ...]
    package: str | None = None
    stated: tuple[str, str] | None = None  # a file, and a pattern with the version as its group


PROJECTS = (
    Project(
        *("MathJax", "www.mathjax.org", "Apache-2.0", ("mathjax/*",)),
        stated=("mathjax/tex-chtml.js", r'VERSION="([\d.]+)"'),
    ),
    Project(
        *("Font Awesome Free", "fontawesome.com", "CC-BY-4.0 (icons), OFL-1.1 (fonts), MIT (code)"),
        ("vendor/fontawesome/*", "scripts/fontawesome.js*"),
        stated=("scripts/fontawesome.js.LICENSE.txt", r"Font Awesome Free ([\d.]+)"),
    ),
    Project(
        *("Bootstrap", "getbootstrap.com", "MIT", ("scripts/bootstrap.js*",)),
        stated=("scripts/bootstrap.js.LICENSE.txt", r"Bootstrap v([\d.]+)"),
    ),
    Project(
        *("PyData Sphinx Theme", "pydata-sphinx-theme.readthedocs.io", "BSD-3-Clause"),
        ("scripts/pydata-sphinx-theme.js*", "styles/pydata-sphinx-theme.css*", "styles/theme.css"),
        package="pydata-sphinx-theme",
    ),
    Project(
        *("Sphinx Book Theme", "sphinx-book-theme.readthedocs.io", "BSD-3-Clause"),
        ("scripts/sphinx-book-theme.js*", "styles/sphinx-book-theme.css*"),
        package="sphinx-book-theme",
    ),
    Project(
        *("Sphinx", "www.sphinx-doc.org", "BSD-2-Clause"),
        ("basic.css", "doctools.js", "language_data.js", "searchtools.js", "sphinx_highlight.js"),
        package="sphinx",
    ),
    Project(
        *("sphinx-copybutton", "sphinx-copybutton.readthedocs.io", "MIT"),
        ("copybutton.css", "copybutton.js", "copybutton_funcs.js"),
        package="sphinx-copybutton",
    ),
    Project(
        *("clipboard.js", "clipboardjs.com", "MIT", ("clipboard.min.js",)),
        stated=("clipboard.min.js", r"clipboard\.js v([\d.]+)"),
    ),
    Project(
        *("sphinx-togglebutton", "sphinx-togglebutton.readthedocs.io", "MIT", ("togglebutton.*",)),
        package="sphinx-togglebutton",
    ),
    Project(
        *(
            "sphinx-design",
            "sphinx-design.readthedocs.io",
            "MIT",
            ("sphinx-design.min.css", "design-tabs.js"),
        ),
        package="sphinx-design",
    ),
    Project(
        *("sphinx-exercise", "ebp-sphinx-exercise.readthedocs.io", "MIT", ("exercise.css",)),
        package="sphinx-exercise",
    ),
    Project("MyST-NB", "myst-nb.readthedocs.io", "BSD-3-Clause", ("mystnb.*.css",), package="myst-nb"),
    Project(
        *("Pyodide", "pyodide.org", "MPL-2.0", ("pyodide/*",)),
        stated=("pyodide/LICENSE", r"Pyodide ([\d.]+),"),
    ),
)


def own_hashes(root: Path, static_folders: list[str]) -> set[str]:
    """SHA-256 of every script and style that is part of the book's repository."""
    folders = [*(root / folder for folder in static_folders), root / "src", root / "extensions"]
    return {_sha256(path) for folder in folders for path in folder.rglob("*") if path.suffix in KINDS}


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def listing(static: Path, own: set[str]) -> dict[str, Any]:
    """What lies in the folder ``_static`` of a site: the projects, and the files of none."""
    files = {
        path.relative_to(static).as_posix(): path for path in sorted(static.rglob("*")) if path.is_file()
    }
    projects = []
    left = {name: _sha256(path) for name, path in files.items() if path.suffix in KINDS}
    for project in PROJECTS:
        names = [name for name in files if any(fnmatch(name, pattern) for pattern in project.patterns)]
        if not names:
            continue
        hashes = {name: left.pop(name, None) or _sha256(files[name]) for name in names}
        found = {
            "name": project.name,
            "version": _version(project, static),
            "licence": project.licence,
            "address": f"https://{project.address}",
            "files": hashes,
        }
        projects.append(found)
    unknown = {
        name: digest
        for name, digest in left.items()
        if digest not in own and name not in MADE_HERE and not _named_by(digest, name)
    }
    return {"projects": projects, "unknown": unknown}


def _named_by(digest: str, name: str) -> bool:
    found = _NAMED_BY_CONTENT.search(name)
    return found is not None and digest.startswith(found[1])


def _version(project: Project, static: Path) -> str:
    if project.package:
        return version(project.package)
    assert project.stated is not None
    name, pattern = project.stated
    path = static / name
    found = re.search(pattern, path.read_text("utf-8")) if path.is_file() else None
    return found[1] if found else "unknown"


def _items(projects: list[dict[str, Any]]) -> Iterator[str]:
    for project in projects:
        n = len(project["files"])
        yield (
            f'<li><a class="reference external" href="{project["address"]}">{escape(project["name"])}</a> '
            f"{escape(project['version'])}: {escape(project['licence'])}, {n} file{'s' * (n != 1)}</li>"
        )


def list_files(app: Sphinx, exception: Exception | None) -> None:
    """Write the list, and show it on the pages that have a place for it."""
    if exception is not None or app.builder.format != "html":
        return
    static = Path(app.outdir) / "_static"
    found = listing(static, own_hashes(Path(app.srcdir), app.config.html_static_path))
    (static / "vendored.json").write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    shown = f"{BEGIN}<ul>{''.join(_items(found['projects']))}</ul>{END}"
    for page in Path(app.outdir).glob("chapters/*.html"):
        text = page.read_text("utf-8")
        if BEGIN in text:
            page.write_text(
                re.sub(f"{BEGIN}.*?{END}", lambda match: shown, text, flags=re.DOTALL), encoding="utf-8"
            )


def setup(app: Sphinx) -> dict[str, Any]:
    app.connect("build-finished", list_files, priority=950)  # after everything that lays files
    return {"parallel_read_safe": True, "parallel_write_safe": True}
