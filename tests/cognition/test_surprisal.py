"""What surprisal promises: the chain rule, no word lost, and the same numbers however long the text is."""

import math
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional as F

from scaling_transformers import TransformerConfig
from scaling_transformers.cognition.language_model import LanguageModel
from scaling_transformers.cognition.surprisal import token_surprisal, word_surprisal
from scaling_transformers.model import Transformer
from scaling_transformers.training.byte_pairs import with_byte_pairs
from scaling_transformers.training.corpora import Corpus


class Bigrams(nn.Module):
    """Knows the last token alone, and so gives the same numbers in any window."""

    def __init__(self, vocab_size=256, n_ctx=8):
        super().__init__()
        self.config = SimpleNamespace(n_ctx=n_ctx)
        self.table = torch.randn(vocab_size, vocab_size, generator=torch.Generator().manual_seed(0))

    def forward(self, tokens):
        assert tokens.shape[1] <= self.config.n_ctx
        return self.table[tokens]


class Counts(nn.Module):
    """Gives token 0 the probability 1 / (1 + number of tokens it sees): tells how long its context is."""

    def __init__(self, n_ctx):
        super().__init__()
        self.config = SimpleNamespace(n_ctx=n_ctx)

    def forward(self, tokens):
        seen = torch.arange(1, tokens.shape[1] + 1, dtype=torch.float64)
        logits = torch.stack([torch.zeros_like(seen), seen.log()], dim=1)
        return logits.expand(len(tokens), -1, -1)


@given(st.integers(2, 40), st.integers(0, 1000))
@settings(deadline=None, derandomize=True, max_examples=30)
def test_windows_give_every_token_what_the_whole_text_would(n, seed):
    tokens = torch.from_numpy(np.random.default_rng(seed).integers(0, 256, n))
    model = Bigrams()
    nats, entropy = token_surprisal(model, tokens)
    logs = F.log_softmax(model.table.double(), dim=1)
    np.testing.assert_allclose(nats, -logs[tokens[:-1], tokens[1:]], atol=1e-12)
    np.testing.assert_allclose(entropy, -(logs.exp() * logs).sum(1)[tokens[:-1]], atol=1e-12)


@pytest.mark.parametrize("n_ctx", [1, 2, 5, 8])
@pytest.mark.parametrize("n", [2, 5, 9, 30])
def test_every_token_has_at_least_half_a_context_or_all_that_was_before_it(n, n_ctx):
    nats, _ = token_surprisal(Counts(n_ctx), torch.zeros(n, dtype=torch.long))
    seen = np.exp(nats).round() - 1
    assert len(seen) == n - 1
    assert (seen >= np.minimum(np.arange(1, n), n_ctx / 2)).all()
    assert (seen <= n_ctx).all()


def test_the_surprisals_of_the_words_sum_to_the_loss_of_the_tokens():
    torch.manual_seed(0)
    model = Transformer(TransformerConfig(1, 16, 2, vocab_size=256, n_ctx=64)).eval()
    text = "A word,  two words;\nand three."
    found = word_surprisal(LanguageModel(model), text, before="\n\n")
    tokens = torch.tensor([list(f"\n\n{text}".encode())])
    with torch.no_grad():
        losses = F.cross_entropy(model(tokens[:, :-1])[0], tokens[0, 1:], reduction="none")
    assert found.words == ("A", "word,", "two", "words;", "and", "three.")
    assert found.nats.sum() == pytest.approx(float(losses[1:].sum()), rel=1e-5)
    assert found.n_tokens.tolist() == [1, 6, 5, 7, 4, 7]  # the white space before a word is its own


def test_a_uniform_model_is_surprised_by_the_logarithm_of_its_vocabulary():
    model = Bigrams()
    model.table.zero_()
    found = word_surprisal(LanguageModel(model), "ab c")
    np.testing.assert_allclose(found.bits, [16, 16])
    np.testing.assert_allclose(found.entropy, math.log(256))


@given(
    st.lists(st.sampled_from(["time", "and", "tide", "wait", "não", "x.", "(10)"]), min_size=1, max_size=12)
)
@settings(deadline=None, derandomize=True, max_examples=20)
def test_words_of_byte_pairs_keep_all_their_tokens(words):
    part = np.frombuffer(b"time and tide wait for no man and tide waits " * 5, dtype=np.uint8)
    corpus = with_byte_pairs(Corpus(part, part, "x", "y"), vocab_size=270)
    model = LanguageModel(Bigrams(270), corpus.tokenizer)
    found = word_surprisal(model, " ".join(words))
    tokens = torch.cat([model.encode("\n\n"), model.encode(" ".join(words))], dim=1)[0]
    n_before = model.encode("\n\n").shape[1]
    logs = F.log_softmax(model.model.table.double(), dim=1)[tokens[:-1], tokens[1:]]
    assert found.n_tokens.sum() == len(tokens) - n_before
    assert found.nats.sum() == pytest.approx(float(-logs[n_before - 1 :].sum()))
    alone = [model.encode(word if i == 0 else f" {word}").shape[1] for i, word in enumerate(words)]
    assert found.n_tokens.tolist() == alone


@pytest.mark.parametrize(("text", "before", "name"), [(" \n", "\n", "text"), ("a", "", "before")])
def test_a_text_without_words_or_without_anything_before_it_is_refused(text, before, name):
    with pytest.raises(ValueError, match=f"{name} must"):
        word_surprisal(LanguageModel(Bigrams()), text, before=before)


def test_one_token_has_no_surprisal():
    with pytest.raises(ValueError, match="tokens must"):
        token_surprisal(Bigrams(), torch.zeros(1, dtype=torch.long))
