"""The interval of a mean is that of its draws, repeats, and refuses what is not a sample."""

import numpy as np
import pytest

from scaling_transformers.society import bootstrap_mean
from scaling_transformers.society.estimates import wilson_interval


def test_the_interval_is_near_the_normal_one_for_a_large_sample():
    values = np.random.default_rng(0).standard_normal(2000)
    found = bootstrap_mean(values, seed=1)
    half = 1.96 * values.std() / 2000**0.5
    assert found.value == pytest.approx(values.mean())
    assert (found.high - found.low) / 2 == pytest.approx(half, rel=0.1)
    assert found == bootstrap_mean(values, seed=1) != bootstrap_mean(values, seed=2)


def test_a_wider_level_holds_the_narrower():
    values = np.arange(10.0)
    wide, narrow = bootstrap_mean(values, level=0.99), bootstrap_mean(values, level=0.5)
    assert wide.low < narrow.low < narrow.high < wide.high


@pytest.mark.parametrize("values", [[], [[1.0]], [np.nan]])
def test_no_sample_no_interval(values):
    with pytest.raises(ValueError, match="values must be finite numbers on one axis"):
        bootstrap_mean(values)


def test_options_out_of_range_are_refused():
    with pytest.raises(ValueError, match="level must be between 0 and 1"):
        bootstrap_mean([1.0], level=1.0)
    with pytest.raises(ValueError, match="n_bootstrap must be a whole number"):
        bootstrap_mean([1.0], n_bootstrap=0)


@pytest.mark.parametrize(("hits", "n"), [(0, 16), (8, 16), (15, 16), (16, 16)])
def test_the_interval_of_a_share_is_that_of_scipy(hits, n):
    from scipy.stats import binomtest

    reference = binomtest(hits, n).proportion_ci(0.95, method="wilson")
    np.testing.assert_allclose(wilson_interval(hits / n, n), reference, atol=1e-6)


@pytest.mark.parametrize(("share", "n"), [(1.2, 10), (-0.1, 10), (0.5, 0)])
def test_what_is_no_share_is_refused(share, n):
    with pytest.raises(ValueError, match="share must"):
        wilson_interval(share, n)
