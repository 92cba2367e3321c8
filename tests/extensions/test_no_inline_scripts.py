"""What the extension that moves scripts promises: they run where they ran, and the page holds none."""

import re
from pathlib import Path

import no_inline_scripts as extension
import pytest

EXTENSIONS = Path(__file__).parents[2] / "extensions"


@pytest.fixture
def moved():
    """The page without its scripts, and what its files hold, in order."""

    def moved(html):
        texts = []

        def lay(text):
            texts.append(text)
            return f"{len(texts)}.js"

        return extension.without_inline_scripts(html, lay), texts

    return moved


def test_each_script_becomes_a_file_in_its_place(moved):
    html, texts = moved(
        '<script a="b">one()</script><p>x</p><script src="a.js"></script>\n<script>two();</script>'
    )
    assert html == (
        '<script a="b" src="1.js"></script><p>x</p><script src="a.js"></script>\n<script src="2.js"></script>'
    )
    assert texts == ["one();", "two();"]


def test_scripts_that_follow_one_another_share_a_file(moved):
    html, texts = moved("<script>one()</script>\n  <script>two()</script><p></p><script>three()</script>")
    assert re.sub(r"\s+", "", html) == '<scriptsrc="1.js"></script><p></p><scriptsrc="2.js"></script>'
    assert texts == ["one();\ntwo();", "three();"]


def test_settings_join_the_first_script_and_are_set_once(moved):
    setting = "<script>var a = '.toggle';</script>"
    html, texts = moved(
        f'<script>one()</script><script src="a.js"></script>{setting}<p></p>{setting}'
        "<script>window.B = {\"c\": [1]}</script><script>d.e = 'f';</script>"
    )
    assert texts == ["one();\nvar a = '.toggle';\nwindow.B = {\"c\": [1]};", "d.e = 'f';"]
    assert html.count("<script") == 3


def test_data_stay_in_the_page(moved):
    html = '<script type="application/json">{"a": 1}</script>'
    assert moved(html) == (html, [])


def test_what_thebe_leaves_is_dropped(moved):
    html = "<p></p><script type=\"text/x-thebe-config\">{ a }</script><script>kernelName = 'python3'</script>"
    assert moved(html) == ("<p></p>", [])


def test_the_button_that_prints_is_left_to_a_listener(moved):
    assert moved('<button onclick="window.print()"\n  class="a">')[0] == '<button data-print\n  class="a">'


@pytest.mark.parametrize(
    "tag", ['<a onclick="go()">', "<body class='a' onload=go()>", '<a href="javascript:go()">']
)
def test_any_other_handler_is_refused_by_its_text(moved, tag):
    with pytest.raises(ValueError, match=re.escape(tag)):
        moved(f"<p>one</p>{tag}")


def test_words_about_handlers_are_no_handlers(moved):
    html = (
        '<p title="a onclick is">&lt;a onclick="x"&gt; on = 3</p><script src="a.js">"<a onclick=1>"</script>'
    )
    assert moved(html) == (html, [])


def test_a_page_whose_scripts_are_moved_is_left_as_it_is(moved):
    html, _ = moved("<script>one()</script><p></p><script>var a = 1;</script>")
    assert moved(html) == (html, [])
