"""What rebound promises: its textbook cases, and a demand that answers with a constant elasticity."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scaling_transformers.footprint import rebound

gains, elasticities = st.floats(1.001, 1e3), st.floats(0, 3)


@given(gains)
@settings(deadline=None, derandomize=True)
def test_the_three_textbook_cases(gain):
    assert rebound(efficiency_gain=gain, elasticity=0).energy_ratio == pytest.approx(1 / gain)
    assert rebound(efficiency_gain=gain, elasticity=0).rebound == pytest.approx(0, abs=1e-9)
    assert rebound(efficiency_gain=gain, elasticity=1).energy_ratio == pytest.approx(1)
    assert rebound(efficiency_gain=gain, elasticity=1).rebound == pytest.approx(1)
    assert rebound(efficiency_gain=gain, elasticity=1.5).backfires


@given(gains, elasticities)
@settings(deadline=None, derandomize=True)
def test_energy_is_use_over_efficiency_and_two_gains_compose(gain, elasticity):
    one, two = (rebound(efficiency_gain=g, elasticity=elasticity) for g in (gain, gain**2))
    assert one.energy_ratio == pytest.approx(one.use_ratio / gain)
    assert two.energy_ratio == pytest.approx(one.energy_ratio**2)
    assert one.backfires == (one.rebound > 1 + 1e-12) or abs(elasticity - 1) < 1e-9


@given(gains, elasticities)
@settings(deadline=None, derandomize=True)
def test_the_elasticity_of_use_is_the_one_given(gain, elasticity):
    """A gain 1 % larger makes use 1.01**elasticity larger."""
    now, then = (rebound(efficiency_gain=g, elasticity=elasticity).use_ratio for g in (gain, 1.01 * gain))
    assert then / now == pytest.approx(1.01**elasticity)


def test_without_a_gain_nothing_changes():
    nothing = rebound(efficiency_gain=1, elasticity=2)
    assert (nothing.energy_ratio, nothing.use_ratio, nothing.rebound) == (1, 1, 0)
    assert not nothing.backfires


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"efficiency_gain": 0.5}, r"efficiency_gain must .*at least 1; got 0\.5"),
        ({"elasticity": -0.5}, r"elasticity must .*at least 0; got -0\.5"),
    ],
)
def test_wrong_input_is_explained(wrong, message):
    with pytest.raises(ValueError, match=message):
        rebound(**({"efficiency_gain": 2, "elasticity": 0.5} | wrong))
