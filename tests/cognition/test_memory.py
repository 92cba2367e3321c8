"""Memory of a trained model: what is in its context it finds again, what is out of it leaves no trace."""

from functools import cache

import numpy as np
import pytest
import torch

from scaling_transformers.cognition import memory
from scaling_transformers.cognition.detection import sensitivity
from scaling_transformers.model import Transformer
from scaling_transformers.training import small_models
from scaling_transformers.training.loop import token_losses

LETTERS = np.r_[np.arange(65, 91), np.arange(97, 123)]


@cache
def trained():
    return small_models.load(n_layer=2, seed=0)


@cache
def untrained():
    torch.manual_seed(0)
    return Transformer(small_models.CONFIGS[2]).eval()


def lists(*, seed=0, n_list=16, length=12):
    return memory.draw_lists(LETTERS, n_list=n_list, length=length, seed=seed)


def test_lists_hold_no_item_twice_and_all_of_the_pool_equally_often():
    drawn = memory.draw_lists(np.arange(5, 15), n_list=4000, length=3).numpy()
    assert all(len(set(row)) == 3 for row in drawn.tolist())
    assert np.bincount(drawn[:, 1], minlength=15)[5:] == pytest.approx(400, rel=0.2)
    with pytest.raises(ValueError, match="pool must hold"):
        memory.draw_lists([1, 2, 2], n_list=1, length=3)


def test_a_trained_model_recalls_more_than_chance_and_an_untrained_one_does_not():
    drawn = lists(n_list=32)
    assert memory.probe_recall(trained(), drawn, lead=10).mean() > 0.25
    assert memory.probe_recall(untrained(), drawn, lead=10).mean() < 0.2


def test_recall_is_what_one_probe_at_a_time_gives():
    drawn = lists(n_list=2, length=5)
    found = memory.probe_recall(trained(), drawn, lead=10)
    for row, items in enumerate(drawn.tolist()):
        for place in range(5):
            text = torch.tensor([[10, *items, ([10, *items])[place]]])
            with torch.no_grad():
                logits = trained()(text)[0, -1]
            assert found[row, place] == (int(logits[items].argmax()) == place)


def test_savings_are_one_less_the_ratio_of_the_losses():
    drawn, others = lists(), lists(seed=1)
    filler = torch.full((16, 9), 32)
    again = token_losses(trained(), torch.cat([drawn, filler, drawn], dim=1))[:, -12:].mean(dim=1)
    first = token_losses(trained(), torch.cat([others, filler, drawn], dim=1))[:, -12:].mean(dim=1)
    found = memory.savings(trained(), drawn, others, filler)
    assert found == pytest.approx((1 - again / first).numpy(), abs=1e-5)
    assert found.mean() > 0.5


def test_outside_the_context_exactly_nothing_is_saved():
    n_ctx = small_models.N_CTX
    for n_filler, gone in ((n_ctx - 24, False), (n_ctx - 12, True), (n_ctx + 5, True)):
        found = memory.savings(trained(), lists(), lists(seed=1), torch.full((16, n_filler), 32))
        assert np.array_equal(found, np.zeros(16)) == gone


def test_states_are_those_of_every_block_and_the_last_is_what_the_logits_are_read_from():
    tokens = lists(n_list=3)
    found = memory.states(trained(), tokens)
    assert found.shape == (3, 12, 2 * 128)
    with torch.no_grad():
        assert found[..., 128:] == pytest.approx(trained().hidden(tokens).double().numpy(), abs=1e-5)


def test_same_as_back_marks_repeats():
    tokens = torch.tensor([[1, 2, 1, 1, 2]])
    assert memory.same_as_back(tokens, lag=2).tolist() == [[True, False, False]]
    with pytest.raises(ValueError, match="lag must be less"):
        memory.same_as_back(tokens, lag=5)


def test_one_back_is_read_off_a_trained_model_and_not_off_an_untrained_one():
    practice, test = (memory.draw_letters(LETTERS[:8], n_list=48, length=32, seed=s) for s in (0, 1))
    assert sensitivity(*memory.n_back(trained(), practice, test, lags=[1])[1]) > 1.5
    assert sensitivity(*memory.n_back(untrained(), practice, test, lags=[1])[1]) < 0.8


def test_without_the_heads_that_copy_the_savings_are_gone_and_random_others_matter_less():
    drawn, others, filler = lists(), lists(seed=1), torch.full((16, 9), 32)
    marked = memory.strongest(memory.copying_heads(trained(), drawn)["induction"], n_head=2)
    assert marked.sum() == 2
    assert not marked[0].any()

    def kept(heads):
        return memory.savings(trained(), drawn, others, filler, head_gate=memory.gate_without(heads)).mean()

    assert kept(marked) < 0.2 < kept(np.zeros((2, 4)))


def test_random_others_are_as_many_and_none_of_them():
    heads = np.array([[True, False, False], [True, False, False]])
    for seed in range(5):
        drawn = memory.random_others(heads, seed=seed)
        assert drawn.sum() == 2
        assert not (drawn & heads).any()
    with pytest.raises(ValueError, match="at most half"):
        memory.random_others([[True, True, False]])
    with pytest.raises(ValueError, match="n_head must be at most"):
        memory.strongest([[1.0]], n_head=2)
