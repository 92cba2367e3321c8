"""What the loaders promise: every time at its word, none where nobody looked, a clear word on bad files."""

import numpy as np
import pytest

from scaling_transformers.cognition.reading_corpora import dundee, natural_stories

NAN = np.nan


@pytest.fixture
def stories(tmp_path):
    """Two stories of three words and one, read by two people; a word holds a quotation mark."""
    (tmp_path / "all_stories.tok").write_text(
        'word\tzone\titem\n"If\t1\t1\nyou\t2\t1\nwere\t3\t1\nA\t1\t2\n', "utf-8"
    )
    (tmp_path / "processed_RTs.tsv").write_text(
        "WorkerId\tWorkTimeInSeconds\tcorrect\titem\tzone\tRT\tword\n"
        'b\t9\t6\t1\t2\t310\tyou\nb\t9\t6\t1\t1\t400\t"If\na\t9\t5\t2\t1\t250\tA\n',
        "utf-8",
    )
    return tmp_path


@pytest.fixture
def newspaper(tmp_path):
    """One text of four words; a reader who goes back, blinks, and skips the third word at first."""
    (tmp_path / "tx01wrdp.dat").write_text(
        "Are 1 1 1 1 1 1 3 3 0 0 0 1 9\ntourists 1 1 1 1 2 5 8 8 0 0 0 2 9\n"
        "ever 1 1 1 1 3 14 4 4 0 0 0 3 9\nenticed? 1 1 1 1 4 19 8 7 1 0 1 4 9\n",
        "latin-1",
    )
    head = "WORD TEXT LINE OLEN WLEN XPOS WNUM FDUR OBLP WDLP LAUN TXFR\n"
    line = "{} 1 1 3 3 1 {} {} 1 1 0 9\n"
    fixations = [
        ("Are", 1, 100),
        ("tourists", 2, 120),
        ("*Blink", -99, 50),
        ("tourists", 2, 80),
        ("Are", 1, 500),
        ("tourists", 2, 700),
        ("enticed?", 4, 90),
        ("ever", 3, 60),
    ]
    (tmp_path / "sa01ma1p.dat").write_text(
        head + "".join(line.format(*each) for each in fixations), "latin-1"
    )
    return tmp_path


def test_the_times_of_the_stories_stand_at_their_words(stories):
    corpus = natural_stories(stories)
    assert corpus.texts == (('"If', "you", "were"), ("A",))
    assert corpus.readers == ("a", "b")
    np.testing.assert_array_equal(corpus.times, [[NAN, NAN, NAN, 250], [400, 310, NAN, NAN]])
    assert len(corpus.words) == corpus.times.shape[1]


def test_a_gaze_lasts_until_the_eye_leaves_and_a_word_that_was_passed_by_has_none(newspaper):
    corpus = dundee(newspaper)
    assert corpus.words == ("Are", "tourists", "ever", "enticed?")
    assert corpus.readers == ("sa",)
    np.testing.assert_array_equal(corpus.times, [[100, 200, NAN, 90]])


def test_a_missing_column_is_named(stories, newspaper):
    path = stories / "processed_RTs.tsv"
    path.write_text(path.read_text("utf-8").replace("WorkerId", "Subject"), "utf-8")
    with pytest.raises(ValueError, match=r"processed_RTs\.tsv must .* lacks \['WorkerId'\]"):
        natural_stories(stories)
    (newspaper / "sa01ma1p.dat").write_text("WORD TEXT\n", "latin-1")
    with pytest.raises(ValueError, match=r"lacks \['WNUM', 'FDUR'\]"):
        dundee(newspaper)


def test_missing_files_are_named(tmp_path):
    with pytest.raises(ValueError, match=r"all_stories\.tok"):
        natural_stories(tmp_path)
    with pytest.raises(ValueError, match=r"txNNwrdp\.dat"):
        dundee(tmp_path)


def test_a_time_for_a_word_that_is_not_there_is_refused(stories):
    path = stories / "all_stories.tok"
    path.write_text(path.read_text("utf-8").replace("A\t1\t2\n", ""), "utf-8")
    with pytest.raises(ValueError, match="word 1 of text 2"):
        natural_stories(stories)
