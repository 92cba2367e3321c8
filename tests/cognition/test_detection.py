"""Sensitivity as the normal distribution has it; a readout that finds what is linear and nothing else."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scaling_transformers.cognition.detection import d_prime, fit_readout, sensitivity

COUNTS = st.integers(0, 500)


def test_sensitivity_is_the_distance_of_two_normal_distributions():
    generator = np.random.default_rng(0)
    truth = generator.random(200_000) < 0.3
    seen = generator.standard_normal(200_000) + 1.7 * truth
    assert sensitivity(seen > 0.6, truth) == pytest.approx(1.7, abs=0.03)


@settings(deadline=None, derandomize=True)
@given(COUNTS, COUNTS, COUNTS, COUNTS)
def test_saying_the_opposite_turns_the_sign(a, b, c, d):
    assert d_prime(a, b, c, d) == pytest.approx(-d_prime(b, a, d, c), abs=1e-9)
    assert np.isfinite(d_prime(a, b, c, d))


def test_the_readout_agrees_with_the_discriminant_of_scikit_learn():
    analysis = pytest.importorskip("sklearn.discriminant_analysis")
    generator = np.random.default_rng(1)
    targets = generator.random(3000) < 0.4
    features = generator.standard_normal((3000, 6)) @ generator.standard_normal((6, 6))
    features[targets] += generator.standard_normal(6)
    ours = fit_readout(features, targets, penalty=1e-9)
    theirs = analysis.LinearDiscriminantAnalysis().fit(features, targets).coef_[0]
    cosine = ours.weights @ theirs / np.linalg.norm(ours.weights) / np.linalg.norm(theirs)
    assert cosine == pytest.approx(1, abs=1e-6)
    assert sensitivity(ours(features), targets) > 0.5


def test_noise_teaches_nothing():
    generator = np.random.default_rng(2)
    features, targets = generator.standard_normal((4000, 20)), generator.random(4000) < 0.5
    readout = fit_readout(features[:2000], targets[:2000])
    assert abs(sensitivity(readout(features[2000:]), targets[2000:])) < 0.2


def test_two_tokens_that_are_alike_are_no_linear_matter():
    pairs = np.random.default_rng(3).integers(0, 30, size=(20_000, 2))
    features = np.eye(30)[pairs].reshape(20_000, 60)
    same = pairs[:, 0] == pairs[:, 1]
    readout = fit_readout(features[:10_000], same[:10_000])
    assert abs(sensitivity(readout(features[10_000:]), same[10_000:])) < 0.4


def test_what_cannot_be_fitted_is_refused():
    with pytest.raises(ValueError, match="both answers"):
        fit_readout(np.ones((3, 2)), [True, True, True])
    with pytest.raises(ValueError, match="features must be"):
        fit_readout(np.ones(3), [True, False, True])
    with pytest.raises(ValueError, match="penalty"):
        fit_readout(np.ones((2, 1)), [True, False], penalty=0)
    with pytest.raises(ValueError, match="hits"):
        d_prime(-1, 0, 0, 0)
    with pytest.raises(ValueError, match="one shape"):
        sensitivity([True], [True, False])
