"""The truth has the planted gaps, a model is measured as the truth is, and a preference is no size."""

import numpy as np
import pytest
import torch

from scaling_transformers import TransformerConfig
from scaling_transformers.model import Transformer
from scaling_transformers.society import planted_language
from scaling_transformers.society.language_bias import (
    counterfactual_gap,
    gaps,
    log_probability,
    predictor,
    pronoun_shares,
    sentence_vectors,
    stereotype_score,
    stereotyped_pairs,
)
from scaling_transformers.society.planted import (
    ATTRIBUTES,
    LENGTH,
    OCCUPATION_SHARES,
    SWAP,
    WORDS,
    encode,
    tokens_of,
    without_bias,
)

CONFIG = TransformerConfig(1, 16, 2, vocab_size=len(WORDS), n_ctx=LENGTH)


def small_model(seed=0):
    torch.manual_seed(seed)
    return Transformer(CONFIG).eval()


def test_the_truth_has_the_planted_gaps():
    found = gaps(planted_language().next_probabilities)
    assert found == pytest.approx((0.5, 0.6, 0.5, 0.0, 1.0), abs=1e-12)
    np.testing.assert_allclose(pronoun_shares(planted_language().next_probabilities), OCCUPATION_SHARES)


def test_without_bias_all_gaps_are_nothing_and_after_augmentation_one_is_left():
    assert gaps(without_bias().next_probabilities) == pytest.approx((0, 0, 0, 0, 1), abs=1e-12)
    augmented = gaps(planted_language().augmented().next_probabilities)
    assert augmented == pytest.approx((0, 0, 0, 0.3, 1), abs=1e-12)


def test_a_gap_is_the_mean_of_differences_with_their_interval():
    prefixes = np.stack([encode(f"<s> {name} said ka is a") for name in ("kano", "kebi")])
    found = counterfactual_gap(
        planted_language(attribute_shares=(0.7, 0.2)).next_probabilities,
        prefixes,
        targets=tokens_of(ATTRIBUTES[0]),
        swap=SWAP,
    )
    assert found == pytest.approx((0.5, 0.5, 0.5))


def test_a_model_answers_in_probabilities_that_agree_with_its_losses():
    model, texts = small_model(), planted_language().sentences(20, seed=0)
    logs = log_probability(model, texts)
    for k in (1, 5, 10):
        after = predictor(model)(texts[:, :k])
        np.testing.assert_allclose(after.sum(axis=1), 1)
        np.testing.assert_allclose(np.log(after[np.arange(20), texts[:, k]]), logs[:, k - 1], atol=1e-5)
    states = model.hidden(torch.from_numpy(texts[:1, :3].astype(np.int64)))
    vector = sentence_vectors(model, [" ".join(WORDS[t] for t in texts[0, :3])])
    np.testing.assert_allclose(vector[0], states[0].mean(dim=0).detach().numpy(), rtol=1e-5)


def test_an_untrained_model_has_hardly_a_gap():
    assert np.abs(gaps(predictor(small_model()))[:4]).max() < 0.05


def test_the_stereotype_score_counts_pairs_and_halves_ties():
    found = stereotype_score([-1.0, -2.0, -3.0, -4.0], [-2.0, -2.0, -4.0, -1.0])
    assert found.value == pytest.approx(2.5 / 4)
    assert 0 <= found.low < found.value < found.high <= 1
    with pytest.raises(ValueError, match="must be pairs"):
        stereotype_score([1.0], [1.0, 2.0])


@pytest.mark.parametrize("lean", [0.51, 0.95])
def test_the_score_says_how_often_and_not_how_much(lean):
    language = planted_language(occupation_shares=[lean] * 4 + [1 - lean] * 4)
    one, other = (language.log_probability(texts).sum(axis=1) for texts in stereotyped_pairs())
    assert stereotype_score(one, other) == (1.0, 1.0, 1.0)
    np.testing.assert_allclose(np.abs(one - other), np.log(lean / (1 - lean)))


def test_the_pairs_follow_the_planted_leaning():
    one, other = stereotyped_pairs()
    assert one.shape == (288, LENGTH)
    assert (SWAP[one] == other).all()
    truth = planted_language()
    assert (truth.log_probability(one).sum(axis=1) > truth.log_probability(other).sum(axis=1)).all()
