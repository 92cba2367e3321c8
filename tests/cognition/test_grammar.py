"""What the sentence pairs promise: both sides differ in one point, and the less surprising one is found."""

import numpy as np

from scaling_transformers.cognition.grammar import (
    GardenPath,
    Pair,
    garden_path_cost,
    garden_paths,
    prefers_good,
    sentence_pairs,
)
from scaling_transformers.cognition.language_model import LanguageModel
from scaling_transformers.cognition.surprisal import word_surprisal
from scaling_transformers.config import TransformerConfig
from scaling_transformers.model import Transformer


def untrained(seed=0):
    import torch

    torch.manual_seed(seed)
    return LanguageModel(Transformer(TransformerConfig(1, 16, 2, vocab_size=256, n_ctx=64)).eval())


def test_every_kind_has_sixteen_pairs_and_no_sentence_is_on_both_sides():
    kinds = sentence_pairs()
    assert {len(pairs) for pairs in kinds.values()} == {16}
    pairs = [pair for each in kinds.values() for pair in each]
    assert len(set(pairs)) == len(pairs)
    assert not {pair.good for pair in pairs} & {pair.bad for pair in pairs}


def test_the_two_sides_of_a_pair_have_as_many_words_of_which_two_differ_at_most():
    for pairs in sentence_pairs().values():
        for good, bad in pairs:
            first, second = good.split(), bad.split()
            assert len(first) == len(second)
            assert 1 <= sum(a != b for a, b in zip(first, second, strict=True)) <= 2


def test_a_garden_path_differs_by_a_comma_and_turns_at_a_verb():
    items = garden_paths()
    assert len(set(items)) == len(items) == 12
    for item in items:
        assert item.with_comma.replace(",", "") == item.without
        assert item.without.split()[item.word] in ("is", "must", "can")


def test_the_side_with_the_smaller_sum_of_surprisals_is_preferred():
    model = untrained()
    pairs = (Pair("a b c.", "a b b."), Pair("a b b.", "a b c."))
    found = prefers_good(model, pairs)
    assert found[0] != found[1]
    sums = [word_surprisal(model, side).nats.sum() for side in pairs[0]]
    assert found[0] == (sums[0] < sums[1])


def test_the_cost_is_the_difference_at_the_turn():
    model = untrained()
    item = GardenPath("a, b c", "a b c", 1)
    bits = [word_surprisal(model, side).bits[1] for side in (item.without, item.with_comma)]
    np.testing.assert_allclose(garden_path_cost(model, (item,)), [bits[0] - bits[1]])
