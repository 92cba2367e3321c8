"""The texts that are shipped say what they should; a small run makes a table of the same kind."""

import numpy as np
import pytest

from scaling_transformers.cognition import novelty_runs
from scaling_transformers.cognition.language_model import SEEDS, START, load_language_model
from scaling_transformers.training import Corpus
from scaling_transformers.training.loop import token_losses

PARAGRAPHS = "The value is returned as a string.\n\nIf the file is not there, an error is raised.\n\n" * 30


@pytest.fixture(scope="module")
def corpus():
    parts = (np.frombuffer(PARAGRAPHS.encode(), dtype=np.uint8) for _ in range(2))
    return Corpus(*parts, name="paragraphs", sha256="")


def test_every_seed_wrote_as_many_texts_at_every_temperature():
    rows, record = novelty_runs.runs(), novelty_runs.record()
    conditions = {(s, t) for s, t in zip(rows["seed"], rows["temperature"], strict=True)}
    assert len(conditions) == len(SEEDS) * (len(novelty_runs.TEMPERATURES) + 1)
    assert len(rows) == len(conditions) * record["n_text"]
    assert set(rows["writer"][rows["temperature"] == 0]) == {novelty_runs.PEOPLE}


def test_a_longer_sequence_is_new_where_a_shorter_is_and_none_is_copied_beyond_the_longest():
    rows = novelty_runs.runs()
    shares = np.array([rows[f"new_{n}"] for n in novelty_runs.ORDERS])
    assert ((shares >= 0) & (shares <= 1)).all()
    for n, share in zip(novelty_runs.ORDERS, shares, strict=True):
        assert ((share == 1) == (rows["longest"] < n)).all()


def test_heat_makes_texts_newer_and_dearer():
    rows = novelty_runs.runs()
    for column in ("new_3", "loss"):
        means = [rows[column][rows["temperature"] == t].mean() for t in novelty_runs.TEMPERATURES]
        assert means[0] < means[-1]


def test_the_loss_per_byte_is_the_sum_of_the_tokens_losses_over_the_bytes():
    reader, text = load_language_model(0), "The value is returned."
    tokens, before = reader.encode(START + text), reader.encode(START).shape[1]
    total = float(token_losses(reader.model, tokens)[0, before - 1 :].sum())
    assert novelty_runs.loss_per_byte(reader, text) == pytest.approx(total / len(text))


def test_texts_are_written_the_same_again_and_other_seeds_write_others():
    reader = load_language_model(0)
    first, again, other = (
        novelty_runs.write_texts(reader, temperature=1.0, n_text=2, n_new=10, seed=seed) for seed in (0, 0, 1)
    )
    assert first == again != other
    assert len(first) == 2


def test_held_out_texts_are_paragraphs_and_long_enough(corpus):
    for text in novelty_runs.held_out_texts(corpus, n_text=5, n_words=20):
        assert len(novelty_runs.words_of(text)) >= 20
        assert text in PARAGRAPHS * 2


def test_a_small_run_writes_a_table_that_is_read_back(tmp_path, corpus, monkeypatch):
    monkeypatch.setattr(novelty_runs, "TEMPERATURES", (0.5,))
    monkeypatch.setattr(novelty_runs, "N_NEW", 60)
    novelty_runs.run_all(tmp_path, corpus=corpus, n_text=2)
    monkeypatch.setattr(novelty_runs, "_DATA", tmp_path)
    rows = novelty_runs.runs()
    assert len(rows) == 3 * 2 * 2
    people = rows[rows["writer"] == novelty_runs.PEOPLE]
    assert (people["new_10"] == 0).all()
    assert (people["longest"] == people["n_words"]).all()
