"""Are two sets of words nearer to one group's words than to the other's? Tests on vectors."""

from __future__ import annotations

from itertools import combinations
from math import comb
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from scaling_transformers.attention.masks import require_count

_AT_ONCE = 2**14  # partitions judged together


class Association(NamedTuple):
    """What `weat` finds.

    Attributes
    ----------
    effect_size : difference of the two targets' mean association, in standard deviations; from -2 to 2 or so
    p_value : share of the partitions whose difference is at least as large
    n_partition : partitions that were judged
    exact : True if these were all of them
    """

    effect_size: float
    p_value: float
    n_partition: int
    exact: bool


def cosine_similarity(x: ArrayLike, y: ArrayLike) -> NDArray[np.float64]:
    """Cosine of the angle between each row of ``x`` (n, d) and each of ``y`` (m, d), shape (n, m).

    Raises
    ------
    ValueError
        If the rows differ in length, or one is zero or not finite.
    """
    rows = []
    for name, values in (("x", x), ("y", y)):
        array = np.asarray(values, dtype=float)
        if array.ndim != 2 or 0 in array.shape:
            raise ValueError(f"{name} must hold vectors, shape (n, d); got shape {array.shape}")
        length = np.linalg.norm(array, axis=1, keepdims=True)
        if not (np.isfinite(length) & (length > 0)).all():
            raise ValueError(f"{name} must hold finite vectors that are not zero")
        rows.append(array / length)
    if rows[0].shape[1] != rows[1].shape[1]:
        raise ValueError(f"x and y must have vectors of one length; got {rows[0].shape} and {rows[1].shape}")
    similarity: NDArray[np.float64] = rows[0] @ rows[1].T
    return similarity


def associations(w: ArrayLike, a: ArrayLike, b: ArrayLike) -> NDArray[np.float64]:
    """How much nearer each vector of ``w`` is to those of ``a`` than to those of ``b``: s(w, A, B).

    The mean cosine with ``a`` less the mean cosine with ``b``, shape (n,). Errors: as of
    `cosine_similarity`.

    Source: Caliskan et al. 2017.
    """
    apart: NDArray[np.float64] = cosine_similarity(w, a).mean(axis=1) - cosine_similarity(w, b).mean(axis=1)
    return apart


def effect_size(of_x: ArrayLike, of_y: ArrayLike) -> float:
    """Difference of the means of two sets of associations, over the standard deviation of all of them.

    The deviation is the sample's, with n - 1, as in the published code of May et al. 2019. If all
    associations are equal there is nothing to tell apart, and the answer is 0.

    Examples
    --------
    >>> print(f"{effect_size([1.0, 1.0], [-1.0, -1.0]):.3f}")
    1.732
    """
    x, y = np.asarray(of_x, float), np.asarray(of_y, float)
    spread = np.concatenate([x, y]).std(ddof=1)
    return 0.0 if spread == 0 else float((x.mean() - y.mean()) / spread)


def permutation_test(
    of_x: ArrayLike, of_y: ArrayLike, *, n_sample: int = 10_000, seed: int = 0
) -> tuple[float, int, bool]:
    """One-sided p-value: how often a division of the words at random differs as much, or more.

    All equal divisions are judged where there are at most ``n_sample``; else ``n_sample`` are drawn, and the
    division as it is counts as one of them, so that no p-value is 0.

    Parameters
    ----------
    of_x, of_y : array_like, shape (n,) each
        Associations of the two sets of targets.
    n_sample : int
    seed : int
        Of the draws.

    Returns
    -------
    p-value, number of divisions judged, True if these are all

    Raises
    ------
    ValueError
        If the sets are not of one size, at least 2, or ``n_sample`` is not a whole number of at least 1.

    Examples
    --------
    Of the six divisions of four words into two and two, one is the one that was found:

    >>> p_value, n, exact = permutation_test([3.0, 4.0], [1.0, 2.0])
    >>> round(p_value, 4), n, exact
    (0.1667, 6, True)
    """
    require_count(n_sample=n_sample)
    x, y = np.asarray(of_x, float), np.asarray(of_y, float)
    if x.ndim != 1 or x.shape != y.shape or len(x) < 2:
        raise ValueError(f"of_x and of_y must be of one size, at least 2; got {x.shape} and {y.shape}")
    both, n = np.concatenate([x, y]), len(x)
    # The sum of all is fixed, so that the first half's sum alone decides. Rounding must not break ties.
    least = x.sum() - 1e-12 * np.abs(both).sum()
    n_all = comb(2 * n, n)
    if n_all <= n_sample:
        sums = np.array([both[list(chosen)].sum() for chosen in combinations(range(2 * n), n)])
        return float((sums >= least).mean()), n_all, True
    generator, found = np.random.default_rng(seed), 1
    for start in range(1, n_sample, _AT_ONCE):
        count = min(_AT_ONCE, n_sample - start)
        order = generator.random((count, 2 * n)).argsort(axis=1)[:, :n]
        found += int((both[order].sum(axis=1) >= least).sum())
    return found / n_sample, n_sample, False


def weat(
    x: ArrayLike, y: ArrayLike, a: ArrayLike, b: ArrayLike, *, n_sample: int = 10_000, seed: int = 0
) -> Association:
    """Word embedding association test: is ``x`` nearer to ``a``, ``y`` to ``b``, than by chance?

    On vectors of sentences in place of words it is the sentence encoder association test, SEAT.

    Parameters
    ----------
    x, y : array_like, shape (n, d) each
        Vectors of the two sets of targets, for example two sets of occupations.
    a, b : array_like, shape (m, d)
        Vectors of the two sets of attributes, for example the terms of two groups.
    n_sample, seed : as for `permutation_test`

    Raises
    ------
    ValueError
        As `cosine_similarity` and `permutation_test` do.

    Source: Caliskan et al. 2017 (WEAT); May et al. 2019 (SEAT).
    """
    of_x, of_y = associations(x, a, b), associations(y, a, b)
    return Association(effect_size(of_x, of_y), *permutation_test(of_x, of_y, n_sample=n_sample, seed=seed))
