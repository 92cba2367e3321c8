"""What a build runs again, and how it fails: on a small book that uses the extensions of this one."""

import re

LINE_OF_SECOND_CELL = 21


def chapters_run(said):
    return set(re.findall(r"chapters/(\w+)\.md: Executed notebook", said))


def test_a_build_runs_only_the_chapters_whose_modules_have_changed(small_book):
    status, said = small_book.build()
    assert (status, chapters_run(said)) == (0, {"one", "two"}), said

    status, said = small_book.build()
    assert (status, chapters_run(said)) == (0, set()), said

    small_book.write("src/scaling_transformers/one.py", "value = 'second one'")
    status, said = small_book.build()
    assert (status, chapters_run(said)) == (0, {"one"}), said
    assert "second one" in small_book.page("one")
    assert "first two" in small_book.page("two")


def test_a_cell_that_raises_or_warns_fails_every_build_until_mended_and_is_named(small_book):
    small_book.write_chapter("one", code="1 / 0")
    small_book.write_chapter("two", code="import warnings\nwarnings.warn('be careful')", tag="remove-cell")
    for _ in range(2):
        status, said = small_book.build()
        errors = re.findall(r"chapters/(\w+)\.md:(\d+): ERROR: this cell (.*)", said)
        assert status != 0
        assert [error[:2] for error in errors] == [
            (name, str(LINE_OF_SECOND_CELL)) for name in ("one", "two")
        ]
        assert "raised ZeroDivisionError: division by zero" in errors[0][2]
        assert "be careful" in errors[1][2]

    small_book.write_chapter("one")
    small_book.write_chapter("two", code="raise ValueError('as the text says')", tag="raises-exception")
    status, said = small_book.build()
    assert status == 0, said


def test_a_fault_in_the_prose_and_a_cell_that_is_no_python_are_named_by_their_lines(small_book):
    small_book.write_chapter("one", code="1 +")
    small_book.write_chapter("two")
    path = small_book.folder / "chapters" / "two.md"
    path.write_text(path.read_text() + "\n{unknown-role}`x`\n")
    last = len(path.read_text().splitlines())
    status, said = small_book.build()
    assert status != 0
    assert f"chapters/one.md:{LINE_OF_SECOND_CELL}: ERROR: this cell raised SyntaxError" in said
    assert f"chapters/two.md:{last}: WARNING: Unknown interpreted text role" in said


def test_a_chapter_from_the_cache_offers_its_notebook_with_its_outputs(small_book):
    small_book.write_chapter("one")
    small_book.write_chapter("two")
    small_book.build()
    small_book.write(
        "chapters/one.md", (small_book.folder / "chapters/one.md").read_text() + "\nMore words.\n"
    )
    status, said = small_book.build()
    assert (status, chapters_run(said)) == (0, set()), said
    offered = small_book.folder / "_build/html/_sources/chapters/one.ipynb"
    assert "More words." in offered.read_text("utf-8")
    assert "'second onesecond one'" in offered.read_text("utf-8")


GLOSSARY = "# Glossary\n\n```{{glossary}}\n.. from: {chapter}\n{term}\n  What we use.\n```\n"


def test_a_new_term_is_linked_in_an_old_chapter_and_one_that_no_chapter_uses_fails_the_build(small_book):
    small_book.write_chapter("one")
    small_book.write_chapter("two")
    contents = (small_book.folder / "_toc.yml").read_text()
    small_book.write("_toc.yml", contents + "  - file: chapters/glossary\n")
    small_book.write("chapters/glossary.md", GLOSSARY.format(chapter="three", term="verb"))
    status, said = small_book.build()
    assert status == 0, said  # "three", which is to use the verb, is not in the book yet
    assert "glossary-term" not in small_book.page("two")

    small_book.write("chapters/glossary.md", GLOSSARY.format(chapter="two", term="words"))
    status, said = small_book.build()
    assert (status, chapters_run(said)) == (0, set()), said
    assert 'href="glossary.html#term-words"' in small_book.page("two")

    small_book.write("chapters/glossary.md", GLOSSARY.format(chapter="two", term="verb"))
    status, said = small_book.build()
    assert status != 0
    assert "chapters/glossary.md:5: WARNING: no chapter uses the term 'verb'" in said
