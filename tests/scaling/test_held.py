"""What a law with a given floor and given exponents promises: no other A and B fit the runs better."""

import numpy as np
import pytest
from scipy.optimize import minimize

from scaling_transformers.scaling import ChinchillaLaw, fit_chinchilla, fit_terms
from scaling_transformers.training import runs

TABLE = runs.recorded("synthetic")
RUNS = (TABLE["n_params"], TABLE["n_tokens"], TABLE["loss"])


def objective(law):
    """Sum of Huber's loss with delta 0.001, written out."""
    residual = np.abs(np.log(law.loss(n_params=RUNS[0], n_tokens=RUNS[1])) - np.log(RUNS[2]))
    return np.where(residual <= 1e-3, residual**2 / 2, 1e-3 * (residual - 5e-4)).sum()


@pytest.mark.parametrize("given", [(0.74, 0.6, 0.45), (0.8, 0.9, 0.35), (0.4, 0.3, 0.3)])
def test_scipy_finds_no_better_terms(given):
    E, alpha, beta = given
    law, value = fit_terms(*RUNS, E=E, alpha=alpha, beta=beta)
    assert (law.E, law.alpha, law.beta) == given
    assert value == pytest.approx(objective(law))

    def of_terms(logs):
        return objective(ChinchillaLaw(E, *np.exp(logs), alpha, beta))

    starts = [np.log([law.A, law.B]) + tilt for tilt in ([0, 0], [2, -2])]
    found = [minimize(of_terms, start, method="Nelder-Mead", options={"fatol": 1e-9}).fun for start in starts]
    assert value <= min(found) * (1 + 1e-3)


def test_with_the_numbers_of_the_best_law_it_is_the_best_law():
    best = fit_chinchilla(*RUNS)
    law, value = fit_terms(*RUNS, E=best.law.E, alpha=best.law.alpha, beta=best.law.beta)
    assert value == pytest.approx(best.objective, rel=1e-3)
    assert pytest.approx((best.law.A, best.law.B), rel=0.02) == (law.A, law.B)


def test_many_laws_are_fitted_as_one_by_one():
    floors, alphas = np.array([0.7, 0.74, 0.78])[:, None], np.array([0.5, 0.7])
    laws, values = fit_terms(*RUNS, E=floors, alpha=alphas, beta=0.45)
    assert laws.A.shape == values.shape == (3, 2)
    for i, j in np.ndindex(3, 2):
        law, value = fit_terms(*RUNS, E=floors[i, 0], alpha=alphas[j], beta=0.45)
        assert (laws.A[i, j], laws.B[i, j]) == pytest.approx((law.A, law.B), rel=1e-6)
        assert values[i, j] == pytest.approx(value, rel=1e-9)


@pytest.mark.parametrize("bad", [{"E": 0.0}, {"alpha": -1.0}, {"beta": np.nan}, {"delta": 0.0}])
def test_a_number_out_of_range_is_named(bad):
    name = next(iter(bad))
    with pytest.raises(ValueError, match=name):
        fit_terms(*RUNS, **{"E": 0.7, "alpha": 0.5, "beta": 0.5, **bad})
