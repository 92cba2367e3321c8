"""The synthetic language: its entropy, its best predictor, and one text from wherever it is read."""

import itertools
import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional as F

from scaling_transformers import TransformerConfig
from scaling_transformers.model import Transformer
from scaling_transformers.training import sample_batch, train
from scaling_transformers.training.language import SyntheticLanguage

SMALL = {"vocab_size": 8, "n_rule": 64, "branching": 3}
LANGUAGES = {depth: SyntheticLanguage(**SMALL, depth=depth) for depth in (1, 2, 3)}
TINY = SyntheticLanguage(vocab_size=2, n_rule=4, branching=3, depth=2)


def all_trees(language):
    """Every tree of the language with its probability, from the rules alone."""

    def expand(symbol, below):
        if below == language.depth:
            return {(symbol,): 1.0}
        level = language._levels[below]
        m, trees = len(level.probability), {}
        for rank, chance in enumerate(level.probability):
            parts = [expand(int(s), below + 1) for s in level.rules[symbol * m + rank]]
            for choice in itertools.product(*(part.items() for part in parts)):
                tree = sum((tokens for tokens, _ in choice), ())
                trees[tree] = trees.get(tree, 0.0) + chance * math.prod(p for _, p in choice)
        return trees

    return expand(0, 0)


def loss_by_enumeration(trees, tree):
    def chance(prefix):
        return sum(p for other, p in trees.items() if other[: len(prefix)] == prefix)

    return [-math.log(chance(tree[: i + 1]) / chance(tree[:i])) for i in range(len(tree))]


@pytest.mark.parametrize("depth", [1, 2, 3])
def test_the_entropy_is_the_mean_loss_of_the_best_predictor(depth):
    language, n_tree = LANGUAGES[depth], {1: 5000, 2: 600, 3: 200}[depth]
    text = language.tokens(start=0, n=n_tree * language.tree_length)
    each = language.optimal_losses(text).reshape(n_tree, -1).mean(axis=1)
    error = each.std(ddof=1) / n_tree**0.5
    assert abs(each.mean() - language.entropy_rate) < 4 * error
    assert error < 0.1 * language.entropy_rate


@pytest.mark.parametrize("language", [TINY, SyntheticLanguage(vocab_size=2, n_rule=8, branching=4)])
def test_entropy_and_losses_are_those_of_all_trees_counted_one_by_one(language):
    trees = all_trees(language)
    chances = np.array(list(trees.values()))
    assert chances.sum() == pytest.approx(1)
    assert -(chances * np.log(chances)).sum() / language.tree_length == pytest.approx(language.entropy_rate)
    for tree in trees:
        found = language.optimal_losses(np.array(tree))
        np.testing.assert_allclose(found, loss_by_enumeration(trees, tree), rtol=0, atol=1e-9)


def test_the_short_way_at_depth_one_is_the_recursive_way():
    language = LANGUAGES[1]
    text = language.tokens(start=0, n=300)
    losses: list[float] = []
    for word in text.reshape(-1, 3):
        language._read(0, np.ones(1), iter(word.tolist()), losses)
    np.testing.assert_allclose(language.optimal_losses(text), losses, rtol=0, atol=1e-12)


@pytest.mark.parametrize("exponent", [0.2, 0.5, 1.5])
def test_ranks_are_drawn_by_zipfs_law(exponent):
    language = SyntheticLanguage(**SMALL, depth=2, exponent=exponent)
    for level in language._levels:
        zipf = np.arange(1.0, len(level.probability) + 1) ** -(1 + exponent)
        np.testing.assert_allclose(level.probability, zipf / zipf.sum(), rtol=0, atol=2**-31)


def ranks(language, *, stream, n=20_000):
    words = language.tokens(start=0, n=3 * n, stream=stream).reshape(-1, 3).astype(int) @ [64, 8, 1]
    rules = language._levels[0].rules.astype(int) @ [64, 8, 1]
    assert len(set(rules)) == len(rules)
    by_word = np.full(512, -1)
    by_word[rules] = np.arange(len(rules))
    assert (by_word[words] >= 0).all()
    return by_word[words]


def test_words_come_as_often_as_they_should():
    language = LANGUAGES[1]
    found = ranks(language, stream=0)
    expected = len(found) * language._levels[0].probability
    chi_square = ((np.bincount(found, minlength=64) - expected) ** 2 / expected).sum()
    assert abs(chi_square - 63) < 6 * (2 * 63) ** 0.5


def test_words_and_streams_do_not_depend_on_each_other():
    language = LANGUAGES[1]
    chance = (language._levels[0].probability ** 2).sum()
    one, other = ranks(language, stream=0), ranks(language, stream=1)
    for first, second in ((one, other), (one[1:], one[:-1]), (one[64:], one[:-64])):
        error = (chance * (1 - chance) / len(first)) ** 0.5
        assert abs((first == second).mean() - chance) < 5 * error


@settings(deadline=None, max_examples=80, derandomize=True)
@given(
    depth=st.sampled_from([1, 2, 3]),
    start=st.integers(0, 300_000),
    n=st.integers(1, 400),
    stream=st.integers(0, 2**40),
    before=st.integers(0, 300),
    after=st.integers(0, 300),
)
def test_any_part_of_a_stream_is_the_same_from_wherever_it_is_read(depth, start, n, stream, before, after):
    language, first = LANGUAGES[depth], max(0, start - before)
    part = language.tokens(start=start, n=n, stream=stream)
    longer = language.tokens(start=first, n=start - first + n + after, stream=stream)
    assert part.dtype == np.uint8
    assert part.max() < 8
    assert (part == longer[start - first : start - first + n]).all()


def test_parts_made_at_once_join_without_a_seam():
    language = LANGUAGES[1]
    edge = 2**15 * 3  # as many tokens are made at once
    whole = language.tokens(start=0, n=edge + 60)
    assert (language.tokens(start=edge - 30, n=90) == whole[edge - 30 :]).all()


@pytest.mark.parametrize("depth", [1, 2, 3])
@pytest.mark.parametrize("start", [0, 1234, 2**50 + 7])
def test_torch_makes_the_same_text_as_numpy(depth, start):
    language = LANGUAGES[depth]
    found = language.tokens(start=start, n=2000, stream=3, device="cpu")
    assert found.dtype == torch.uint8
    assert (found.numpy() == language.tokens(start=start, n=2000, stream=3)).all()


def test_seeds_give_other_rules_and_equal_languages_equal_text():
    one, same, other = (SyntheticLanguage(**SMALL, seed=seed) for seed in (1, 1, 2))
    assert (one.tokens(start=5, n=300) == same.tokens(start=5, n=300)).all()
    assert (one.tokens(start=5, n=300) != other.tokens(start=5, n=300)).any()
    assert one.entropy_rate == pytest.approx(other.entropy_rate)  # which depends on the shape alone


def test_a_trained_model_comes_near_the_entropy_and_not_below():
    language = SyntheticLanguage(vocab_size=4, n_rule=16, branching=3)
    torch.manual_seed(0)
    model = Transformer(TransformerConfig(1, 32, 2, 4, 12))
    train(model, language, n_step=250, batch=16, n=12, learning_rate=1e-2)
    text = language.tokens(start=0, n=12 * 1000 + 3, stream=1)
    tokens = torch.from_numpy(text[: 12 * 1000 + 1].astype(np.int64))
    with torch.no_grad():
        logits = model(tokens[:-1].view(-1, 12))
        losses = F.cross_entropy(logits.transpose(1, 2), tokens[1:].view(-1, 12), reduction="none")
    least = language.optimal_losses(text)[1 : 12 * 1000 + 1].reshape(-1, 12)
    each = losses.double().numpy().mean(axis=1) - least.mean(axis=1)  # above the best on the same text
    error = each.std(ddof=1) / len(each) ** 0.5
    assert -4 * error < each.mean() < 0.2 * language.entropy_rate


def test_batches_begin_with_a_tree_and_go_on_in_the_stream():
    language = LANGUAGES[2]
    tokens, targets = sample_batch(language, batch=3, n=18, generator=np.random.default_rng(0))
    assert (targets[:, :-1] == tokens[:, 1:]).all()
    assert (targets[:-1, -1] == tokens[1:, 0]).all()
    language.optimal_losses(tokens.flatten().numpy())  # refuses what is not of whole trees
    with pytest.raises(ValueError, match="n must be a multiple of the language's trees of 9; got 8"):
        sample_batch(language, batch=3, n=8, generator=np.random.default_rng(0))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"vocab_size": 6}, "vocab_size must be a power of two; got 6"),
        ({"vocab_size": 1, "n_rule": 2}, "vocab_size must be from 2 to 256; got 1"),
        ({"vocab_size": 512, "n_rule": 1024}, "vocab_size must be from 2 to 256; got 512"),
        ({"n_rule": 48}, "n_rule must be a power of two; got 48"),
        ({"n_rule": 8}, r"n_rule must be from 2 \* vocab_size=16 to vocab_size \*\* branching=512; got 8"),
        ({"n_rule": 1024}, "n_rule must be from .* got 1024"),
        ({"branching": 0}, "branching must be a whole number of at least 1; got 0"),
        ({"branching": 21}, r"vocab_size \*\* branching must stay below 2 \*\* 62"),
        ({"depth": 0}, "depth must be a whole number of at least 1; got 0"),
        ({"exponent": 0.0}, "exponent must be finite and above 0; got 0.0"),
        ({"exponent": float("nan")}, "exponent must be finite and above 0; got nan"),
        ({"seed": -1}, "seed must be a whole number of at least 0; got -1"),
    ],
)
def test_a_language_that_cannot_be_is_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        SyntheticLanguage(**{**SMALL, **changes})


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"start": -1}, "start must be a whole number of at least 0; got -1"),
        ({"n": 0}, "n must be a whole number of at least 1; got 0"),
        ({"stream": -1}, "stream must be a whole number of at least 0; got -1"),
        ({"start": 2**60}, r"start \+ n must stay below 2 \*\* 60"),
    ],
)
def test_a_part_that_is_not_of_a_stream_is_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        LANGUAGES[1].tokens(**{"start": 0, "n": 5, "stream": 0, **changes})


@pytest.mark.parametrize(
    ("tokens", "message"),
    [
        (np.zeros(0, int), "tokens must be whole trees of 9 tokens on one axis"),
        (np.zeros(10, int), "tokens must be whole trees of 9 tokens on one axis"),
        (np.zeros((1, 9), int), "tokens must be whole trees of 9 tokens on one axis"),
        (np.zeros(9), "tokens must be whole numbers from 0 to 7"),
        (np.full(9, 8), "tokens must be whole numbers from 0 to 7"),
        (np.full(9, -1), "tokens must be whole numbers from 0 to 7"),
    ],
)
def test_tokens_that_cannot_be_read_are_refused(tokens, message):
    with pytest.raises(ValueError, match=message):
        LANGUAGES[2].optimal_losses(tokens)


@pytest.mark.parametrize("depth", [1, 2])
def test_a_tree_that_no_rules_write_is_refused(depth):
    language = LANGUAGES[depth]
    strings = {tuple(rule) for rule in language._levels[-1].rules.tolist()}
    other = next(s for s in itertools.product(range(8), repeat=3) if s not in strings)
    text = np.array(other * 3 ** (depth - 1))
    with pytest.raises(
        ValueError, match="tokens must be of this language; a tree has no rules that write it"
    ):
        language.optimal_losses(text)


def test_a_learner_of_some_words_loses_what_its_table_of_all_strings_says():
    language = LANGUAGES[1]
    v, s = language.vocab_size, language.branching
    level, known = language._levels[0], np.random.default_rng(0).random(language.n_rule) < 0.4
    true, believed = np.zeros((v,) * s), np.zeros((v,) * s)  # a probability for every string there is
    for word, chance, one in zip(level.rules, level.probability, known, strict=True):
        true[tuple(word)] = chance
        believed[tuple(word)] = chance * one
    believed += (1 - believed.sum()) / believed.size
    expected = -(true * np.log(believed)).sum() / s
    assert language.partial_loss(known) == pytest.approx(expected, rel=1e-12)
    assert language.partial_loss(known) > language.entropy_rate


def test_knowing_more_words_never_costs():
    language = LANGUAGES[1]
    rank = np.arange(language.n_rule)
    losses = [language.partial_loss(rank < n) for n in range(language.n_rule + 1)]
    assert (np.diff(losses) < 0).all()
    assert language.partial_loss(np.full(language.n_rule, 0.5)) < losses[0]


@pytest.mark.parametrize(
    ("language", "known", "message"),
    [
        (LANGUAGES[2], np.ones(64), "depth must be 1"),
        (LANGUAGES[1], np.ones(63), "known must have shape"),
        (LANGUAGES[1], np.full(64, 1.5), "from 0 to 1"),
        (LANGUAGES[1], np.full(64, np.nan), "from 0 to 1"),
    ],
)
def test_knowledge_that_cannot_be_is_refused(language, known, message):
    with pytest.raises(ValueError, match=message):
        language.partial_loss(known)
