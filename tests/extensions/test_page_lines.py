"""What the pages say of themselves: how long they take, what they are about, and what is on their cards."""

from pathlib import Path

import cards
import page_head
import reading_time
from docutils import nodes

ROOT = Path(__file__).parents[2]


def words(n, **attributes):
    return nodes.paragraph("", "", nodes.Text(" ".join(["word"] * n)), **attributes)


def page(*children):
    document = nodes.document(None, None)
    section = nodes.section()
    section.extend(children)
    document += section
    return document


def cell(n_line, *classes):
    code = nodes.literal_block("", "x = 1\n" * n_line)
    return nodes.container("", nodes.container("", code, classes=["cell_input"]), classes=["cell", *classes])


def test_prose_code_and_figures_take_their_time():
    minutes = reading_time.minutes_to_read
    assert minutes(page(words(690))) == 3
    assert minutes(page(words(690), cell(40))) == 5
    assert minutes(page(words(690), nodes.figure(), nodes.figure(), nodes.figure())) == 4
    assert minutes(page(words(1))) == 1


def test_what_is_folded_away_or_printed_by_a_cell_takes_none():
    minutes = reading_time.minutes_to_read
    printed = nodes.container("", words(2300), classes=["cell_output"])
    solution = nodes.admonition("", words(2300), classes=["solution", "dropdown"])
    assert minutes(page(words(690), cell(400, "tag_hide-input"), printed, solution)) == 3


def test_the_line_speaks_of_one_and_of_many():
    said = reading_time.said
    assert said(1, None) == "1 minute to read"
    assert said(12, 0.2) == "12 minutes to read, 1 second to run"
    assert said(2, 47.1) == "2 minutes to read, 48 seconds to run"


def test_a_description_is_the_question_and_the_first_sentences_cut_where_a_word_ends():
    long = page(nodes.admonition("", words(3)), words(100))
    described = page_head.description(long, "What is it?")
    assert described.startswith("What is it? word word")
    assert described.endswith("word …")
    assert len(described) <= page_head.LONGEST
    assert page_head.description(page(words(2))) == "word word"
    assert page_head.description(page()) == ""


def test_a_card_is_small_has_its_size_and_is_the_same_each_time():
    first = cards.draw("What does it cost?", "A book", cards.CURVES["complexity"])
    again = cards.draw("What does it cost?", "A book", cards.CURVES["complexity"])
    assert first.size == page_head.SIZE
    assert first.tobytes() == again.tobytes()
    assert first.tobytes() != cards.draw("What is next?", "A book", cards.CURVES["complexity"]).tobytes()


def test_every_chapter_with_a_question_has_a_curve_of_its_own():
    table = ROOT / "src/scaling_transformers/data/chapters.csv"
    chapters = [line.split(",")[0] for line in table.read_text("utf-8").splitlines()[1:]]
    assert set(cards.CURVES) == {"book", *chapters}
    assert len(set(cards.CURVES.values())) == len(cards.CURVES)
