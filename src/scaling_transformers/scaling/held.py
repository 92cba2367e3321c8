"""A law of which some numbers are given, and the others fitted to runs."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from scaling_transformers.accounting._inputs import require_positive
from scaling_transformers.scaling._inputs import require_runs
from scaling_transformers.scaling._solver import held, minimise
from scaling_transformers.scaling.fits import chinchilla_model
from scaling_transformers.scaling.laws import ChinchillaLaw


def fit_terms(
    n_params: ArrayLike,
    n_tokens: ArrayLike,
    loss: ArrayLike,
    *,
    E: float,
    alpha: float,
    beta: float,
    delta: float = 1e-3,
) -> tuple[ChinchillaLaw, float]:
    """The law with a given floor and given exponents whose A and B fit runs best, and its objective.

    The objective is that of `fit_chinchilla`, so that the two can be held against each other.

    Parameters
    ----------
    n_params, n_tokens, loss : array_like, shape (n_run,)
        Of each run: parameters, tokens seen, final loss in nats a token. At least 2 runs.
    E, alpha, beta : float
        Of the law: its floor, in nats a token, and its exponents. Positive.
    delta : float
        As in `fit_chinchilla`.

    Returns
    -------
    law : ChinchillaLaw
    objective : float
        Sum over runs of the Huber loss of the residuals of log loss, as `LawFit.objective`.

    Raises
    ------
    ValueError
        If the lists differ in length, a number is not positive and finite, or the runs are too few.

    Examples
    --------
    >>> import numpy as np
    >>> true = ChinchillaLaw(E=1.7, A=400, B=300, alpha=0.34, beta=0.28)
    >>> n, d = (a.ravel() for a in np.meshgrid(np.geomspace(1e7, 1e10, 6), np.geomspace(1e9, 1e12, 6)))
    >>> law, objective = fit_terms(
    ...     n, d, true.loss(n_params=n, n_tokens=d), E=1.7, alpha=0.34, beta=0.28
    ... )
    >>> round(law.A, 3), round(law.B, 3)
    (400.0, 300.0)
    """
    for name, value in (("E", E), ("alpha", alpha), ("beta", beta), ("delta", delta)):
        require_positive(value, name=name)
    runs = require_runs(least=2, n_params=n_params, n_tokens=n_tokens, loss=loss)
    x, y, z = (np.log(values) for values in runs)
    # half of the reducible loss in the middle of the runs for each term
    half = np.log(max(float(np.median(np.exp(z))) - E, 0.01 * E) / 2)
    rows = np.array([[half + alpha * x.mean(), half + beta * y.mean(), np.log(E), alpha, beta]])
    model = held(chinchilla_model(x, y), 2, 3, 4)
    # least squares but for the farthest runs, to begin with
    rows, _, _ = minimise(model, rows, z, delta=30 * delta, n_step=30)
    rows, objective, _ = minimise(model, rows, z, delta=delta)
    a, b = np.exp(rows[0, :2])
    law = ChinchillaLaw(E=float(E), A=float(a), B=float(b), alpha=float(alpha), beta=float(beta))
    return law, float(objective[0])
