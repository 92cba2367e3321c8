"""The quanta model equals its sums, and comes near its exponents where tasks are many."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scaling_transformers.frontiers.manifold import log_slope
from scaling_transformers.frontiers.quanta import (
    exponent_of_examples,
    loss_from_examples,
    loss_when_learned,
    sampled_loss,
    zipf_frequencies,
)


@settings(deadline=None, derandomize=True, max_examples=25)
@given(st.integers(1, 40), st.floats(0.1, 3.0))
def test_frequencies_sum_to_one_and_the_loss_is_what_is_left(n_task, alpha):
    shares = zipf_frequencies(n_task, alpha=alpha)
    assert shares.sum() == pytest.approx(1.0)
    assert shares[0] / shares[-1] == pytest.approx(n_task ** (1 + alpha))
    for n in range(n_task + 1):
        assert loss_when_learned(shares, n, unlearned=2.0) == pytest.approx(2.0 * shares[n:].sum(), abs=1e-12)


def test_many_tasks_give_the_exponents_of_the_theory():
    shares = zipf_frequencies(1_000_000, alpha=0.7)
    n = np.array([30, 100, 300])
    assert log_slope(n, loss_when_learned(shares, n)) == pytest.approx(0.7, rel=0.05)
    examples = np.geomspace(1e3, 1e5, 9)
    found = log_slope(examples, loss_from_examples(shares, examples, needed=1.0))
    assert found == pytest.approx(exponent_of_examples(0.7), rel=0.1)


def test_few_tasks_give_a_steeper_line_than_the_theory():
    shares = zipf_frequencies(64, alpha=0.4)
    n = np.array([4, 8, 16, 32])
    assert log_slope(n, loss_when_learned(shares, n)) > 1.5 * 0.4


def test_learning_from_examples_takes_the_frequent_tasks_first():
    shares = zipf_frequencies(10, alpha=1.0)
    for n in range(1, 10):
        assert loss_from_examples(shares, 5.0 / shares[n - 1] * 1.0001, needed=5.0) == pytest.approx(
            float(loss_when_learned(shares, n))
        )


def test_drawn_examples_agree_with_the_expected_ones():
    shares = zipf_frequencies(200, alpha=0.5)
    drawn = sampled_loss(shares, 20_000, needed=50, n_draw=50, seed=0)
    assert drawn.shape == (50,)
    assert drawn.mean() == pytest.approx(float(loss_from_examples(shares, 20_000, needed=50)), rel=0.05)


@pytest.mark.parametrize(
    ("call", "what"),
    [
        (lambda: zipf_frequencies(0, alpha=1.0), "n_task"),
        (lambda: zipf_frequencies(3, alpha=0.0), "alpha"),
        (lambda: loss_when_learned([0.5, 0.5], 3), "n_learned"),
        (lambda: loss_from_examples([1.0], 3, needed=0.0), "needed"),
    ],
)
def test_what_cannot_be_is_refused_by_name(call, what):
    with pytest.raises(ValueError, match=f"^{what} must"):
        call()
