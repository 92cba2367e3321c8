"""Parities are those of their bits, and a network learns the frequent ones."""

import numpy as np
import pytest
import torch

from scaling_transformers.frontiers.parity import parity_tasks, train_parities


def test_answers_are_the_parity_of_the_bits_that_count():
    tasks = parity_tasks(n_task=4, n_bit=6, n_counted=3, alpha=0.5, seeds=(0, 1))
    asked = torch.tensor([0, 3, 1, 1, 2])
    inputs, answers = tasks.draw(asked, generator=torch.Generator().manual_seed(0))
    assert inputs.shape == (5, 10)
    for row, task in enumerate(asked.tolist()):
        assert inputs[row, :4].tolist() == [float(i == task) for i in range(4)]
        for model in range(2):
            chosen = tasks.subsets[model, task].tolist()
            assert len(set(chosen)) == 3
            # a product of ±1 is the parity: +1 where the number of ones is odd, for three bits
            assert answers[model, row] == inputs[row, 4:][chosen].prod()


def test_the_frequent_task_is_learned_first_and_a_guess_costs_one_bit():
    tasks = parity_tasks(n_task=6, n_bit=5, n_counted=2, alpha=2.0, seeds=(0, 1))
    runs = dict(
        train_parities(tasks, width=64, steps=(1, 250), batch=128, learning_rate=0.01, seed=0, n_test=40)
    )
    assert list(runs) == [1, 250]
    assert runs[1].shape == (2, 6)
    assert runs[1].mean() == pytest.approx(np.log(2), abs=0.1)
    assert (runs[250][:, 0] < 0.1).all()
    assert (runs[250][:, 5] > runs[250][:, 0]).all()


def test_more_bits_than_there_are_is_refused():
    with pytest.raises(ValueError, match=r"^n_counted must"):
        parity_tasks(n_task=2, n_bit=3, n_counted=4, alpha=1.0, seeds=(0,))
