"""What a corpus promises: the same split on every machine, and no file in both parts."""

import json
import shutil
import sys
import sysconfig
from pathlib import Path
from pydoc_data.topics import topics

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from scaling_transformers.training import folder, hugging_face, language_reference, python_library
from scaling_transformers.training.corpora import near_copies


@pytest.fixture
def library(tmp_path, monkeypatch):
    """A standard library of 60 files, each of which holds its own name."""
    for index in range(60):
        path = tmp_path / f"package_{index % 3}" / f"module_{index}.py"
        path.parent.mkdir(exist_ok=True)
        path.write_text(f"<{index}>")
    for name in ("test", "site-packages", "package_0/tests"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "hidden.py").write_text("<hidden>")
    (tmp_path / "notes.txt").write_text("<hidden>")
    monkeypatch.setattr(sysconfig, "get_paths", lambda: {"stdlib": str(tmp_path)})
    return tmp_path


def files_in(part):
    return part.tobytes().decode().split()


def test_every_file_is_in_one_part_alone(library):
    corpus = python_library(validation_share=0.3)
    train, validation = files_in(corpus.train), files_in(corpus.validation)
    assert sorted(train + validation) == sorted(f"<{index}>" for index in range(60))
    assert train
    assert validation


def test_a_file_does_not_change_sides_when_others_come_or_go(library):
    before = set(files_in(python_library(validation_share=0.3).validation))
    for index in range(0, 60, 2):
        (library / f"package_{index % 3}" / f"module_{index}.py").unlink()
    (library / "newcomer.py").write_text("<newcomer>")
    after = set(files_in(python_library(validation_share=0.3).validation)) - {"<newcomer>"}
    assert after == {name for name in before if int(name[1:-1]) % 2}


def test_the_same_files_give_the_same_corpus_and_a_changed_one_another_hash(library):
    first, second = python_library(), python_library()
    assert first.sha256 == second.sha256
    assert first.train.tobytes() == second.train.tobytes()
    (library / "package_0" / "module_0.py").write_text("<zero>")
    assert python_library().sha256 != first.sha256


def test_a_larger_share_only_adds_files_to_validation(library):
    small, large = (set(files_in(python_library(validation_share=share).validation)) for share in (0.2, 0.6))
    assert small < large


def test_this_pythons_own_library_splits_near_the_share():
    corpus = python_library(validation_share=0.05)
    share = len(corpus.validation) / (len(corpus.train) + len(corpus.validation))
    assert len(corpus.train) > 5_000_000
    assert 0.01 < share < 0.15  # by file, so near the share and not at it


def long_lines(text):
    return {line.strip() for line in text.splitlines() if len(line.strip()) >= 20}


def test_no_file_of_this_pythons_library_in_validation_stands_half_in_training():
    corpus, root = python_library(), Path(sysconfig.get_paths()["stdlib"])
    train, validation = corpus.train.tobytes(), corpus.validation.tobytes()
    seen, counted = long_lines(train), 0
    for path in root.rglob("*.py"):
        if "site-packages" in path.parts or (text := path.read_bytes()) not in validation:
            continue
        lines = long_lines(text)
        if lines and text not in train:  # an import or two may be a piece of another file
            counted += 1
            assert len(lines & seen) < 0.5 * len(lines), path
    assert counted > 20


def test_the_tables_of_encodings_are_the_near_copies(library):
    table = "\n".join(f"{code}: the character of this code" for code in range(100))
    for index in range(8):
        (library / f"table_{index}.py").write_text(f"{table}\na line of table {index} alone\n")
    corpus = python_library(validation_share=0.3)
    assert corpus.n_dropped == 7
    assert corpus.n_documents == 61
    text = corpus.train.tobytes() + corpus.validation.tobytes()
    assert text.count(b"a line of table 0 alone") == text.count(b"a line of table") == 1
    assert corpus.bytes_dropped == 7 * ((library / "table_0.py").stat().st_size + 1)


LINES = st.lists(st.integers(0, 11).map("a line with the number {:02d}".format), max_size=8)


@given(st.dictionaries(st.text("abc", min_size=1), LINES, max_size=8), st.randoms())
def test_texts_that_are_kept_share_less_than_half_and_the_order_does_not_matter(texts, random):
    texts = {name: "\n".join(lines).encode() for name, lines in texts.items()}
    names = list(texts)
    random.shuffle(names)
    copies = near_copies({name: texts[name] for name in names})
    assert copies == near_copies(texts)
    kept = [set(texts[name].split(b"\n")) - {b""} for name in texts if name not in copies]
    for index, lines in enumerate(kept):
        for others in kept[:index]:
            assert 2 * len(lines & others) < min(len(lines), len(others)) or not lines or not others
    everything = set().union(*kept)
    for name in copies:
        lines = set(texts[name].split(b"\n"))
        assert 2 * len(lines & everything) >= len(lines)


@pytest.mark.parametrize("share", [0.0, 1.0, -0.1, float("nan")])
def test_a_bad_share_is_named(share):
    with pytest.raises(ValueError, match="validation_share must lie between 0 and 1; got"):
        python_library(validation_share=share)


def test_a_library_without_source_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(sysconfig, "get_paths", lambda: {"stdlib": str(tmp_path)})
    with pytest.raises(ValueError, match="holds no source files"):
        python_library()


def paragraphs_in(part):
    return part.tobytes().decode().split("\n\n")[:-1]


def test_every_paragraph_of_the_reference_is_in_one_part_alone_and_once():
    corpus = language_reference(validation_share=0.3)
    train, validation = paragraphs_in(corpus.train), paragraphs_in(corpus.validation)
    words = [tuple(paragraph.split()) for paragraph in train + validation]
    wanted = {tuple(part.split()) for topic in topics.values() for part in topic.split("\n\n")} - {()}
    assert sorted(words) == sorted(wanted)
    assert 0.2 < len(validation) / len(wanted) < 0.4


def test_the_reference_is_no_training_text_of_the_library():
    train, validation = python_library().train.tobytes(), python_library().validation.tobytes()
    lines = {line for topic in topics.values() for line in topic.splitlines() if 60 <= len(line) <= 70}
    plain = [line.encode() for line in lines if line.isascii() and not set(line) & set("'\"\\")]
    assert np.mean([line in validation for line in plain]) > 0.1  # the file writes many lines in two pieces
    assert np.mean([line in train for line in plain]) < 0.01  # the debugger's manual says some of it again


@pytest.mark.parametrize("share", [0.0, 1.0])
def test_a_bad_share_of_the_reference_is_named(share):
    with pytest.raises(ValueError, match="validation_share must lie between 0 and 1; got"):
        language_reference(validation_share=share)


@pytest.fixture
def texts(tmp_path):
    """A folder of 40 texts of a line each, two levels deep."""
    (tmp_path / "deep").mkdir()
    for index in range(40):
        place = tmp_path / "deep" if index % 2 else tmp_path
        (place / f"{index}.txt").write_text(f"this text has the number <{index}>")
    (tmp_path / "other.md").write_text("this one does not match")
    return tmp_path


def lines_in(corpus):
    return [part.tobytes().decode().splitlines() for part in (corpus.train, corpus.validation)]


def test_a_folder_is_split_by_file_wherever_it_lies(texts, tmp_path_factory):
    corpus = folder(texts, validation_share=0.3)
    train, validation = lines_in(corpus)
    assert sorted(train + validation) == sorted(f"this text has the number <{index}>" for index in range(40))
    assert (corpus.n_documents, corpus.n_dropped, corpus.bytes_dropped) == (40, 0, 0)
    assert corpus.n_tokens == len(corpus.train) + len(corpus.validation)
    moved = tmp_path_factory.mktemp("elsewhere") / "moved"
    shutil.copytree(texts, moved)
    assert folder(str(moved), validation_share=0.3).sha256 == corpus.sha256
    assert folder(texts, pattern="*.txt", validation_share=0.3).n_documents == 20


def test_copies_and_blank_files_of_a_folder_are_dropped_and_counted(texts):
    (texts / "copy.txt").write_text("this text has the number <7>\n")
    (texts / "empty.txt").touch()
    (texts / "blank.txt").write_text(" \n")
    corpus = folder(texts, validation_share=0.3)
    train, validation = lines_in(corpus)
    assert (train + validation).count("this text has the number <7>") == 1
    assert "" not in (line.strip() for line in train)
    assert (corpus.n_documents, corpus.n_dropped) == (40, 3)
    assert corpus.bytes_dropped == len("this text has the number <7>\n") + 1 + len(" \n") + 1


def test_bad_folders_are_named(tmp_path, texts):
    with pytest.raises(ValueError, match=r"path must be a folder; got '.*nowhere'"):
        folder(tmp_path / "nowhere")
    with pytest.raises(ValueError, match=r"pattern must match a file in '.*'; got '\*.tex'"):
        folder(texts, pattern="*.tex")
    with pytest.raises(ValueError, match=r"validation_share must lie between 0 and 1; got 1.5"):
        folder(texts, validation_share=1.5)
    with pytest.raises(ValueError, match=r"validation_share 1e-06 puts all 40 documents of .* into training"):
        folder(texts, validation_share=1e-6)
    with pytest.raises(ValueError, match=r"validation_share 0.999999 puts all 40 .* into validation"):
        folder(texts, validation_share=0.999999)
    for path in texts.rglob("*.txt"):
        path.write_text("\n")
    with pytest.raises(ValueError, match="must hold text; got 40 documents, all of them blank"):
        folder(texts)


@pytest.fixture
def rows(tmp_path, monkeypatch):
    """A data set of 40 rows, one of them twice and one without text, in a folder; nothing is downloaded."""
    monkeypatch.setenv("HF_DATASETS_OFFLINE", "1")
    found = [{"text": f"row <{index}>", "number": index} for index in [*range(40), 7]]
    place = tmp_path / "rows"
    place.mkdir()
    lines = "\n".join(json.dumps(row) for row in [*found, {"text": None, "number": 0}])
    (place / "train.jsonl").write_text(lines)
    return place


def test_a_data_set_is_split_by_row(rows, tmp_path):
    corpus = hugging_face(str(rows), validation_share=0.3, cache=tmp_path / "cache")
    train, validation = lines_in(corpus)
    assert train
    assert validation
    assert sorted(train + validation) == sorted(f"row <{index}>" for index in range(40))
    assert (corpus.n_documents, corpus.n_dropped, corpus.bytes_dropped) == (40, 2, len("row <7>\n") + 1)
    assert corpus.name == f"text of {rows}, train"


def test_a_bad_column_or_split_of_a_data_set_is_named(rows, tmp_path):
    for column in ("words", "number"):
        with pytest.raises(ValueError, match=rf"one of \['text'\]; got '{column}'"):
            hugging_face(str(rows), column=column, cache=tmp_path / "cache")
    with pytest.raises(ValueError, match="nope"):
        hugging_face(str(rows), split="nope", cache=tmp_path / "cache")


def test_without_the_package_a_data_set_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(ImportError, match=r"pip install 'scaling-transformers\[cluster\]'"):
        hugging_face("any")
