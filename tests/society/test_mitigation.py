"""Each mitigation does what its formula says, and a tiny model loses its gap by it."""

from copy import deepcopy
from functools import partial

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from scaling_transformers import TransformerConfig
from scaling_transformers.model import Transformer
from scaling_transformers.society import planted_language
from scaling_transformers.society.language_bias import gaps, log_probability, predictor
from scaling_transformers.society.mitigation import (
    augment,
    bias_direction,
    counterfactual_penalty,
    effective_size,
    fine_tune,
    independence_weights,
    loss_cost,
    neutralise,
    project_out,
    project_states,
    sample_sentences,
    sentence_weights,
)
from scaling_transformers.society.planted import (
    LENGTH,
    OCCUPATIONS,
    SWAP,
    WORDS,
    columns,
    decode,
    encode,
    tokens_of,
    without_bias,
)
from scaling_transformers.training import train

CONFIG = TransformerConfig(1, 32, 2, vocab_size=len(WORDS), n_ctx=LENGTH)
TEXT = planted_language().sentences(4000, seed=0)
COUNTERPART = torch.from_numpy(SWAP.astype(np.int64))


def learned(text, *, weights=None, n_step=250):
    torch.manual_seed(0)
    model = Transformer(CONFIG)
    sampler = partial(sample_sentences, weights=weights)
    train(model, text.ravel(), n_step=n_step, batch=64, n=LENGTH - 1, learning_rate=1e-2, sampler=sampler)
    return model.eval()


@pytest.fixture(scope="module")
def biased():
    return learned(TEXT)


def test_augmented_text_holds_every_sentence_and_its_counterpart():
    both = augment(TEXT[:3], swap=SWAP)
    assert (both[:3] == TEXT[:3]).all()
    assert [decode(text) for text in both[3:]] == [decode(SWAP[text]) for text in TEXT[:3]]


def test_reweighing_by_hand():
    """Kamiran and Calders' formula on five people: expected over observed share of each cell."""
    group, outcome = [0, 0, 0, 1, 1], [1, 1, 0, 0, 1]
    expected = [3 * 3 / 2 / 5, 3 * 3 / 2 / 5, 3 * 2 / 1 / 5, 2 * 2 / 1 / 5, 2 * 3 / 1 / 5]
    np.testing.assert_allclose(independence_weights(group, outcome), expected)


@settings(deadline=None, derandomize=True, max_examples=30)
@given(st.integers(0, 2**32 - 1))
def test_weighted_labels_are_independent_and_as_frequent_as_before(seed):
    generator = np.random.default_rng(seed)
    one, two = generator.integers(2, size=60), generator.integers(3, size=60)
    one[:6], two[:6] = [0, 0, 0, 1, 1, 1], [0, 1, 2, 0, 1, 2]  # every combination occurs
    weights = independence_weights(one, two)
    joint = np.zeros((2, 3))
    np.add.at(joint, (one, two), weights / 60)
    expected = np.outer(np.bincount(one), np.bincount(two)) / 60**2
    np.testing.assert_allclose(joint, expected)


def test_weights_of_sentences_make_the_text_that_of_the_language_without_bias():
    weights, (group, work, attribute) = sentence_weights(TEXT), columns(TEXT)
    assert weights.mean() == pytest.approx(1)
    assert (weights[group < 0] == 1).all()
    for i in range(len(OCCUPATIONS)):
        for named in (True, False):
            here = (work == i) & ((attribute >= 0) == named)
            everyone = (group >= 0) & ((attribute >= 0) == named)
            share = np.average(group[here] == 0, weights=weights[here])
            assert share == pytest.approx((group[everyone] == 0).mean())
    assert 1 / len(TEXT) < effective_size(weights) / len(TEXT) < 1
    assert effective_size(np.ones(7)) == pytest.approx(7)


def test_a_direction_is_that_of_the_pairs_and_projecting_removes_it():
    rng = np.random.default_rng(0)
    axis = np.array([0.6, 0.8, 0.0])
    middle = rng.standard_normal((5, 3))
    direction = bias_direction(middle + axis, middle - axis)
    np.testing.assert_allclose(direction, axis, atol=1e-12)
    np.testing.assert_allclose(bias_direction(middle - axis, middle + axis), -axis, atol=1e-12)
    flat = project_out(middle, direction)
    np.testing.assert_allclose(flat @ axis, 0, atol=1e-12)
    np.testing.assert_allclose(project_out(flat, direction), flat, atol=1e-12)


def test_neutralising_changes_the_named_rows_alone_and_leaves_the_model(biased):
    before = deepcopy(biased.state_dict())
    direction = np.eye(32)[3]
    changed = neutralise(biased, tokens_of(OCCUPATIONS), direction=direction)
    table, rows = changed.embedding.weight.detach().numpy(), tokens_of(OCCUPATIONS).astype(int)
    np.testing.assert_allclose(table[rows, 3], 0, atol=1e-7)
    others = np.setdiff1d(np.arange(len(WORDS)), rows)
    np.testing.assert_array_equal(table[others], before["embedding.weight"].numpy()[others])
    assert changed.unembedding.weight is changed.embedding.weight
    for name, value in biased.state_dict().items():
        assert torch.equal(value, before[name])


def test_projected_states_cannot_tell_words_that_differ_along_the_direction(biased):
    rows = biased.embedding.weight.detach().double().numpy()[tokens_of(["ka", "ru"]).astype(int)]
    direction = (rows[0] - rows[1]) / np.linalg.norm(rows[0] - rows[1])
    blind = predictor(project_states(biased, direction=direction))
    after = blind(np.stack([encode("<s> kano said"), encode("<s> ruri said")]))[:, tokens_of(["ka", "ru"])]
    np.testing.assert_allclose(after[:, 0], after[:, 1], rtol=1e-4)
    sharp = predictor(biased)(encode("<s> kano said")[None])[0, tokens_of(["ka", "ru"])]
    assert sharp[0] > 2 * sharp[1]


def test_the_penalty_is_the_mean_square_of_the_differences(biased):
    texts = torch.from_numpy(TEXT[:40].astype(np.int64))
    by_numpy = log_probability(biased, TEXT[:40]) - log_probability(biased, SWAP[TEXT[:40]])
    found = counterfactual_penalty(biased, texts, COUNTERPART).item()
    assert found == pytest.approx((by_numpy**2).mean(), rel=1e-4)
    assert counterfactual_penalty(biased, texts, torch.arange(len(WORDS))).item() == 0


def test_augmentation_reweighting_and_the_penalty_each_take_most_of_the_gap(biased):
    before = gaps(predictor(biased))
    assert before.attribute > 0.4
    ways = {
        "augmented": learned(augment(TEXT, swap=SWAP)),
        "reweighted": learned(TEXT, weights=sentence_weights(TEXT)),
        "penalised": fine_tune(biased, TEXT, swap=SWAP, penalty=1.0, n_step=60, batch=64, learning_rate=5e-3),
    }
    original, unbiased = TEXT[:1000], without_bias().sentences(1000, seed=1)
    for model in ways.values():
        assert abs(gaps(predictor(model)).attribute) < 0.25 * before.attribute
        cost = loss_cost(biased, model, original=original, unbiased=unbiased)
        assert cost.unbiased < cost.original
    nothing = loss_cost(biased, biased, original=original, unbiased=unbiased)
    assert nothing == (0, 0)


def test_drawn_sentences_are_whole_and_follow_their_weights():
    text = TEXT[:4].ravel()
    draw = partial(sample_sentences, text, batch=50, n=LENGTH - 1, generator=np.random.default_rng(0))
    tokens, targets = draw(weights=[0.0, 1.0, 0.0, 1.0])
    assert (tokens[:, 1:] == targets[:, :-1]).all()
    whole = {tuple(row) for row in torch.cat([tokens, targets[:, -1:]], dim=1).tolist()}
    assert whole == {tuple(TEXT[1].tolist()), tuple(TEXT[3].tolist())}
    with pytest.raises(ValueError, match="weights must be 4 numbers"):
        draw(weights=[1.0])
    with pytest.raises(ValueError, match="sentences of 11 words"):
        sample_sentences(text[:-1], batch=2, n=LENGTH - 1, generator=np.random.default_rng(0))


def test_arguments_that_do_not_fit_are_refused(biased):
    with pytest.raises(ValueError, match="labels must be two or more of one length"):
        independence_weights([0, 1])
    with pytest.raises(ValueError, match="pairs of vectors"):
        bias_direction(np.eye(2), np.eye(3))
    with pytest.raises(ValueError, match="penalty must be finite and at least 0"):
        fine_tune(biased, TEXT, swap=SWAP, penalty=-1.0, n_step=1, batch=1, learning_rate=1e-3)
