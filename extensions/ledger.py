"""The ledger: every claim of the essay with the verdict and the number that a chapter's cell gave it.

A cell decides a claim by calling `scaling_transformers.figures.decide`. This extension finds what the cells
of all chapters decided while the book was built, lays it out where the directive ``{ledger}`` stands, and
links each row to its cell. The role ``{ledger}`` says how many claims have a verdict, ``{ledger}`holds```, or
how many there are, ``{ledger}`claims```. A claim without a decision, or with two, fails the build.
"""

from __future__ import annotations

import ast
import csv
import json
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from docutils import nodes
from executed import executed_notebook
from nbformat import NotebookNode
from sphinx.application import Sphinx
from sphinx.builders import Builder
from sphinx.environment import BuildEnvironment
from sphinx.util import logging
from sphinx.util.docutils import SphinxDirective, SphinxRole
from sphinx.util.nodes import make_refnode

logger = logging.getLogger(__name__)

CLAIMS = "src/scaling_transformers/data/claims.csv"
HEADINGS = ("Claim of the essay", "Verdict", "Number", "Interval", "Decided by")


class ledger_table(nodes.General, nodes.Element):
    """Stands where the table will be, until all chapters are read."""


class ledger_count(nodes.Inline, nodes.TextElement):
    """Stands where the number of claims with the verdict ``of`` will be."""


class Decision(NamedTuple):
    """What a cell said of a claim; ``entry`` as `decide` wrote it."""

    docname: str
    cell: int
    entry: dict[str, str]


def decisions_in(notebook: NotebookNode) -> Iterator[tuple[int, dict[str, str]]]:
    """Each decision of an executed notebook, with the index of its cell."""
    for index, cell in enumerate(notebook.cells):
        for output in cell.get("outputs", []):
            kept = output.get("metadata", {}).get("scrapbook", {})
            if kept.get("name", "").startswith("ledger-"):
                text = output["data"][f"{kept.get('mime_prefix', '')}text/plain"]
                yield index, json.loads(ast.literal_eval(text))


def anchor(claim: str) -> str:
    return f"decides-{claim}"


def _kept(env: BuildEnvironment) -> dict[str, list[Decision]]:
    """The decisions of every chapter that was read; kept with the environment."""
    if not hasattr(env, "book_decisions"):
        env.book_decisions = {}  # type: ignore[attr-defined]
    return env.book_decisions  # type: ignore[attr-defined,no-any-return]


def _decided(env: BuildEnvironment) -> dict[str, Decision]:
    """The decisions by claim."""
    every = (decision for decisions in _kept(env).values() for decision in decisions)
    return {decision.entry["claim"]: decision for decision in every}


def _claims(env: BuildEnvironment) -> list[dict[str, str]]:
    with (Path(env.srcdir) / CLAIMS).open(encoding="utf-8") as file:
        return list(csv.DictReader(file))


def keep_decisions(app: Sphinx, doctree: nodes.document) -> None:
    """Keep what the cells of a chapter decided, and give each of these cells an address."""
    notebook, docname = executed_notebook(app, app.env.docname), app.env.docname
    found = list(decisions_in(notebook)) if notebook is not None else []
    _kept(app.env)[docname] = [Decision(docname, index, entry) for index, entry in found]
    cells = {node["cell_index"]: node for node in doctree.findall(nodes.container) if "cell_index" in node}
    for index, entry in found:
        if index in cells:
            cells[index]["ids"].append(anchor(entry["claim"]))
        else:
            _report(docname, f"the cell that decides {entry['claim']!r} is not on the page: it must be shown")


def forget_decisions(app: Sphinx, env: BuildEnvironment, docname: str) -> None:
    _kept(env).pop(docname, None)
    _pages(env).discard(docname)


def check_decisions(app: Sphinx, env: BuildEnvironment) -> None:
    """Report every claim that its chapter did not decide, and decide once."""
    for claim in _claims(env):
        docname = f"chapters/{claim['chapter']}"
        by = [d.docname for kept in _kept(env).values() for d in kept if d.entry["claim"] == claim["name"]]
        if by != [docname]:
            found = " and ".join(by) or "no cell"
            _report(docname, f"the claim {claim['name']!r} must be decided by one cell here; got {found}")


def _report(docname: str, what: str) -> None:
    logger.error(what, location=docname, type="book", subtype="ledger")


def _pages(env: BuildEnvironment) -> set[str]:
    """The pages that show something of the ledger: written again when any chapter was."""
    if not hasattr(env, "book_ledger_pages"):
        env.book_ledger_pages = set()  # type: ignore[attr-defined]
    return env.book_ledger_pages  # type: ignore[attr-defined,no-any-return]


def pages_to_write(app: Sphinx, env: BuildEnvironment) -> Collection[str]:
    return sorted(_pages(env))


class LedgerDirective(SphinxDirective):
    """``{ledger}``: the table."""

    def run(self) -> list[nodes.Node]:
        _pages(self.env).add(self.env.docname)
        self.env.note_dependency(str(Path(self.env.srcdir) / CLAIMS))
        return [ledger_table()]


class LedgerRole(SphinxRole):
    """``{ledger}`` of a verdict: how many claims have it."""

    def run(self) -> tuple[list[nodes.Node], list[nodes.system_message]]:
        _pages(self.env).add(self.env.docname)
        return [ledger_count(of=self.text)], []


def count(env: BuildEnvironment, of: str) -> int:
    """How many claims have the verdict ``of``, or how many there are if it is "claims"."""
    verdicts = [decision.entry["verdict"] for decision in _decided(env).values()]
    return len(verdicts) if of == "claims" else verdicts.count(of)


def fill_in(app: Sphinx, doctree: nodes.document, docname: str) -> None:
    """Put the table and the numbers where they belong."""
    decided = _decided(app.env)
    for place in list(doctree.findall(ledger_table)):
        place.replace_self(_table(app.builder, docname, _claims(app.env), decided))
    for where in list(doctree.findall(ledger_count)):
        where.replace_self(nodes.Text(str(count(app.env, where["of"]))))


def _table(
    builder: Builder, docname: str, claims: list[dict[str, str]], decided: dict[str, Decision]
) -> nodes.table:
    group = nodes.tgroup("", cols=len(HEADINGS))
    group += [nodes.colspec(colwidth=width) for width in (30, 12, 30, 16, 12)]
    head, body = nodes.thead(), nodes.tbody()
    head += _row([nodes.Text(heading) for heading in HEADINGS])
    for claim in claims:
        decision = decided.get(claim["name"])
        if decision is None:  # reported by check_decisions
            continue
        entry = decision.entry
        title = builder.env.titles[decision.docname].astext().split(":")[0]
        link = make_refnode(
            builder, docname, decision.docname, anchor(claim["name"]), nodes.Text(f"a cell in {title}")
        )
        measured = nodes.inline("", "", nodes.strong("", entry["number"]), nodes.Text(f" {entry['measure']}"))
        texts = [nodes.Text(claim["claim"]), nodes.Text(entry["verdict"])]
        body += _row([*texts, measured, nodes.Text(entry["interval"]), link])
    group += [head, body]
    return nodes.table("", group, classes=["ledger"])


def _row(cells: list[nodes.Node]) -> nodes.row:
    return nodes.row("", *(nodes.entry("", nodes.paragraph("", "", cell)) for cell in cells))


def setup(app: Sphinx) -> dict[str, Any]:
    app.add_node(ledger_table)
    app.add_node(ledger_count)
    app.add_directive("ledger", LedgerDirective)
    app.add_role("ledger", LedgerRole())
    app.connect("doctree-read", keep_decisions)
    app.connect("env-purge-doc", forget_decisions)
    app.connect("env-check-consistency", check_decisions)
    app.connect("env-updated", pages_to_write)
    app.connect("doctree-resolved", fill_in)
    return {"version": "1", "env_version": 1, "parallel_read_safe": False, "parallel_write_safe": True}
