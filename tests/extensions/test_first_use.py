"""Which words of a chapter lead to the glossary."""

import first_use as extension
import pytest
from docutils import nodes, utils
from sphinx.addnodes import pending_xref

GLOSSARY = """\
# Glossary

not a term

```{glossary}
:sorted:

.. also: heads, attention head
head
  One of several.

attention
  A lookup.

FLOP
FLOPs
  An operation.

Zipf's law
  Of ranks.

.. from: frontiers
swap test
  A circuit.
```

after: no term
"""
TERMS = extension.read_terms(GLOSSARY)


def paragraph(*parts):
    """A document with one paragraph; strings become text."""
    document = utils.new_document("test")
    document += nodes.paragraph("", "", *(nodes.Text(p) if isinstance(p, str) else p for p in parts))
    return document


def linked(document):
    """What the first uses are, in order: as written, and the term that each leads to."""
    extension.link_first_uses(document, TERMS)
    return [(node.astext(), node["reftarget"]) for node in document.findall(pending_xref)]


def test_the_glossary_is_read_with_other_forms_and_the_chapter_that_is_waited_for():
    assert [term.terms for term in TERMS] == [
        ("head",),
        ("attention",),
        ("FLOP", "FLOPs"),
        ("Zipf's law",),
        ("swap test",),
    ]
    assert TERMS[0].forms == ("heads", "attention head")
    assert [term.chapter for term in TERMS] == [None] * 4 + ["frontiers"]
    assert GLOSSARY.splitlines()[TERMS[0].line - 1] == "head"


def test_only_the_first_use_is_linked_and_the_text_stays():
    document = paragraph("Many heads see; each head has FLOPs, and a FLOP is one of the FLOPs.")
    before = document.astext()
    assert linked(document) == [("heads", "head"), ("FLOPs", "FLOP")]
    assert document.astext() == before


def test_the_longest_form_wins():
    assert linked(paragraph("An attention head, then attention.")) == [
        ("attention head", "head"),
        ("attention", "attention"),
    ]


@pytest.mark.parametrize("text", ["ahead", "self-attention", "attention-free", "headline", "a head-on try"])
def test_a_part_of_a_word_is_no_use(text):
    assert linked(paragraph(text)) == []


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("Attention works.", 1),
        ("It works. Attention too.", 1),
        ("It works (Attention too).", 1),
        ("The paper Attention said so.", 0),
        ("one flop", 0),
        ("FLOPs", 1),
    ],
)
def test_a_capital_counts_where_a_sentence_begins(text, found):
    assert len(linked(paragraph(text))) == found


def test_a_sentence_that_goes_on_after_other_nodes_does_not_begin_anew():
    assert linked(paragraph(nodes.strong("", "bold"), " and ", nodes.emphasis("", "Attention"))) == []


def test_a_line_break_and_a_typographic_apostrophe_make_no_difference():
    assert linked(paragraph("an attention\nhead by Zipf’s law")) == [
        ("attention\nhead", "head"),
        ("Zipf’s law", "Zipf's law"),
    ]


@pytest.mark.parametrize(
    "closed",
    [
        nodes.literal("", "head"),
        nodes.math("", "head"),
        nodes.reference("", "head", refuri="x"),
        pending_xref("", nodes.inline("", "head")),
    ],
)
def test_code_mathematics_and_links_stay_as_they_are(closed):
    document = paragraph("a ", closed, " and a head")
    extension.link_first_uses(document, TERMS)
    assert [type(child).__name__ for child in document[0]][-1] == "pending_xref"
    assert closed.astext() == "head"


@pytest.mark.parametrize(
    "around",
    [
        nodes.title("", "head"),
        nodes.caption("", "head"),
        nodes.table("", nodes.paragraph("", "head")),
        nodes.figure("", nodes.legend("", nodes.paragraph("", "head"))),
        nodes.container("", nodes.paragraph("", "head"), classes=["cell"]),
        nodes.system_message("", nodes.paragraph("", "head")),
    ],
)
def test_titles_captions_tables_and_what_cells_print_stay_as_they_are(around):
    document = utils.new_document("test")
    document += around
    assert linked(document) == []


def test_lists_and_the_bodies_of_admonitions_are_running_prose():
    document = utils.new_document("test")
    item = nodes.list_item("", nodes.paragraph("", "a head"))
    document += nodes.bullet_list("", item)
    document += nodes.admonition("", nodes.title("", "attention"), nodes.paragraph("", "attention"))
    assert linked(document) == [("head", "head"), ("attention", "attention")]
    assert document[1][0].astext() == "attention"
    assert not list(document[1][0].findall(pending_xref))


def test_without_terms_nothing_is_linked():
    assert extension.link_first_uses(paragraph("a head"), []) == []
