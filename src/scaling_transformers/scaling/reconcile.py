"""Chinchilla's law as it looks to one who does not count the embedding: why Kaplan saw another exponent."""

from __future__ import annotations

from dataclasses import dataclass

from scaling_transformers._numpy import ArrayLike, np
from scaling_transformers.accounting._inputs import require_all_positive, require_positive
from scaling_transformers.scaling._inputs import plain, require_together
from scaling_transformers.scaling.laws import ChinchillaLaw, Number


@dataclass(frozen=True)
class NonEmbeddingFrontier:
    """The best models of some budgets, sizes and budgets counted without the embedding.

    Attributes
    ----------
    flops : Number
        Budgets, ``6 n_params n_tokens``.
    n_params, n_tokens, loss : Number
        Of the best model of each: parameters without the embedding, tokens, predicted loss in nats a token.
    exponent : Number
        a of ``n_params`` ~ ``flops**a``, as it holds locally.
    """

    flops: Number
    n_params: Number
    n_tokens: Number
    loss: Number
    exponent: Number


def total_from_non_embedding(n_non_embedding: ArrayLike, *, vocab_size: float, aspect_ratio: float) -> Number:
    """All parameters of models that have ``n_non_embedding`` without the embedding.

    Blocks hold ``N = 12 n_layer d_model**2``; with ``aspect_ratio = d_model / n_layer`` that makes
    ``d_model = (aspect_ratio N / 12)**(1/3)``, and the embedding adds ``vocab_size * d_model``: in all
    ``N + omega N**(1/3)`` with ``omega = vocab_size (aspect_ratio / 12)**(1/3)``.

    Parameters
    ----------
    n_non_embedding : array_like
        Parameters of the blocks. Positive.
    vocab_size : float
        Rows of the embedding, which is used for the output too. Add ``n_ctx`` for learned positions.
    aspect_ratio : float
        ``d_model / n_layer``, the same for models of every size.

    Raises
    ------
    ValueError
        If a number is not positive and finite.

    Examples
    --------
    >>> round(total_from_non_embedding(1e6, vocab_size=32_000, aspect_ratio=39.2))
    5748082

    Source: Pearce & Song 2024, whose fit to the models of Hoffmann et al. has omega = 47,491: about that of
    the example.
    """
    n = require_all_positive(n_non_embedding, name="n_non_embedding")
    return plain(n + _omega(vocab_size, aspect_ratio) * np.cbrt(n))


def non_embedding_frontier(
    law: ChinchillaLaw, n_non_embedding: ArrayLike, *, vocab_size: float, aspect_ratio: float
) -> NonEmbeddingFrontier:
    """The budgets for which models of ``n_non_embedding`` are the best, and the exponent one would fit there.

    ``law`` holds for all parameters T; sizes N and budgets ``C = 6 N D`` leave the embedding out. At a given
    C the loss ``E + A T**-alpha + B (6 N / C)**beta`` is least where its derivative by log N vanishes:
    ``alpha A T**(-alpha-1) M = beta B D**-beta`` with ``T = N + omega N**(1/3)`` and
    ``M = dT/dlog N = N + omega N**(1/3) / 3``. So the best number of tokens of a size is known, and with it
    the budget. From log C = log N + log D + log 6 its growth follows,

    ``1/a = dlog C/dlog N = 1 + ((1 + alpha) M / T - (N + omega N**(1/3) / 9) / M) / beta``.

    Large models have ``a = beta / (alpha + beta)``, the exponent of `ChinchillaLaw.optimal`. Small ones are
    nearly all embedding: ``a = beta / (alpha / 3 + beta)``, and in between a can be larger than either. A
    straight line through the range of Kaplan et al. comes out near their 0.73.

    Parameters
    ----------
    law : ChinchillaLaw
        Of models with their embedding counted.
    n_non_embedding, vocab_size, aspect_ratio
        As in `total_from_non_embedding`.

    Raises
    ------
    ValueError
        If a number is not positive and finite, the shapes do not broadcast, or the law is so flat that a
        larger size would go with a smaller budget: then no budget has this size as its best.

    Examples
    --------
    >>> law = ChinchillaLaw.refitted()
    >>> sizes = [1e7, 1e15]
    >>> non_embedding_frontier(law, sizes, vocab_size=32_000, aspect_ratio=39.2).exponent.round(3).tolist()
    [0.853, 0.513]

    Source: Pearce & Song 2024 (the relation of N and C, and the exponents in both limits and between).
    """
    if not isinstance(law, ChinchillaLaw):
        raise ValueError(f"law must be a ChinchillaLaw; got {type(law).__name__}")
    n, _ = require_together(n_non_embedding=n_non_embedding, alpha=law.alpha)
    omega = _omega(vocab_size, aspect_ratio)

    def growth(n: Number) -> Number:
        """d log C / d log N."""
        embedding = omega * np.cbrt(n)
        total, gain = n + embedding, n + embedding / 3
        return 1 + ((1 + law.alpha) * gain / total - (n + embedding / 9) / gain) / law.beta

    everywhere = (omega * np.geomspace(1e-4, 1e4, 400)) ** 1.5  # of the embedding 1e4 to 1e-4 times the rest
    if np.min(growth(everywhere.reshape(-1, *(1,) * np.broadcast(law.alpha, law.beta).ndim))) <= 0:
        raise ValueError(
            f"law must make larger sizes best for larger budgets; with alpha {law.alpha} and beta {law.beta} "
            "it does not where the embedding is about as large as the rest"
        )
    total, gain = n + omega * np.cbrt(n), n + omega * np.cbrt(n) / 3
    d = (law.beta * law.B * total ** (1 + law.alpha) / (law.alpha * law.A * gain)) ** (1 / law.beta)
    return NonEmbeddingFrontier(
        flops=plain(6 * n * d),
        n_params=plain(n),
        n_tokens=plain(d),
        loss=law.loss(n_params=total, n_tokens=d),
        exponent=plain(1 / growth(n)),
    )


def _omega(vocab_size: float, aspect_ratio: float) -> float:
    """The parameters of an embedding over the cube root of the rest."""
    require_positive(vocab_size, name="vocab_size")
    require_positive(aspect_ratio, name="aspect_ratio")
    return float(vocab_size * (aspect_ratio / 12) ** (1 / 3))
