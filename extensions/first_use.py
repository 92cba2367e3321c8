"""Link each term of the glossary where a chapter first uses it, and tell of terms that no chapter uses.

The glossary is a page with one ``{glossary}`` directive. Sphinx passes over a line in it that starts with two
dots; here two such lines, before a term, have a meaning:

    .. also: heads, attention head
    .. from: cognition
    head
      One of several attentions side by side ...

``also`` lists other forms of the term, which readers of the glossary need not see; ``from`` names a chapter
that uses the term: while that chapter is not in the book, nobody misses the term.

A chapter is a page with code, other than the first page. Looked at is its running prose: not titles, links,
code, mathematics, captions, tables and what cells print.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from docutils import nodes
from sphinx.addnodes import pending_xref
from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment
from sphinx.util import logging

logger = logging.getLogger(__name__)

_CLOSED = (
    *(nodes.title, nodes.subtitle, nodes.rubric, nodes.caption, nodes.legend, nodes.figure, nodes.table),
    *(nodes.reference, nodes.target, nodes.footnote, nodes.citation, nodes.raw, nodes.comment, nodes.image),
    nodes.system_message,
    *(nodes.literal, nodes.literal_block, nodes.doctest_block, nodes.math, nodes.math_block, pending_xref),
)
"""Kinds of nodes in which no term is linked."""


@dataclass(frozen=True)
class Term:
    """An entry of the glossary: its terms, their other forms, the chapter that it waits for, its line."""

    terms: tuple[str, ...]
    forms: tuple[str, ...]
    chapter: str | None
    line: int


def read_terms(text: str) -> list[Term]:
    """The entries of the ``{glossary}`` directive in a page, first to last."""
    found: list[Term] = []
    terms: list[str] = []
    forms: list[str] = []
    chapter: str | None = None
    line_of_term = 0
    inside = False
    for number, line in enumerate(text.splitlines(), start=1):
        if re.match(r"[`:]{3,}\s*\{glossary\}", line):
            inside = True
        elif not inside or line.startswith(":"):
            inside = inside and not line.startswith(":::")
        elif line.startswith("```"):
            inside = False
        elif note := re.match(r"\.\. (also|from): (.*)", line):
            if note[1] == "also":
                forms = [form.strip() for form in note[2].split(",")]
            else:
                chapter = note[2].strip()
        elif line.strip() and not line[0].isspace():
            terms.append(line.split(" : ")[0].strip())
            line_of_term = line_of_term or number
        elif line.strip() and terms:  # the first line of the definition
            found.append(Term(tuple(terms), tuple(forms), chapter, line_of_term))
            terms, forms, chapter, line_of_term = [], [], None, 0
    return found


def pattern_of(terms: list[Term]) -> tuple[re.Pattern[str] | None, dict[str, Term]]:
    """What finds any form of any term as a whole word, the longest first; and the term of each form."""
    by_form = {form: term for term in terms for form in (*term.terms, *term.forms)}
    if not by_form:
        return None, {}
    longest_first = sorted(by_form, key=len, reverse=True)
    choices = "|".join(_either_case(form) for form in longest_first)
    return re.compile(rf"(?<![\w-])(?:{choices})(?![\w-])"), by_form


def _either_case(form: str) -> str:
    """A form as a pattern: any space between its words, any apostrophe, a capital or small first letter."""
    pattern = r"\s+".join(map(re.escape, form.split())).replace("'", "['’]")
    first = form[0]
    return f"[{first.lower()}{first.upper()}]{pattern[1:]}" if first.isalpha() else pattern


def term_of(written: str, before: str, by_form: dict[str, Term]) -> Term | None:
    """The term that was written after the text ``before``; a capital counts only where a sentence begins."""
    form = " ".join(written.split()).replace("’", "'")
    if form in by_form:
        return by_form[form]
    begins = re.search(r"(^|[.!?:][\"”’)]*\s+|[(“\"])$", before)
    small = form[0].lower() + form[1:]
    return by_form.get(small) if begins else None


def running_text(doctree: nodes.Node) -> Iterator[tuple[nodes.Text, str]]:
    """Each piece of the running prose, in order, with what stands before it in its paragraph."""
    for paragraph in doctree.findall(nodes.paragraph):
        if _closed(paragraph):
            continue
        before = ""
        for text in paragraph.findall(nodes.Text):
            if not _closed(text):
                yield text, before
            before += text.astext()


def _closed(node: nodes.Node) -> bool:
    """Whether a node is in, or is, something in which no term is linked."""
    while node is not None:
        if isinstance(node, _CLOSED) or (isinstance(node, nodes.container) and "cell" in node["classes"]):
            return True
        node = node.parent
    return False


def link_first_uses(doctree: nodes.document, terms: list[Term]) -> list[str]:
    """Replace the first use of each term by a reference to the glossary; the main terms that were found."""
    pattern, by_form = pattern_of(terms)
    used: list[str] = []
    if pattern is None:
        return used
    for text, before in list(running_text(doctree)):
        written = text.astext()
        pieces: list[nodes.Node] = []
        done = 0
        for match in pattern.finditer(written):
            term = term_of(match[0], before + written[: match.start()], by_form)
            if term is None or term.terms[0] in used:
                continue
            used.append(term.terms[0])
            pieces += [nodes.Text(written[done : match.start()]), _link(match[0], term)]
            done = match.end()
        if pieces:
            pieces.append(nodes.Text(written[done:]))
            text.parent.replace(text, [piece for piece in pieces if piece.astext()])
    return used


def _link(written: str, term: Term) -> pending_xref:
    """A reference to a term that Sphinx resolves once it has read the glossary."""
    shown = nodes.inline("", written, classes=["xref", "std", "std-term", "glossary-term"])
    return pending_xref(
        "", shown, refdomain="std", reftype="term", reftarget=term.terms[0], refexplicit=True, refwarn=True
    )


def _uses(env: BuildEnvironment) -> dict[str, list[str]]:
    """Of each chapter, the terms that were linked in it; kept with the environment."""
    if not hasattr(env, "book_terms"):
        env.book_terms = {}  # type: ignore[attr-defined]
    return env.book_terms  # type: ignore[attr-defined,no-any-return]


def _glossary(app: Sphinx) -> Path:
    return Path(app.srcdir) / f"{app.config.first_use_glossary}.md"


def _terms(app: Sphinx) -> list[Term]:
    path = _glossary(app)
    listed = app.config.first_use_glossary in app.env.found_docs
    return read_terms(path.read_text("utf-8")) if listed and path.is_file() else []


def link_in_chapter(app: Sphinx, doctree: nodes.document) -> None:
    """Link the first uses in the page that was just read, if it is a chapter."""
    docname = app.env.docname
    if "kernelspec" not in app.env.metadata[docname] or docname == app.config.root_doc:
        return
    uses = link_first_uses(doctree, _terms(app))
    _uses(app.env)[docname] = uses
    if _glossary(app).is_file():
        app.env.note_dependency(str(_glossary(app)))  # a new term is looked for in every chapter


def forget_chapter(app: Sphinx, env: BuildEnvironment, docname: str) -> None:
    """Drop what was known of a page that is gone or will be read again."""
    _uses(env).pop(docname, None)


def report_unused_terms(app: Sphinx, env: BuildEnvironment) -> None:
    """Warn of each term that no chapter uses, unless the chapter that it waits for is not there yet."""
    used = {term for terms in _uses(env).values() for term in terms}
    folder = app.config.first_use_glossary.rpartition("/")[0]
    for term in _terms(app):
        if term.terms[0] not in used and (
            term.chapter is None or f"{folder}/{term.chapter}" in env.found_docs
        ):
            logger.warning(
                "no chapter uses the term %r",
                term.terms[0],
                location=(app.config.first_use_glossary, term.line),
                type="book",
                subtype="term",
            )


def mark_links(app: Sphinx, doctree: nodes.document, docname: str) -> None:
    """Give the links themselves the class by which the style sheet knows them."""
    for shown in doctree.findall(nodes.inline):
        if "glossary-term" in shown["classes"] and isinstance(shown.parent, nodes.reference):
            shown.parent["classes"].append("glossary-term")
            shown["classes"] = []


def chapters_read_with_other_pages(
    app: Sphinx,
    env: BuildEnvironment,
    added: Collection[str],
    changed: Collection[str],
    removed: Collection[str],
) -> list[str]:
    """All chapters if the glossary has come into the book or left it."""
    glossary = app.config.first_use_glossary
    return sorted(_uses(env)) if glossary in (*added, *removed) else []


def setup(app: Sphinx) -> dict[str, Any]:
    app.add_config_value("first_use_glossary", "chapters/glossary", "env")
    app.connect("env-get-outdated", chapters_read_with_other_pages)
    app.connect("env-purge-doc", forget_chapter)
    app.connect("doctree-read", link_in_chapter)
    app.connect("env-check-consistency", report_unused_terms)
    app.connect("doctree-resolved", mark_links)
    return {"version": "1", "env_version": 1, "parallel_read_safe": False, "parallel_write_safe": True}
