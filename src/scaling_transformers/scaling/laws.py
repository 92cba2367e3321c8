"""What a law of scale predicts, and the split of a budget that it calls best, in closed form."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import ArrayLike

from scaling_transformers.accounting._inputs import require_all_positive
from scaling_transformers.scaling._inputs import plain, require_together

Number: TypeAlias = float | Any  # a float of one law, an array of many


@dataclass(frozen=True)
class Allocation:
    """A budget split: ``n_params`` parameters, ``n_tokens`` tokens; ``loss`` predicted, nats a token."""

    n_params: Number
    n_tokens: Number
    loss: Number

    @property
    def tokens_per_parameter(self) -> Number:
        """``n_tokens / n_params``."""
        return self.n_tokens / self.n_params


def check_parameters(law: Any, *, zero: tuple[str, ...] = ()) -> None:
    """Make the fields of ``law`` float64, or raise `ValueError`: positive, finite, or 0 if in ``zero``."""
    for field in fields(law):
        value = np.asarray(getattr(law, field.name))
        if field.name in zero and value.dtype.kind in "iuf" and value.size and (value == 0).all():
            value = value.astype(np.float64)
        else:
            value = require_all_positive(getattr(law, field.name), name=field.name)
        object.__setattr__(law, field.name, plain(value))


@dataclass(frozen=True)
class ChinchillaLaw:
    """Loss ``E + A / N**alpha + B / D**beta`` of N parameters trained on D tokens, in nats a token.

    Parameters
    ----------
    E : float
        Loss that no scale removes, nats a token. Not negative.
    A, B : float
        Loss that one parameter, or one token, would leave over. Positive.
    alpha, beta : float
        How fast the loss falls with parameters and with tokens. Positive.

    Each may be an array, then it is many laws that broadcast against what they are asked: the samples of a
    fit, for instance.

    Raises
    ------
    ValueError
        If a parameter is not positive and finite (E may be 0).

    Examples
    --------
    >>> law = ChinchillaLaw(E=1.69, A=406.4, B=410.7, alpha=0.34, beta=0.28)
    >>> round(law.loss(n_params=70e9, n_tokens=1.4e12), 3)
    1.937
    >>> best = law.optimal(flops=5.76e23)
    >>> f"{best.n_params:.2e} parameters, {best.n_tokens:.2e} tokens"
    '3.22e+10 parameters, 2.98e+12 tokens'

    Source: Hoffmann et al. 2022, equations 2 and 10 (the values of the example: section D.3).
    """

    E: Number
    A: Number
    B: Number
    alpha: Number
    beta: Number

    def __post_init__(self) -> None:
        check_parameters(self, zero=("E",))

    def loss(self, *, n_params: ArrayLike, n_tokens: ArrayLike) -> Number:
        """Predicted loss in nats a token, of the shape to which the arguments and the law broadcast.

        Raises `ValueError` if a number is not positive and finite, or the shapes do not broadcast.
        """
        n, d = require_together(n_params=n_params, n_tokens=n_tokens)
        return plain(self.E + self.A / n**self.alpha + self.B / d**self.beta)

    def optimal(self, *, flops: ArrayLike) -> Allocation:
        """The parameters and tokens of least loss for a budget of ``flops`` = 6 N D.

        ``N = G (C/6)**(beta / (alpha+beta))`` with ``G = (alpha A / (beta B))**(1 / (alpha+beta))``.

        Raises `ValueError` if a budget is not positive and finite.

        Source: Hoffmann et al. 2022, equation 4.
        """
        budget = require_all_positive(flops, name="flops") / 6
        total = self.alpha + self.beta
        g = (self.alpha * self.A / (self.beta * self.B)) ** (1 / total)
        n, d = g * budget ** (self.beta / total), budget ** (self.alpha / total) / g
        return Allocation(plain(n), plain(d), self.loss(n_params=n, n_tokens=d))


@dataclass(frozen=True)
class KaplanLaw:
    """Loss ``((N_c / N)**(alpha_N / alpha_D) + D_c / D)**alpha_D``, in nats a token.

    N counts parameters without the embedding. Nothing is left over at infinite scale.

    Parameters
    ----------
    N_c, D_c : float
        Parameters, and tokens, at which the loss would be one nat were the other without limit. Positive.
    alpha_N, alpha_D : float
        How fast the loss falls with parameters and with tokens. Positive.

    Raises
    ------
    ValueError
        If a parameter is not positive and finite.

    Examples
    --------
    >>> round(KaplanLaw.published().loss(n_params=1.5e9, n_tokens=2.2e10), 2)
    2.31

    Source: Kaplan et al. 2020, equation 1.5.
    """

    N_c: Number
    D_c: Number
    alpha_N: Number
    alpha_D: Number

    def __post_init__(self) -> None:
        check_parameters(self)

    @classmethod
    def published(cls) -> KaplanLaw:
        """The law as fitted by its authors, on WebText2 with a vocabulary of 50,257.

        Source: Kaplan et al. 2020, table 2.
        """
        return cls(N_c=6.4e13, D_c=1.8e13, alpha_N=0.076, alpha_D=0.103)

    def loss(self, *, n_params: ArrayLike, n_tokens: ArrayLike) -> Number:
        """Predicted loss in nats a token, of the shape to which the arguments and the law broadcast.

        Raises `ValueError` if a number is not positive and finite, or the shapes do not broadcast.
        """
        n, d = require_together(n_params=n_params, n_tokens=n_tokens)
        return plain(((self.N_c / n) ** (self.alpha_N / self.alpha_D) + self.D_c / d) ** self.alpha_D)

    def optimal(self, *, flops: ArrayLike) -> Allocation:
        """The parameters and tokens of least loss for a budget of ``flops`` = 6 N D.

        With ``p = alpha_N / alpha_D``: least ``(N_c / N)**p + 6 D_c N / C``, at
        ``N = (p N_c**p C / (6 D_c))**(1 / (1 + p))``. This is the optimum of equation 1.5 under 6 N D, not
        the split that Kaplan et al. recommend, which trains far short of convergence (their section 6).

        Raises `ValueError` if a budget is not positive and finite.
        """
        budget = require_all_positive(flops, name="flops") / 6
        p = self.alpha_N / self.alpha_D
        n = (p * self.N_c**p * budget / self.D_c) ** (1 / (1 + p))
        d = budget / n
        return Allocation(plain(n), plain(d), self.loss(n_params=n, n_tokens=d))
