"""What the shipped reader promises: it loads, it reads, it is small, and a run makes what is shipped."""

import numpy as np
import pytest
import torch

from scaling_transformers.cognition import language_model, model_runs
from scaling_transformers.cognition.language_model import CONFIG, SEEDS, LanguageModel, load_language_model
from scaling_transformers.cognition.surprisal import word_surprisal
from scaling_transformers.model import Transformer
from scaling_transformers.training.corpora import Corpus
from scaling_transformers.training.record import shipped

TEXT = "If the file does not exist, a new file is created."


@pytest.fixture(scope="module")
def models():
    return [load_language_model(seed) for seed in SEEDS]


def test_every_seed_finds_prose_more_likely_than_its_words_in_disorder(models):
    words = TEXT.split()
    mixed = " ".join(np.random.default_rng(0).permutation(words))
    for each in models:
        assert word_surprisal(each, TEXT).nats.sum() < word_surprisal(each, mixed).nats.sum() - 10


def test_the_seeds_are_different_models(models):
    totals = {float(word_surprisal(each, TEXT).nats.sum()) for each in models}
    assert len(totals) == len(SEEDS)


@pytest.mark.parametrize("text", [TEXT, "naïve café, 東京\n\n  x"])
def test_a_text_comes_back_from_its_tokens(models, text):
    model = models[0]
    tokens = model.encode(text)
    assert tokens.shape == (1, len(model.pieces(tokens)))
    assert model.decode(tokens) == text
    assert b"".join(model.pieces(tokens)) == text.encode()
    assert len(tokens[0]) <= len(text.encode())


def test_without_a_tokenizer_a_token_is_a_byte():
    model = LanguageModel(Transformer(CONFIG.replace(n_layer=1, vocab_size=256)))
    assert model.encode("é").tolist() == [list("é".encode())]
    assert model.decode(model.encode("é")) == "é"
    assert model.n_ctx == CONFIG.n_ctx


def test_all_seeds_together_take_less_than_five_megabytes():
    folder = shipped("cognition")
    sizes = [len((folder / language_model.weights_name(seed)).read_bytes()) for seed in SEEDS]
    assert sum(sizes) + len((folder / "tokenizer.json").read_bytes()) < 5e6


def test_the_record_says_what_was_read_and_how_it_ended():
    record, history = language_model.record(), language_model.history()
    assert record["n_params"] == sum(p.numel() for p in Transformer(CONFIG).parameters())
    assert len(record["corpus_sha256"]) == 64
    assert "numpy" in record["corpus"]
    for seed, final in zip(SEEDS, record["final"], strict=True):
        own = history[history["seed"] == seed]
        assert own["step"].max() == final["step"] == record["n_step"]
        assert own["loss_text"][-1] == pytest.approx(final["loss_text"], rel=1e-3)
        assert own["loss_text"][-1] < 0.6 * own["loss_text"][0]


def test_an_unknown_seed_is_refused():
    with pytest.raises(ValueError, match=r"seed must be one of \(0, 1, 2\)"):
        load_language_model(17)


def test_a_run_writes_what_the_loader_reads(tmp_path, monkeypatch):
    generator = np.random.default_rng(0)
    letters = generator.integers(97, 123, size=60_000)
    letters[generator.uniform(size=letters.size) < 0.2] = 32
    text = letters.astype(np.uint8)
    corpus = Corpus(text[:50_000], text[50_000:], "letters", "0" * 64)
    monkeypatch.setattr(model_runs, "library_prose", lambda: corpus)
    monkeypatch.setattr(model_runs, "SEEDS", (1,))
    threads = torch.get_num_threads()
    model_runs.train_all(tmp_path, n_step=1, workers=1)
    torch.set_num_threads(threads)
    model = load_language_model(1, folder=tmp_path)
    assert model.decode(model.encode("abc")) == "abc"
    assert not model.model.training
    record = language_model.read_record(tmp_path)
    assert record["corpus"] == "letters"
    assert [row["seed"] for row in record["final"]] == [1]
