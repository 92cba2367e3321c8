"""What a published figure with its interval promises as a distribution."""

import math
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from scaling_transformers.society import Interval, Spread, interval_of

properly = settings(deadline=None, derandomize=True, max_examples=40)
factors = st.floats(1.01, 1e3)


@st.composite
def spreads(draw):
    middle = draw(st.floats(1e-3, 1e30))
    return Spread(middle, middle / draw(factors), middle * draw(factors), draw(st.floats(0.5, 0.99)))


def test_a_symmetrical_spread_is_the_log_normal_of_scipy():
    spread = Spread.factor(3.0, 2.0, level=0.9)
    known = stats.lognorm(s=math.log(2) / stats.norm.ppf(0.95), scale=3.0)
    for value in (0.1, 1.0, 3.0, 5.9, 40.0):
        assert spread.chance_above(value) == pytest.approx(known.sf(value), rel=1e-9)
    for probability in (0.01, 0.3, 0.5, 0.77, 0.999):
        assert spread.quantile(probability) == pytest.approx(known.ppf(probability), rel=1e-9)


@properly
@given(spreads())
def test_the_published_figures_are_its_median_and_the_ends_of_its_interval(spread):
    tail = (1 - spread.level) / 2
    assert spread.quantile(0.5) == pytest.approx(spread.middle)
    assert spread.quantile(tail) == pytest.approx(spread.low)
    assert spread.quantile(1 - tail) == pytest.approx(spread.high)
    assert spread.chance_above(spread.middle) == pytest.approx(0.5)
    assert spread.chance_above(spread.low) == pytest.approx(1 - tail)
    assert spread.chance_above(spread.high) == pytest.approx(tail)


@properly
@given(spreads(), st.floats(0.001, 0.999))
def test_quantiles_and_chances_undo_each_other(spread, probability):
    value = spread.quantile(probability)
    assert spread.chance_above(value) == pytest.approx(1 - probability, abs=1e-6)


@properly
@given(spreads(), st.floats(1e-3, 1e3))
def test_a_known_multiple_is_as_uncertain_as_the_quantity(spread, factor):
    multiple = spread.times(factor)
    assert multiple.chance_above(spread.high * factor) == pytest.approx(spread.chance_above(spread.high))


def test_draws_have_the_quantiles():
    spread, generator = Spread(8, 2, 22), random.Random(0)
    found = interval_of([spread.draw(generator) for _ in range(20_000)])
    assert found.middle == pytest.approx(8, rel=0.03)
    assert (found.low, found.high) == (pytest.approx(2, rel=0.05), pytest.approx(22, rel=0.05))


def test_an_interval_of_draws_is_interpolated_as_in_numpy():
    import numpy as np

    draws = [5.0, 1.0, 2.0, 8.0, 3.0, 9.0]
    expected = np.quantile(draws, [0.5, 0.1, 0.9])
    found = interval_of(draws, level=0.8)
    assert [found.middle, found.low, found.high] == pytest.approx(expected)
    assert interval_of([2.0]) == Interval(2.0, 2.0, 2.0)


def test_an_interval_without_a_middle_has_the_geometric_mean():
    assert Spread.between(2.0, 8.0).middle == pytest.approx(4.0)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Spread(1.0, 2.0, 3.0), "low, middle and high must rise"),
        (lambda: Spread(0.0, 1.0, 2.0), "middle must be a positive"),
        (lambda: Spread(2.0, 1.0, math.inf), "high must be a positive finite"),
        (lambda: Spread(2.0, 1.0, 3.0, level=1.0), "level must be between 0 and 1"),
        (lambda: Spread.factor(2.0, 1.0), "factor must be above 1"),
        (lambda: Spread(2.0, 1.0, 3.0).quantile(1.0), "probability must be between"),
        (lambda: Spread(2.0, 1.0, 3.0).chance_above(-1.0), "value must be a positive"),
        (lambda: interval_of([]), "draws must be one or more"),
        (lambda: interval_of([1.0, math.nan]), "draws must be one or more finite"),
    ],
)
def test_what_is_no_spread_is_refused_by_name(make, message):
    with pytest.raises(ValueError, match=message):
        make()
