"""A chapter's notebook made to stand alone: it installs what it needs, and its prose is plain Markdown.

The chapters are written in MyST, which a bare Jupyter shows as raw text. In the notebook that a reader takes
along each role and directive is therefore replaced by what the page shows: a glued value, the number of a
figure, the authors of a citation. One that is not known here is reported and so fails the build.
"""

from __future__ import annotations

import ast
import re
import subprocess
from collections.abc import Callable, Iterator
from typing import Any

import ledger
import reading_time
from docutils import nodes
from nbformat import NotebookNode
from nbformat.v4 import new_code_cell, new_markdown_cell
from sphinx.addnodes import pending_xref
from sphinx.application import Sphinx
from sphinx.util import logging

logger = logging.getLogger(__name__)

PACKAGE = "scaling-transformers"
DEFAULT_URL = "https://github.com/executablebooks/jupyter-book"
"""What Jupyter Book takes for the repository of a book that names none."""

_INLINE = re.compile(r"\{([a-z][\w:.-]*)\}`([^`]+)`|(`+)(?!`)(?:.*?[^`])\3(?!`)", re.DOTALL)
_LINK = re.compile(r"(?<!!)\[((?:[^\[\]]|\\\[|\\\])*)\]\(([^()\s]+)\)")
_FENCE = re.compile(r"(`{3,}|:{3,})\s*(?:\{([\w-]+)\})?\s*(.*)")
_HIDDEN = {"hide-input", "hide-cell", "remove-input", "remove-cell"}


def repository(app: Sphinx) -> str | None:
    """The address of the book's repository, as ``_config.yml`` names it, or None."""
    url = str(app.config.html_theme_options.get("repository_url") or "").rstrip("/").removesuffix(".git")
    return url if url and url != DEFAULT_URL else None


def revision(app: Sphinx) -> str:
    """The tag, or else the commit, that is built; the branch where the source is no git checkout."""
    for command in (["describe", "--tags", "--exact-match"], ["rev-parse", "HEAD"]):
        done = subprocess.run(["git", *command], cwd=app.srcdir, capture_output=True, text=True)
        if done.returncode == 0:
            return done.stdout.strip()
    return str(app.config.html_theme_options.get("repository_branch") or "main")


def installing_cell(url: str | None, rev: str) -> str:
    """Source of the first cell: it installs the package where it is absent, or says how to."""
    if url:
        then = f'%pip install --quiet "{PACKAGE}[book] @ git+{url}@{rev}"'
    else:
        then = (
            "raise ModuleNotFoundError(\n"
            f'        "This notebook needs the package {PACKAGE}. In a clone of the book, run: "\n'
            "        'pip install -e \".[book]\"'\n"
            "    )"
        )
    return (
        "# Installs the book's package where it is absent; where it is present this does nothing.\n"
        "from importlib.util import find_spec\n\n"
        f'if find_spec("{PACKAGE.replace("-", "_")}") is None:\n    {then}'
    )


def glued_values(notebook: NotebookNode) -> dict[str, Any]:
    """The values that the cells of an executed notebook kept for the prose."""
    values = {}
    for cell in notebook.cells:
        for output in cell.get("outputs", []):
            kept = output.get("metadata", {}).get("scrapbook", {})
            text = output.get("data", {}).get(f"{kept.get('mime_prefix', '')}text/plain")
            if kept.get("name") and text is not None:
                try:
                    values[kept["name"]] = ast.literal_eval(text)
                except (SyntaxError, ValueError):
                    values[kept["name"]] = text
    return values


class Prose:
    """Turns the MyST of one chapter into plain Markdown, with what the page shows in its place."""

    def __init__(self, app: Sphinx, docname: str, doctree: nodes.document, values: dict[str, Any]) -> None:
        self.app, self.docname, self.values = app, docname, values
        self.base = str(app.config.html_baseurl or "").rstrip("/")
        self.included = (node.astext() for node in doctree.findall(nodes.literal_block) if "source" in node)
        self.tables = iter(
            list(doctree.findall(lambda node: "ledger" in getattr(node, "attributes", {}).get("classes", [])))
        )
        self.titles = {}
        for node in doctree.findall(nodes.Admonition):
            label = node.get("target_label") or node.get("label")
            if label and len(node):
                title = " ".join(
                    part.astext() for part in node.children if isinstance(part, nodes.TextElement)
                )
                self.titles[node.get("type"), label] = title
        self.directives: dict[str, Callable[[str, dict[str, str], list[str]], list[str]]] = {
            "math": self._math,
            "admonition": lambda title, options, body: _quoted(title, self._lines(body)),
            "exercise": lambda title, options, body: _quoted(
                f"Exercise: {title}", self._lines(body), anchor=options.get("label")
            ),
            "solution-start": lambda label, options, body: [f"**Solution to “{self._exercise(label)}”**"],
            "solution-end": lambda label, options, body: ["*End of the solution.*"],
            "grid": lambda columns, options, body: self._lines(body),
            "grid-item-card": lambda title, options, body: ["", f"**{title}**", "", *self._lines(body), ""],
            "literalinclude": lambda path, options, body: [
                "```python",
                *next(self.included).split("\n"),
                "```",
            ],
            "ledger": lambda nothing, options, body: list(self._table(next(self.tables))),
        }

    def plain(self, text: str) -> str:
        """A cell's MyST, or a caption's, as plain Markdown."""
        return "\n".join(self._lines(text.split("\n")))

    # -- blocks --------------------------------------------------------------------------------------------

    def _lines(self, lines: list[str]) -> list[str]:
        out: list[str] = []
        running: list[str] = []

        def flush() -> None:
            if running:
                out.extend(self._inline("\n".join(running)).split("\n"))
                running.clear()

        at = 0
        while at < len(lines):
            line = lines[at]
            fence = _FENCE.match(line)
            if fence:
                flush()
                end = _closing(lines, at, fence[1])
                body = lines[at + 1 : end]
                out += self._directive(fence[2], fence[3], body) if fence[2] else lines[at : end + 1]
                at = end + 1
                continue
            if target := re.fullmatch(r"\(([\w-]+)\)=\s*", line):
                flush()
                out.append(f'<a id="{target[1]}"></a>')
                out.append("")
            elif not line.startswith("%"):  # a comment of MyST
                running.append(line)
            at += 1
        flush()
        return out

    def _directive(self, name: str, argument: str, body: list[str]) -> list[str]:
        if name not in self.directives:
            self._unknown(f"directive {name!r}")
            return body
        options = {}
        while body and (option := re.match(r":([\w-]+):\s*(.*)", body[0])):
            options[option[1]] = option[2]
            body = body[1:]
        return self.directives[name](self._inline(argument.strip()), options, body)

    def _math(self, argument: str, options: dict[str, str], body: list[str]) -> list[str]:
        label = options.get("label")
        tag = [rf"\tag{{{self._equation(label).strip('()')}}}"] if label else []
        return ["$$", *[line for line in body if line.strip()], *tag, "$$"]

    def _exercise(self, label: str) -> str:
        return self.titles.get(("exercise", label), label).removeprefix("Exercise").strip(" ()")

    @staticmethod
    def _table(table: nodes.Node) -> Iterator[str]:
        for number, row in enumerate(table.findall(nodes.row)):
            cells = [
                entry.astext().replace("\n", " ").replace("|", r"\|") for entry in row.findall(nodes.entry)
            ]
            yield f"| {' | '.join(cells)} |"
            if number == 0:
                yield "|" + " --- |" * len(cells)

    # -- within a line -------------------------------------------------------------------------------------

    def _inline(self, text: str) -> str:
        kept: list[str] = []

        def role(match: re.Match[str]) -> str:
            if match[1]:
                return self._role(match[1], match[2])
            kept.append(match[0])
            return f"\x00{len(kept) - 1}\x00"  # code is left alone

        text = _LINK.sub(self._link, _INLINE.sub(role, text))
        return re.sub("\x00(\\d+)\x00", lambda match: kept[int(match[1])], text)

    def _role(self, name: str, text: str) -> str:
        if name == "glue:text":
            key, _, form = text.partition(":")
            if key in self.values:
                return format(self.values[key], form)
        elif name.startswith("cite:"):
            return self._resolved("cite", name.removeprefix("cite:"), text)
        elif name == "numref":
            return self._resolved("std", name, text)
        elif name == "eq":
            return self._equation(text)
        elif name == "ledger":
            return str(ledger.count(self.app.env, text))
        elif name == "reading-hours":
            return reading_time.hours(self.app.env, text, self.docname)
        self._unknown(f"role {name!r} of {text!r}")
        return text

    def _equation(self, label: str) -> str:
        return self._resolved("math", "eq", label)

    def _resolved(self, domain: str, kind: str, target: str) -> str:
        """What Sphinx writes in the place of a reference."""
        shown = nodes.inline("", target)
        asked = pending_xref("", shown, refdomain=domain, reftype=kind, reftarget=target, refexplicit=False)
        asked["refdoc"] = self.docname
        asked["refwarn"] = False
        found = self.app.env.get_domain(domain).resolve_xref(
            self.app.env, self.docname, self.app.builder, kind, target, asked, shown
        )
        if found is None:
            self._unknown(f"{kind} {target!r}")
            return target
        return found.astext()

    def _link(self, match: re.Match[str]) -> str:
        """A link to another page leads to the site, if that has an address; if not, its words are left."""
        words, target = match[1], match[2]
        if re.match(r"[a-z]+:", target) or target.startswith("#"):
            return match[0]
        page, _, fragment = target.partition("#")
        labels = self.app.env.get_domain("std").anonlabels  # type: ignore[attr-defined]
        home = self.docname.rpartition("/")[0]
        docname = f"{home}/{page.removesuffix('.md')}".lstrip("/")
        if docname not in self.app.env.found_docs:
            docname, fragment = labels.get(page.lower(), ("", ""))[:2]
        if docname == self.docname and fragment:
            return f"[{words}](#{fragment})"
        if docname and self.base:
            return f"[{words}]({self.base}/{docname}.html{'#' if fragment else ''}{fragment})"
        return words

    def _unknown(self, what: str) -> None:
        logger.warning(
            "the notebook to take along has no plain words for the %s",
            what,
            location=self.docname,
            type="book",
        )


def _closing(lines: list[str], start: int, fence: str) -> int:
    """The line that closes the block that ``start`` opens; the last if none does."""
    depth = 0
    for at in range(start + 1, len(lines)):
        line = lines[at].strip()
        # Within colons a shorter fence is a block in the block; an admonition of four may end with three.
        if re.fullmatch(rf"{re.escape(fence[0])}{{{len(fence)},}}", line):
            return at
        if fence[0] == ":" and (match := re.match(r"(:{3,})(\{)?", line)):
            if match[2]:
                depth += 1
            elif depth:
                depth -= 1
            else:
                return at
    return len(lines) - 1


def _quoted(title: str, body: list[str], *, anchor: str | None = None) -> list[str]:
    """A block with a title, set off from the prose."""
    head = ([f'<a id="{anchor}"></a>', ""] if anchor else []) + [f"> **{title}**", ">"]
    body = "\n".join(body).strip("\n").split("\n")
    return head + [f"> {line}".rstrip() for line in body]


def stand_alone(app: Sphinx, docname: str, doctree: nodes.document, notebook: NotebookNode) -> NotebookNode:
    """Make an executed notebook one that a reader can take anywhere; it is changed in place."""
    prose = Prose(app, docname, doctree, glued_values(notebook))
    cells = [new_code_cell(installing_cell(repository(app), revision(app)), metadata={"tags": ["install"]})]
    for cell in notebook.cells:
        figure = cell.metadata.pop("mystnb", {}).get("figure", {})
        cells.append(cell)
        if cell.cell_type == "markdown":
            cell.source = prose.plain(cell.source)
            continue
        if _HIDDEN & set(cell.metadata.get("tags", [])):
            cell.metadata["jupyter"] = {"source_hidden": True}  # folded away, as on the page
        if figure.get("caption"):
            number = f"**{prose._resolved('std', 'numref', figure['name'])}.** " if figure.get("name") else ""
            cells.append(new_markdown_cell(f"{number}{prose.plain(figure['caption'].strip())}"))
    for number, cell in enumerate(cells):  # the same at each build
        cell["id"] = f"cell-{number}"
    notebook.cells = cells
    notebook.nbformat, notebook.nbformat_minor = 4, 5
    for needless in ("source_map", "jupytext"):
        notebook.metadata.pop(needless, None)
    notebook.metadata.kernelspec.pop("fingerprint", None)  # see source_fingerprint.py
    return notebook
