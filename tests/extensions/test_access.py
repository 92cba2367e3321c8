"""Figures have words and tables have heads, or the build says which have not."""

import access
import pytest

SAID = "The loss falls by a tenth whenever the model grows tenfold, from 2.1 to 1.5."
CAPTION = (
    '<figcaption><p><span class="caption-number">Fig. 1 </span><span class="caption-text">{}</span>'
    '<a class="headerlink" href="#a">#</a></p></figcaption></figure>'
)


@pytest.mark.parametrize(
    ("body", "fault"),
    [
        ('<img src="a.svg">', "no words"),
        ('<img src="a.svg" alt="">', "no words"),
        ('<svg viewBox="0 0 1 1"></svg>', "no words"),
        ('<img src="a.png" alt="../_images/a_long_name_of_a_file_that_says_nothing.png">', "a file's name"),
        ('<svg role="img" aria-label="A curve."></svg>', "40 letters or more; got 'A curve.'"),
        (f'<figure><img alt="{SAID}">{CAPTION.format(SAID + " Measured here.")}', "how its caption begins"),
        (f'<img alt="{SAID}"><svg aria-label="{SAID}"></svg>', "the same words"),
    ],
)
def test_words_that_do_not_state_what_a_figure_shows_are_named(body, fault):
    (found,) = access.faults(body)
    assert fault in found


@pytest.mark.parametrize(
    "body",
    [
        f'<svg role="img" aria-label="{SAID}"></svg>',
        f'<figure><img alt="{SAID}">{CAPTION.format("Loss of six models.")}',
        # The caption belongs to the next figure.
        f'<img alt="{SAID}"><figure><img alt="{SAID} Or so.">{CAPTION.format(SAID[:70])}',
        '<svg class="icon" aria-hidden="true"></svg><img src="line.png" role="presentation">',
    ],
)
def test_words_that_do_are_left_alone(body):
    assert access.faults(body) == []


def test_a_figure_without_words_fails_the_build_and_tables_say_what_heads_them(small_book):
    config = (small_book.folder / "_config.yml").read_text()
    small_book.write("_config.yml", config.replace("book_site:", "access: extensions\n    book_site:"))
    code = "from IPython.display import HTML\nHTML('<svg viewBox=\"0 0 1 1\"></svg>')"
    small_book.write_chapter("one", code=code)
    path = small_book.folder / "chapters" / "two.md"
    path.write_text(path.read_text() + "\n| size | loss |\n| --- | --- |\n| 1 | 2 |\n")
    status, said = small_book.build()
    assert status != 0
    assert "figure 1 of the page has no words" in said
    assert small_book.page("two").count('<th scope="col"') == 2
