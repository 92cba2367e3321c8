"""Run a chapter again when a module that it imports has changed.

The execution cache looks at a chapter's code cells and at the kernel that its top matter names, at nothing
else. This extension writes a fingerprint of the package modules behind the cells into that entry: when one of
them changes, Sphinx reads the chapter again and the cache sees a different notebook. If the cells read other
files, the top matter names them, by patterns from the book's folder: ``reads: [coursework/*.md]``.
"""

from __future__ import annotations

import ast
import hashlib
import json
import re
from collections.abc import Collection, Iterable
from pathlib import Path
from typing import Any

import yaml
from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment

PACKAGE = "scaling_transformers"


def imported_modules(source: str, *, inside: str = "") -> set[str]:
    """Dotted names that Python source imports from the package; ``inside`` resolves relative imports."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            parents = inside.split(".")[: -node.level] if node.level else []
            base = ".".join([*parents, *([node.module] if node.module else [])])
            names.add(base)
            names.update(f"{base}.{alias.name}" for alias in node.names)
    return {name for name in names if name.split(".")[0] == PACKAGE}


def module_files(name: str, source_root: Path) -> list[Path]:
    """The files behind a dotted name: the modules on the way to it, and what is not Python beside them."""
    found: list[Path] = []
    path = source_root
    for part in name.split("."):
        path = path / part
        if (path / "__init__.py").is_file():
            found += [p for p in path.iterdir() if p.is_file() and p.suffix != ".py"] + [path / "__init__.py"]
        elif path.with_suffix(".py").is_file():
            found.append(path.with_suffix(".py"))
    return found


def dependencies(source: str, source_root: Path) -> list[Path]:
    """Every package file that Python source depends on, through any chain of imports, and ``data/``."""
    try:
        waiting = list(imported_modules(source))
    except SyntaxError:  # IPython's own syntax, or an error that the kernel will report: any file may matter
        return sorted(p for p in (source_root / PACKAGE).rglob("*") if p.is_file() and p.suffix != ".pyc")
    seen: set[str] = set()
    found: set[Path] = set()
    while waiting:
        name = waiting.pop()
        if name in seen:
            continue
        seen.add(name)
        for path in module_files(name, source_root):
            if path in found:
                continue
            found.add(path)
            if path.suffix == ".py":
                inside = ".".join(path.relative_to(source_root).with_suffix("").parts)
                waiting += imported_modules(path.read_text(encoding="utf-8"), inside=inside)
    if found:
        data = (source_root / PACKAGE / "data").rglob("*")
        found.update(p for p in data if p.is_file() and p.suffix != ".pyc")
    return sorted(found)


def fingerprint(source: str, source_root: Path, *, beside: Iterable[Path] = ()) -> str:
    """Hash of the package files that Python source depends on, and of the files ``beside`` them."""
    digest = hashlib.sha256()
    for path in dependencies(source, source_root):
        digest.update(path.relative_to(source_root).as_posix().encode() + b"\0" + path.read_bytes())
    for path in beside:
        digest.update(path.name.encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()


def top_matter(text: str) -> tuple[re.Match[str] | None, dict[str, Any]]:
    """Where a page's top matter stands, and what it says."""
    match = re.match(r"---\n(.*?\n)---\n", text, re.DOTALL)
    top = yaml.safe_load(match[1]) if match else None
    return match, top if isinstance(top, dict) else {}


def files_read(text: str, root: Path) -> list[Path]:
    """The files that a page's top matter says its cells read."""
    return [path for pattern in top_matter(text)[1].get("reads", []) for path in sorted(root.glob(pattern))]


def code_of_chapter(text: str) -> str:
    """The Python in a MyST chapter's code cells; lines that are IPython's own are left out."""
    lines: list[str] = []
    part = "prose"  # then, in a cell: "head", maybe "options" between two lines of dashes, "code"
    for line in text.splitlines():
        if line.lstrip("`:").startswith("{code-cell}"):  # the fence may be longer than three
            part = "head"
        elif part != "prose" and line.startswith(("```", ":::")):
            part = "prose"
        elif part in ("head", "options") and line.strip() == "---":
            part = "options" if part == "head" else "code"
        elif part == "code" or (part == "head" and line.strip() and not line.startswith(":")):
            part = "code"
            if not line.lstrip().startswith(("%", "!")):
                lines.append(line)
    return "\n".join(lines)


def _chapter_fingerprint(app: Sphinx, text: str) -> str:
    root = Path(app.srcdir)
    return fingerprint(code_of_chapter(text), root / "src", beside=files_read(text, root))


def chapters_with_changed_sources(
    app: Sphinx,
    env: BuildEnvironment,
    added: Collection[str],
    changed: Collection[str],
    removed: Collection[str],
) -> list[str]:
    """Chapters whose fingerprint is not the one that they were last read with."""
    known: dict[str, str] = getattr(env, "book_fingerprints", {})
    outdated = []
    for docname in set(known) & env.found_docs:
        path = Path(env.doc2path(docname))
        if path.is_file() and _chapter_fingerprint(app, path.read_text("utf-8")) != known[docname]:
            outdated.append(docname)
    return outdated


def mark_with_fingerprint(app: Sphinx, docname: str, source: list[str]) -> None:
    """Write the fingerprint into the kernel's entry of a chapter's top matter, where the cache looks."""
    match, top = top_matter(source[0])
    if match is None or "kernelspec" not in top:
        return
    if not hasattr(app.env, "book_fingerprints"):
        app.env.book_fingerprints = {}  # type: ignore[attr-defined]  # kept with the environment
    known: dict[str, str] = app.env.book_fingerprints  # type: ignore[attr-defined]
    known[docname] = _chapter_fingerprint(app, source[0])
    top["kernelspec"]["fingerprint"] = known[docname]
    # JSON is YAML too. All on one line, with empty lines after it: the chapter's lines keep their numbers.
    source[0] = "---\n" + json.dumps(top) + "\n" * match[1].count("\n") + source[0][match.end(1) :]


def setup(app: Sphinx) -> dict[str, Any]:
    app.connect("env-get-outdated", chapters_with_changed_sources)
    app.connect("source-read", mark_with_fingerprint)
    return {"version": "1", "env_version": 1, "parallel_read_safe": False, "parallel_write_safe": True}
