"""What a law of scale predicts, and the split of a budget that it calls best, in closed form."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any, TypeAlias

from scaling_transformers._numpy import HAS_NUMPY, ArrayLike, np
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


def _all_zero(value: Any) -> bool:
    """Whether a number is 0, or all of an array's."""
    if not HAS_NUMPY:
        return not isinstance(value, bool) and bool(value == 0)
    array = np.asarray(value)
    return bool(array.dtype.kind in "iuf" and array.size and (array == 0).all())


def check_parameters(law: Any, *, zero: tuple[str, ...] = ()) -> None:
    """Make the fields of ``law`` float64, or raise `ValueError`: positive, finite, or 0 if in ``zero``."""
    for field in fields(law):
        value = getattr(law, field.name)
        if field.name in zero and _all_zero(value):
            value = np.asarray(value).astype(np.float64) if HAS_NUMPY else 0.0
        else:
            value = require_all_positive(value, name=field.name)
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
    >>> law = ChinchillaLaw.published()
    >>> round(law.loss(n_params=70e9, n_tokens=1.4e12), 3)
    1.937
    >>> best = law.optimal(flops=5.76e23)
    >>> f"{best.n_params:.2e} parameters, {best.n_tokens:.2e} tokens"
    '3.22e+10 parameters, 2.98e+12 tokens'

    Source: Hoffmann et al. 2022, equation 2.
    """

    E: Number
    A: Number
    B: Number
    alpha: Number
    beta: Number

    def __post_init__(self) -> None:
        check_parameters(self, zero=("E",))

    @classmethod
    def published(cls) -> ChinchillaLaw:
        """The law as printed by its authors.

        Source: Hoffmann et al. 2022, section D.3.
        """
        return cls(E=1.69, A=406.4, B=410.7, alpha=0.34, beta=0.28)

    @classmethod
    def refitted(cls) -> ChinchillaLaw:
        """The law as fitted again to the points of the original figure.

        Source: Besiroglu et al. 2024.
        """
        return cls(E=1.8172, A=482.01, B=2085.43, alpha=0.3478, beta=0.3658)

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

    def slopes(self, *, n_params: ArrayLike, n_tokens: ArrayLike) -> tuple[Number, Number]:
        """The exponents that a log-log plot of the loss shows here: over parameters, and over tokens.

        ``-d log loss / d log N = alpha A N**-alpha / loss`` at D tokens, and ``beta B D**-beta / loss`` at N
        parameters: less than alpha and beta, for the floor E and the other term do not fall.

        At the best split of a budget the two are the same, and that is also the exponent over the budget:
        with ``a = beta / (alpha + beta)`` of ``N ~ C**a``, one and the same slope m of both terms adds up to
        ``a m + (1 - a) m``. There m is ``alpha a`` times what share of the loss lies above E. Of the loss
        less E the exponent over the budget is ``alpha a`` everywhere.

        Raises `ValueError` if a number is not positive and finite, or the shapes do not broadcast.

        Examples
        --------
        >>> law = ChinchillaLaw.published()
        >>> best = law.optimal(flops=1e21)
        >>> by_params, by_tokens = law.slopes(n_params=best.n_params, n_tokens=best.n_tokens)
        >>> round(by_params, 4), round(by_tokens, 4)
        (0.0421, 0.0421)
        """
        n, d = require_together(n_params=n_params, n_tokens=n_tokens)
        params, tokens = self.A / n**self.alpha, self.B / d**self.beta
        loss = self.E + params + tokens
        return plain(self.alpha * params / loss), plain(self.beta * tokens / loss)

    def enough_params(self, *, n_tokens: ArrayLike) -> Number:
        """The parameters whose best number of tokens is ``n_tokens``: more of either alone gains the same.

        ``N**alpha = alpha A / (beta B) D**beta``. Raises `ValueError` if a number is not positive and finite.
        """
        d = require_all_positive(n_tokens, name="n_tokens")
        return plain((self.alpha * self.A / (self.beta * self.B) * d**self.beta) ** (1 / self.alpha))

    def cheapest(self, *, loss: ArrayLike, n_inference_tokens: ArrayLike = 0.0) -> Allocation:
        """The parameters and training tokens that reach ``loss`` for the least FLOPs in a life.

        Least ``6 N D + 2 N D_inf``: training, and ``n_inference_tokens`` read or written in use. With s the
        share of N in what the loss is above E, N and D follow from s, and the least is where
        ``alpha s 6 D / (6 D + 2 D_inf) = beta (1 - s)``, found by bisection. The more a model is used, the
        smaller the best one, and the longer it is trained.

        Parameters
        ----------
        loss : array_like
            Loss to be reached, in nats a token; above E.
        n_inference_tokens : array_like
            Not negative. With 0 the split is that of `optimal`.

        Raises
        ------
        ValueError
            If a loss is not above E, a number of tokens is negative, or the shapes do not broadcast.

        Source: Sardana et al. 2024, section 2 (what is minimised).
        """
        wanted = require_all_positive(loss, name="loss")
        used = np.asarray(n_inference_tokens)
        if used.dtype.kind not in "iuf" or used.size == 0 or not ((used >= 0) & (used < np.inf)).all():
            raise ValueError(
                f"n_inference_tokens must be finite and not negative; got {n_inference_tokens!r}"
            )
        if (wanted <= self.E).any():
            raise ValueError(f"loss must be above E = {self.E}, which no scale undercuts; got {wanted.min()}")
        try:
            shape = np.broadcast_shapes(wanted.shape, used.shape, np.shape(self.alpha), np.shape(self.E))
        except ValueError:
            raise ValueError(
                f"loss and n_inference_tokens must broadcast together; got {wanted.shape} and {used.shape}"
            ) from None
        above = np.broadcast_to(wanted - self.E, shape)

        def tokens(logit: Any) -> Any:  # of s; (1 - s) as 1 / (1 + exp(logit)) keeps its digits near s = 1
            return (self.B * (1 + np.exp(logit)) / above) ** (1 / self.beta)

        low, high = np.full(shape, np.log(self.beta / self.alpha)), np.full(shape, 200.0)
        for _ in range(100):
            middle = (low + high) / 2
            training = 6 * tokens(middle)
            rising = self.alpha * np.exp(middle) * (training / (training + 2.0 * used)) > self.beta
            low, high = np.where(rising, low, middle), np.where(rising, middle, high)
        d = tokens(low)
        n = (self.A * (1 + np.exp(-low)) / above) ** (1 / self.alpha)
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


@dataclass(frozen=True)
class DataConstrainedLaw:
    """A `ChinchillaLaw` for data seen more than once: repeats are worth less and less, excess parameters too.

    Loss ``E + A / N'**alpha + B / D'**beta`` with ``D' = U + U r (1 - exp(-R / r))``: U unique tokens, each
    seen again ``R = D / U - 1`` times, and r the ``token_decay``. ``N'`` alike: U is then the best size for
    the unique tokens, or N if that is less, and r the ``param_decay``.

    Parameters
    ----------
    law : ChinchillaLaw
        Of data seen once.
    token_decay, param_decay : float
        Repeats by which a repeat is worth 1/e of a fresh token (of a parameter not in excess). Positive. Each
        may be an array, then it is many laws.

    Raises
    ------
    ValueError
        If ``law`` is no `ChinchillaLaw`, or a decay is not positive and finite.

    Examples
    --------
    >>> law = DataConstrainedLaw.published()
    >>> four = law.effective_tokens(n_tokens=4e9, n_unique_tokens=1e9)
    >>> f"4 epochs are worth {four / 1e9:.2f} epochs of fresh data"
    '4 epochs are worth 3.73 epochs of fresh data'

    Source: Muennighoff et al. 2023, equations 5 and 6.
    """

    law: ChinchillaLaw
    token_decay: Number
    param_decay: Number

    def __post_init__(self) -> None:
        if not isinstance(self.law, ChinchillaLaw):
            raise ValueError(f"law must be a ChinchillaLaw; got {type(self.law).__name__}")
        for name in ("token_decay", "param_decay"):
            object.__setattr__(self, name, plain(require_all_positive(getattr(self, name), name=name)))

    @classmethod
    def published(cls) -> DataConstrainedLaw:
        """The law as fitted by its authors, on C4. Source: Muennighoff et al. 2023, appendix A."""
        law = ChinchillaLaw(
            E=np.exp(0.6254804), A=np.exp(6.255414), B=np.exp(7.3049974), alpha=0.3526596, beta=0.3526596
        )
        return cls(law=law, token_decay=15.387756, param_decay=5.309743)

    def effective_tokens(self, *, n_tokens: ArrayLike, n_unique_tokens: ArrayLike) -> Number:
        """Fresh tokens that ``n_tokens`` are worth when at most ``n_unique_tokens`` of them differ.

        Raises `ValueError` if a number is not positive and finite, or the shapes do not broadcast.
        """
        d, unique = require_together(n_tokens=n_tokens, n_unique_tokens=n_unique_tokens)
        return plain(_worth(d, np.minimum(unique, d), self.token_decay))

    def loss(self, *, n_params: ArrayLike, n_tokens: ArrayLike, n_unique_tokens: ArrayLike) -> Number:
        """Predicted loss in nats a token, of the shape to which the arguments broadcast.

        Raises `ValueError` if a number is not positive and finite, or the shapes do not broadcast.
        """
        n, d, unique = require_together(n_params=n_params, n_tokens=n_tokens, n_unique_tokens=n_unique_tokens)
        unique = np.minimum(unique, d)
        enough = self.law.enough_params(n_tokens=unique)
        worth = _worth(n, np.minimum(enough, n), self.param_decay)
        return self.law.loss(n_params=worth, n_tokens=_worth(d, unique, self.token_decay))


def _worth(total: Any, unique: Any, decay: float) -> Any:
    """``unique`` and what the rest of ``total``, of decaying worth, adds to it."""
    return unique + unique * decay * -np.expm1(-(total / unique - 1) / decay)


@dataclass(frozen=True)
class BrokenPowerLaw:
    """A power law over a floor whose exponent changes smoothly at breaks, of any measure of scale x.

    ``floor + scale * x**-exponent * prod_i (1 + (x / at_i)**(1 / width_i))**(-change_i * width_i)``. With no
    break it is a power law that saturates at ``floor``; past one the exponent is larger by its ``change``,
    and a negative one lets the curve flatten, or turn.

    Parameters
    ----------
    floor : float
        Value at infinite scale where the curve falls. Finite.
    scale : float
        Positive.
    exponent : float
        Before the first break. Finite.
    breaks : tuple of (at, change, width)
        Of each break: where, positive; by how much the exponent changes; over what range of log x, positive.

    Raises
    ------
    ValueError
        If a number is out of its range.

    Examples
    --------
    >>> saturating = BrokenPowerLaw(floor=2.0, scale=100.0, exponent=0.5)
    >>> saturating.value(x=1e4), saturating.value(x=1e8)
    (3.0, 2.01)

    Source: Caballero et al. 2023, equation 1.
    """

    floor: float
    scale: float
    exponent: float
    breaks: tuple[tuple[float, float, float], ...] = ()

    def __post_init__(self) -> None:
        require_all_positive(self.scale, name="scale")
        for name, value in (("floor", self.floor), ("exponent", self.exponent)):
            _require_finite(value, name=name)
        for at, change, width in self.breaks:
            require_all_positive(at, name="at")
            require_all_positive(width, name="width")
            _require_finite(change, name="change")

    def value(self, *, x: ArrayLike) -> Number:
        """The law at scales ``x``; `ValueError` if one is not positive and finite."""
        log_x = np.log(require_all_positive(x, name="x"))
        log_power = np.log(self.scale) - self.exponent * log_x
        # a sharp break would overflow if not in logarithms
        for at, change, width in self.breaks:
            log_power = log_power - change * width * np.logaddexp(0, (log_x - np.log(at)) / width)
        return plain(self.floor + np.exp(log_power))

    def slope(self, *, x: ArrayLike) -> Number:
        """The exponent that holds locally: ``-d log(value - floor) / d log x``."""
        log_x = np.log(require_all_positive(x, name="x"))
        local = self.exponent + np.zeros_like(log_x)
        for at, change, width in self.breaks:
            local = local + change * np.exp(-np.logaddexp(0, -(log_x - np.log(at)) / width))
        return plain(local)


def _require_finite(value: Any, *, name: str) -> None:
    if isinstance(value, bool) or not isinstance(value, int | float | np.number) or not np.isfinite(value):
        raise ValueError(f"{name} must be a finite number; got {value!r}")
