"""The ledger is what the cells decided, and a claim that no cell decides fails the build."""

import json

import pytest
from bs4 import BeautifulSoup

CLAIMS = "name,chapter,claim,source\nfirst,one,One is true.,the essay\nsecond,two,Two is true.,the essay\n"
CONTENTS = "format: jb-book\nroot: chapters/one\nchapters:\n  - file: chapters/two\n  - file: chapters/end\n"
END = """\
# The end

{ledger}`holds` of {ledger}`claims` hold, {ledger}`open` are open.

```{ledger}
```
"""


def deciding(claim, verdict, number="0.50"):
    entry = {
        "claim": claim,
        "verdict": verdict,
        "measure": "shares",
        "number": number,
        "interval": "0.4 to 0.6 (95 %)",
    }
    return f"from myst_nb import glue\nglue('ledger-{claim}', {json.dumps(entry)!r}, display=False)"


@pytest.fixture(scope="module")
def ledger_book(small_book):
    config = (small_book.folder / "_config.yml").read_text()
    small_book.write("_config.yml", config.replace("book_site:", "ledger: extensions\n    book_site:"))
    small_book.write("_toc.yml", CONTENTS)
    small_book.write("src/scaling_transformers/data/claims.csv", CLAIMS)
    small_book.write("chapters/end.md", END)
    return small_book


def page(book, name):
    return BeautifulSoup(book.page(name), "html.parser")


def rows(book):
    return [
        [cell.get_text() for cell in row.find_all("td")]
        for row in page(book, "end").select(".ledger tbody tr")
    ]


def test_a_row_says_what_a_cell_decided_links_to_it_and_follows_it(ledger_book):
    ledger_book.write_chapter("one", code=deciding("first", "holds"))
    ledger_book.write_chapter("two", code=deciding("second", "open"))
    status, said = ledger_book.build()
    assert status == 0, said
    assert rows(ledger_book) == [
        ["One is true.", "holds", "0.50 shares", "0.4 to 0.6 (95 %)", "a cell in Chapter one"],
        ["Two is true.", "open", "0.50 shares", "0.4 to 0.6 (95 %)", "a cell in Chapter two"],
    ]
    assert "1 of 2 hold, 1 are open." in page(ledger_book, "end").get_text()
    name, target = page(ledger_book, "end").select(".ledger tbody a")[0]["href"].split("#")
    decides = page(ledger_book, name.removesuffix(".html")).find(id=target)
    assert "glue" in decides.get_text()

    ledger_book.write_chapter("two", code=deciding("second", "holds", number="0.55"))
    status, said = ledger_book.build()
    assert status == 0, said
    assert rows(ledger_book)[1][1:3] == ["holds", "0.55 shares"]
    assert "2 of 2 hold, 0 are open." in page(ledger_book, "end").get_text()


def test_a_claim_without_a_decision_of_its_chapter_fails_every_build(ledger_book):
    ledger_book.write_chapter("one", code=deciding("first", "holds"))
    ledger_book.write_chapter("two")
    for _ in range(2):
        status, said = ledger_book.build()
        assert status != 0
        assert "the claim 'second' must be decided by one cell here; got no cell" in said


def test_a_claim_decided_twice_or_elsewhere_fails_the_build(ledger_book):
    both = deciding("first", "holds") + "\n" + deciding("second", "holds")
    ledger_book.write_chapter("one", code=both)
    ledger_book.write_chapter("two", code=deciding("second", "open"))
    status, said = ledger_book.build()
    assert status != 0
    assert "got chapters/one and chapters/two" in said


def test_a_cell_that_decides_must_be_on_the_page(ledger_book):
    ledger_book.write_chapter("one", code=deciding("first", "holds"), tag="remove-cell")
    ledger_book.write_chapter("two", code=deciding("second", "open"))
    status, said = ledger_book.build()
    assert status != 0
    assert "the cell that decides 'first' is not on the page" in said
