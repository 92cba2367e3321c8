"""What the prose promises: sentences only, none twice, each file on one side, the same on every machine."""

import sys
import sysconfig

import pytest

from scaling_transformers.training import library_prose, prose
from scaling_transformers.training.prose import docstring_paragraphs, prose_paragraphs

SENTENCE = "The {} of module {} reads the input and gives back what it found there."


@pytest.fixture
def library(tmp_path, monkeypatch):
    """A standard library of 40 modules and one installed package, no topics of help."""
    stdlib, site = tmp_path / "stdlib", tmp_path / "site"
    names = ["alpha", "beta", "gamma", "delta", "epsilon", "zeta", "eta", "theta", "iota", "kappa"]
    for index in range(40):
        path = stdlib / f"part_{index % 4}" / f"m{index}.py"
        path.parent.mkdir(parents=True, exist_ok=True)
        word = f"{names[index % 10]} {names[index // 10]}"
        path.write_text(f'def f():\n    """{SENTENCE.format("function", word)}\n\n    >>> f()\n    """\n')
    (stdlib / "test").mkdir()
    (stdlib / "test" / "hidden.py").write_text(f'"""{SENTENCE.format("hidden", "x")}"""')
    (stdlib / "broken.py").write_text('"""This file has words enough but it is broken.""" (')
    (site / "guest").mkdir(parents=True)
    copy = SENTENCE.format("function", "alpha alpha")
    fresh = "Only the guest says this, and it says it in quite a few words."
    (site / "guest" / "__init__.py").write_text(f'"""{copy}\n\n{fresh}\n"""')
    monkeypatch.setattr(sysconfig, "get_paths", lambda: {"stdlib": str(stdlib)})
    monkeypatch.setattr(prose, "topics", {})
    monkeypatch.syspath_prepend(str(site))
    monkeypatch.delitem(sys.modules, "guest", raising=False)
    return tmp_path


def paragraphs(part):
    return [each for each in part.tobytes().decode().split("\n\n") if each]


def test_every_paragraph_is_on_one_side_alone_and_copies_are_dropped(library):
    corpus = library_prose(packages=["guest"], validation_share=0.3)
    train, validation = paragraphs(corpus.train), paragraphs(corpus.validation)
    assert len(train + validation) == len(set(train + validation)) == corpus.n_documents == 41
    assert corpus.n_dropped == 1
    assert train
    assert validation
    assert not any("hidden" in each or "broken" in each for each in train + validation)
    assert corpus.bytes_dropped == len(SENTENCE.format("function", "alpha alpha")) + 2


def test_the_library_alone_gives_the_parts_that_it_has_in_the_whole(library):
    alone = library_prose(packages=(), validation_share=0.3)
    whole = library_prose(packages=("guest",), validation_share=0.3)
    for part in ("train", "validation"):
        assert set(paragraphs(getattr(alone, part))) <= set(paragraphs(getattr(whole, part)))
    assert "guest" in whole.name
    assert alone.sha256 != whole.sha256 == library_prose(packages=("guest",), validation_share=0.3).sha256


def test_the_topics_of_help_are_read_too(library, monkeypatch):
    text = "A topic of the help speaks in sentences that are long enough."
    monkeypatch.setattr(prose, "topics", {"topic": text})
    corpus = library_prose(packages=(), validation_share=0.3)
    assert text in paragraphs(corpus.train) + paragraphs(corpus.validation)


def test_a_package_that_is_not_there_is_refused(library):
    with pytest.raises(ValueError, match="nobody_has_this"):
        library_prose(packages=("nobody_has_this",))
    with pytest.raises(ValueError, match="validation_share"):
        library_prose(validation_share=1.5)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("This is a sentence\nover two lines, and it is prose.", 1),
        ("this one begins with no capital letter at all, sadly.", 0),
        ("This one has no end and so it is not taken", 0),
        ("Too short to be read.", 0),
        ("Parameters\n----------\nThis is what the heading says in quite many words.", 0),
        ("Args:\n    x: This is a list of parameters, not a paragraph of prose.", 0),
        (">>> print('This is an example and not a sentence of its own.')", 0),
        ("Not for us: the café has letters beyond those of plain ASCII.", 0),
        ("We have x = f(y), z[0] += 3 and a->b; none of it is prose.", 0),
    ],
)
def test_sentences_are_told_from_the_rest(text, found):
    assert len(prose_paragraphs(text)) == found


def test_markup_goes_and_words_stay():
    text = "See :class:`~a.B` or :meth:`C.d`, the ``e`` of *all* things and **more** [1]_ for this one."
    assert prose_paragraphs(text) == ["See a.B or C.d, the e of all things and more for this one."]


def test_docstrings_come_in_the_order_of_their_files(library):
    names = [name for name, _ in docstring_paragraphs(library / "stdlib")]
    assert names == sorted(names, key=lambda name: name.split("/"))
    assert len(names) == 40
