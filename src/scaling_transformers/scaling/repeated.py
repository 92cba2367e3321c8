"""How fast repeated data and excess parameters lose their worth, fitted to runs that repeat."""

from __future__ import annotations

from itertools import product

from scaling_transformers._numpy import ArrayLike, np
from scaling_transformers.accounting._inputs import require_positive
from scaling_transformers.scaling._inputs import require_runs
from scaling_transformers.scaling._solver import Array, Assemble, Model
from scaling_transformers.scaling.fits import LawFit, best_of, require_bootstrap, summarise
from scaling_transformers.scaling.laws import ChinchillaLaw, DataConstrainedLaw


def fit_data_constrained(
    n_params: ArrayLike,
    n_tokens: ArrayLike,
    n_unique_tokens: ArrayLike,
    loss: ArrayLike,
    *,
    law: ChinchillaLaw,
    delta: float = 1e-3,
    n_bootstrap: int = 0,
    seed: int = 0,
) -> LawFit[DataConstrainedLaw]:
    """The two decays of the `DataConstrainedLaw` that fits runs best, on top of a law of data seen once.

    Huber loss on log loss, from 64 starts solved together; fits the logarithms of both decays. ``law`` stays
    as it is, and the errors take it as known: fit it first, by `fit_chinchilla`, to runs that repeat nothing.

    Parameters
    ----------
    n_params, n_tokens, n_unique_tokens, loss : array_like, shape (n_run,)
        Of each run: parameters, tokens seen, how many different ones were there to see, final loss in nats a
        token. At least 6 runs; at least 3 must repeat data (``n_tokens > n_unique_tokens``), and 3 have more
        parameters than are best for their unique tokens, or a decay has nothing to show in.
    law : ChinchillaLaw
        Of data seen once; one law, not many.
    delta, n_bootstrap, seed
        As in `fit_chinchilla`.

    Returns
    -------
    LawFit
        Of ``token_decay`` and ``param_decay``. ``converged`` is False if the runs leave one open: with few
        repeats all decays look alike.

    Raises
    ------
    ValueError
        If the lists differ in length, a number is not positive and finite, the runs are too few, too few of
        them repeat data or have parameters in excess, or ``law`` is no single `ChinchillaLaw`.

    Examples
    --------
    >>> import numpy as np
    >>> true = DataConstrainedLaw.published()
    >>> n, epochs = (a.ravel() for a in np.meshgrid(np.geomspace(1e7, 1e10, 6), [1, 2, 4, 16, 64]))
    >>> loss = true.loss(n_params=n, n_tokens=1e9 * epochs, n_unique_tokens=1e9)
    >>> fit = fit_data_constrained(n, 1e9 * epochs, np.full(n.shape, 1e9), loss, law=true.law)
    >>> round(fit.law.token_decay, 3), round(fit.law.param_decay, 3)
    (15.388, 5.31)

    Source: Muennighoff et al. 2023, equations 5 and 6 (the law).
    """
    n, d, unique, y = require_runs(
        least=6, n_params=n_params, n_tokens=n_tokens, n_unique_tokens=n_unique_tokens, loss=loss
    )
    require_positive(delta, name="delta")
    n_bootstrap = require_bootstrap(n_bootstrap)
    if not isinstance(law, ChinchillaLaw) or any(np.ndim(value) for value in vars(law).values()):
        raise ValueError(f"law must be one ChinchillaLaw; got {law!r}")
    unique = np.minimum(unique, d)
    enough = np.minimum(law.enough_params(n_tokens=unique), n)
    if (repeating := int((d > unique).sum())) < 3:
        raise ValueError(
            "n_tokens must exceed n_unique_tokens in at least 3 runs, or nothing tells what a repeat is "
            f"worth; got {repeating}"
        )
    if (excess := int((n > enough).sum())) < 3:
        raise ValueError(
            "n_params must exceed what is best for n_unique_tokens in at least 3 runs, or nothing tells what "
            f"a parameter in excess is worth; got {excess}"
        )
    columns = law.A / enough**law.alpha, n / enough - 1, law.B / unique**law.beta, d / unique - 1

    def kind(*columns: Array) -> Model:
        return repeated_model(*columns, law=law)

    theta, value, converged = best_of(kind, *columns, target=np.log(y), starts=repeated_starts(), delta=delta)
    return summarise(
        lambda **decays: DataConstrainedLaw(law, **decays),
        names=("token_decay", "param_decay"),
        n_log=2,
        open_at=(1.5, 1.5),
        model=kind(*columns),
        theta=theta,
        value=value,
        found=converged,
        target=np.log(y),
        delta=delta,
        near=lambda rows: np.concatenate([rows + shift for shift in (0.0, 0.5, -0.5)]),
        n_bootstrap=n_bootstrap,
        seed=seed,
    )


def repeated_starts() -> Array:
    """64 starts of the logarithms of both decays."""
    logs = np.log(np.geomspace(0.3, 300, 8))
    return np.array(list(product(logs, logs)))


def repeated_model(
    params: Array, excess: Array, tokens: Array, repeats: Array, *, law: ChinchillaLaw
) -> Model:
    """Log loss of rows ``log token_decay``, ``log param_decay``.

    ``params`` and ``tokens`` are the terms of the loss with no excess and no repeats, ``excess`` and
    ``repeats`` what comes on top, in units of what they exceed. Times ``w = 1 + r (1 - exp(-R / r))`` of them
    have the same worth: a term is divided by ``w**exponent``.
    """

    def term(fresh: Array, more: Array, exponent: float, log_decay: Array) -> tuple[Array, Array, Array]:
        """The term, and its first and second derivative by ``log_decay``."""
        decay = np.exp(np.clip(log_decay, -50, 50))[:, None]
        z = more / decay
        kept = np.exp(-z)
        worth = 1 - decay * np.expm1(-z)
        # the difference of 1 - exp(-z) and z exp(-z) loses its digits where z is small: there z**2 / 2
        first = decay * np.where(z < 1e-4, z * z / 2, -np.expm1(-z) - z * kept)
        second = first - decay * z * z * kept
        value = fresh / worth**exponent
        slope = -exponent * first / worth
        return value, value * slope, value * (slope**2 - exponent * (second / worth - (first / worth) ** 2))

    def model(theta: Array) -> tuple[Array, Assemble]:
        q, dq, ddq = term(tokens, repeats, float(law.beta), theta[:, 0])
        p, dp, ddp = term(params, excess, float(law.alpha), theta[:, 1])
        total = law.E + p + q

        def assemble(slope: Array, weight: Array, bend: Array) -> tuple[Array, Array]:
            jacobian = np.stack([dq, dp], axis=-1) / total[..., None]
            curved = np.stack([ddq, ddp], axis=-1) / total[..., None]
            hessian = np.swapaxes((weight - bend)[..., None] * jacobian, -1, -2) @ jacobian
            hessian[:, (0, 1), (0, 1)] += (bend[..., None] * curved).sum(axis=1)
            return (slope[..., None] * jacobian).sum(axis=1), hessian

        return np.log(total), assemble

    return model
