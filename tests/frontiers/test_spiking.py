"""A neuron's spikes against the closed forms of its rate, in continuous and in discrete time."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from scaling_transformers.frontiers.spiking import Neuron, heaviside, lif, lif_step


@settings(deadline=None, derandomize=True, max_examples=40)
@given(
    drive=st.floats(1.05, 5.0),
    tau=st.floats(5.0, 50.0),
    resistance=st.floats(1.0, 100.0),
    threshold=st.floats(5.0, 30.0),
)
def test_the_interval_between_spikes_is_the_closed_forms_rounded_up_to_a_step(
    drive, tau, resistance, threshold
):
    neuron = Neuron(tau_ms=tau, resistance_mohm=resistance, threshold_mv=threshold)
    current = drive * neuron.rheobase_na
    interval = 1000 / float(neuron.rate_hz(current))
    dt = interval / 7.5  # halfway between two steps, so that rounding cannot tip it
    spikes, _ = neuron.simulate(np.full(33, current), dt_ms=dt)
    assert np.flatnonzero(spikes).tolist() == [7, 15, 23, 31]


def test_the_rate_in_small_steps_is_that_of_continuous_time():
    neuron = Neuron()
    for current in (1.6, 2.0, 4.0):
        spikes, _ = neuron.simulate(np.full(20_000, current), dt_ms=0.1)  # two seconds
        assert spikes.sum() / 2 == pytest.approx(float(neuron.rate_hz(current)), rel=0.02)


def test_the_membrane_below_threshold_follows_the_exponential():
    neuron = Neuron(tau_ms=20, resistance_mohm=10, threshold_mv=15)
    _, membrane = neuron.simulate(np.full(50, 1.0), dt_ms=2.0)
    times = 2.0 * np.arange(1, 51)
    np.testing.assert_allclose(membrane, 10 * (1 - np.exp(-times / 20)), rtol=1e-12)


def test_at_the_rheobase_and_below_it_never_fires():
    neuron = Neuron()
    assert neuron.rheobase_na == 1.5
    assert neuron.rate_hz([0.0, -1.0, 1.5]).tolist() == [0.0, 0.0, 0.0]
    assert neuron.rate_hz(1.5000001) > 0
    assert neuron.simulate(np.full(5000, 1.5), dt_ms=0.1)[0].sum() == 0


def test_two_steps_by_hand_leak_fire_and_reset():
    spikes, left = lif_step(np.array([0.8, 0.8]), np.array([0.5, 0.7]), decay=0.5)
    np.testing.assert_allclose(left, [0.9, 0.0])
    assert spikes.tolist() == [0.0, 1.0]
    spikes, left = lif_step(left, np.array([0.5, 0.7]), decay=0.5)
    np.testing.assert_allclose(left, [0.95, 0.7])
    assert spikes.tolist() == [0.0, 0.0]


def test_torch_and_numpy_give_the_same_spikes():
    current = np.random.default_rng(0).random((20, 3, 4))
    spikes, membrane = lif(current, decay=0.7)
    again, membrane_again = lif(torch.tensor(current), decay=0.7)
    assert isinstance(again, torch.Tensor)
    assert spikes.sum() > 20
    np.testing.assert_array_equal(again.numpy(), spikes)
    np.testing.assert_allclose(membrane_again.numpy(), membrane)


def test_no_gradient_runs_through_the_reset():
    current = torch.tensor([0.9, 0.9], dtype=torch.float64, requires_grad=True)
    _, membrane = lif(current, decay=0.5, spike=lambda x: torch.sigmoid(100 * x).round() + 0 * x)
    membrane[1].backward()
    np.testing.assert_allclose(
        current.grad, [0.0, 0.0]
    )  # both have fired or been reset: 1 - s is 0 at the second
    current = torch.tensor([0.4, 0.4], dtype=torch.float64, requires_grad=True)
    _, membrane = lif(current, decay=0.5)
    membrane[1].backward()
    np.testing.assert_allclose(current.grad, [0.5, 1.0])


def test_bad_input_is_refused():
    assert heaviside(np.array([-1.0, 0.0])).tolist() == [0.0, 1.0]
    with pytest.raises(ValueError, match="decay must be a finite number at least 0 and at most 1"):
        lif(np.ones(3), decay=1.5)
    with pytest.raises(ValueError, match="threshold must be a finite number above 0"):
        lif(np.ones(3), decay=0.5, threshold=0.0)
    with pytest.raises(ValueError, match="current must have a time step"):
        lif(np.ones((0, 2)), decay=0.5)
    for name in ("tau_ms", "resistance_mohm", "threshold_mv"):
        with pytest.raises(ValueError, match=f"{name} must be a finite number above 0"):
            Neuron(**{name: 0.0})
    with pytest.raises(ValueError, match="dt_ms must be"):
        Neuron().decay(0.0)
    assert Neuron().decay(20.0) == pytest.approx(math.exp(-1))
