"""A law of which some numbers are given, and the others fitted to runs."""

from __future__ import annotations

from scaling_transformers._numpy import ArrayLike, np
from scaling_transformers.accounting._inputs import require_positive
from scaling_transformers.scaling._inputs import plain, require_runs, require_together
from scaling_transformers.scaling._solver import held, minimise
from scaling_transformers.scaling.fits import chinchilla_model
from scaling_transformers.scaling.laws import ChinchillaLaw, Number


def fit_terms(
    n_params: ArrayLike,
    n_tokens: ArrayLike,
    loss: ArrayLike,
    *,
    E: ArrayLike,
    alpha: ArrayLike,
    beta: ArrayLike,
    delta: float = 1e-3,
) -> tuple[ChinchillaLaw, Number]:
    """The law with a given floor and given exponents whose A and B fit runs best, and its objective.

    The objective is that of `fit_chinchilla`, so that the two can be held against each other.

    Parameters
    ----------
    n_params, n_tokens, loss : array_like, shape (n_run,)
        Of each run: parameters, tokens seen, final loss in nats a token. At least 2 runs.
    E, alpha, beta : array_like
        Of the law: its floor, in nats a token, and its exponents. Positive. Arrays that broadcast give as
        many laws, fitted together.
    delta : float
        As in `fit_chinchilla`.

    Returns
    -------
    law : ChinchillaLaw
        Of floats or arrays, as what was given.
    objective : float or array
        Sum over runs of the Huber loss of the residuals of log loss, as `LawFit.objective`.

    Raises
    ------
    ValueError
        If the lists differ in length, a number is not positive and finite, the runs are too few, or arrays do
        not broadcast.

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
    require_positive(delta, name="delta")
    runs = require_runs(least=2, n_params=n_params, n_tokens=n_tokens, loss=loss)
    x, y, z = (np.log(values) for values in runs)
    given = np.broadcast_arrays(*require_together(E=E, alpha=alpha, beta=beta))
    floor, alphas, betas = (values.ravel() for values in given)
    # half of the reducible loss in the middle of the runs for each term
    half = np.log(np.maximum(np.median(np.exp(z)) - floor, 0.01 * floor) / 2)
    rows = np.stack([half + alphas * x.mean(), half + betas * y.mean(), np.log(floor), alphas, betas], axis=1)
    model = held(chinchilla_model(x, y), 2, 3, 4)
    # least squares but for the farthest runs, to begin with
    rows, _, _ = minimise(model, rows, z, delta=30 * delta, n_step=30)
    rows, objective, _ = minimise(model, rows, z, delta=delta)
    a, b = (np.exp(rows[:, i]).reshape(given[0].shape) for i in range(2))
    law = ChinchillaLaw(E=given[0], A=a, B=b, alpha=given[1], beta=given[2])
    return law, plain(objective.reshape(given[0].shape))
