"""The dimension of data, and the exponent that it sets: known manifolds, estimates from neighbours, rates."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from scaling_transformers.attention.masks import require_count
from scaling_transformers.society.estimates import Estimate

Floats = NDArray[np.float64]
_BLOCK = 512  # points whose distances to all others are held at once


def torus(*, dimension: int, n_ambient: int, n_sample: int, seed: int) -> Floats:
    """Points drawn evenly from a torus: ``dimension`` circles, turned at random within a larger space.

    A torus is curved and has no edge, and its dimension is known.

    Parameters
    ----------
    dimension : angles that say where on the torus a point is
    n_ambient : coordinates that a point is given by, at least twice as many
    seed : of the points; the turn depends on ``dimension`` and ``n_ambient`` alone

    Returns
    -------
    array, shape (n_sample, n_ambient); a coordinate has mean square 1/n_ambient on average

    Raises
    ------
    ValueError
        If a number is below 1, or ``n_ambient`` is too small.
    """
    require_count(dimension=dimension, n_sample=n_sample)
    if n_ambient < 2 * dimension:
        raise ValueError(f"n_ambient must be at least 2 * dimension = {2 * dimension}; got {n_ambient}")
    angles = np.random.default_rng(seed).uniform(0.0, 2.0 * np.pi, (n_sample, dimension))
    circles = np.concatenate([np.cos(angles), np.sin(angles)], axis=1) / np.sqrt(dimension)
    frame = np.random.default_rng([dimension, n_ambient]).standard_normal((n_ambient, 2 * dimension))
    points: Floats = circles @ np.linalg.qr(frame)[0].T
    return points


class Teacher(NamedTuple):
    """A random smooth function on points: two layers of tanh, with weights that are never trained.

    The weights are ``first``, shape (n_ambient, width), ``second``, (width, width), and ``last``, (width,).
    """

    first: Floats
    second: Floats
    last: Floats

    def __call__(self, points: Floats) -> Floats:
        """Values at points of shape (n, n_ambient); shape (n,)."""
        values: Floats = np.tanh(np.tanh(points @ self.first) @ self.second) @ self.last
        return values


def teacher(*, n_ambient: int, seed: int, width: int = 64) -> Teacher:
    """A random teacher for points of ``n_ambient`` coordinates."""
    rng = np.random.default_rng([seed, n_ambient])
    return Teacher(
        first=rng.standard_normal((n_ambient, width)),
        second=rng.standard_normal((width, width)) / np.sqrt(width),
        last=rng.standard_normal(width) / np.sqrt(width),
    )


def two_nearest_dimension(points: ArrayLike, *, discard: float = 0.0) -> Estimate:
    """Dimension of the set that points were drawn from, with its 95 % interval, by ratios of distances.

    Where points are dense enough to lie evenly around each, the ratio of the distances to the second and to
    the first neighbour is above r with probability ``r ** -dimension``: the likelihood gives the dimension.

    Parameters
    ----------
    points : array, shape (n, n_ambient), n at least 3; copies of a point count once
    discard : share of the points, those of the largest ratios, that is known only to be as large or larger

    Raises
    ------
    ValueError
        If there are fewer than three different points, or ``discard`` is not from 0 to below 1.

    Source: Facco et al. 2017; the likelihood is that of their distribution of ratios.
    """
    if not 0.0 <= discard < 1.0:
        raise ValueError(f"discard must be from 0 to below 1; got {discard!r}")
    different = np.unique(np.asarray(points, dtype=np.float64), axis=0)
    if different.ndim != 2 or len(different) < 3:
        raise ValueError(f"points must be at least three different rows; got shape {np.shape(points)}")
    distances, _ = nearest(different, different, k=3)  # the first is the point itself
    logs = np.sort(np.log(distances[:, 2] / distances[:, 1]))
    n_kept = max(2, round((1.0 - discard) * len(logs)))
    waited = logs[:n_kept].sum() + (len(logs) - n_kept) * logs[n_kept - 1]
    value = (n_kept - 1) / waited
    half = 1.96 / np.sqrt(n_kept)
    return Estimate(float(value), float(value * (1 - half)), float(value * (1 + half)))


def nearest(queries: Floats, points: Floats, *, k: int) -> tuple[Floats, NDArray[np.int64]]:
    """Distances to the ``k`` nearest points and which they are, nearest first; both of shape (n_query, k).

    Raises
    ------
    ValueError
        If ``k`` is not from 1 to the number of points.
    """
    require_count(k=k)
    if k > len(points):
        raise ValueError(f"k must be at most the number of points, {len(points)}; got {k}")
    square = (points**2).sum(axis=1)
    distances, indices = np.empty((len(queries), k)), np.empty((len(queries), k), dtype=np.int64)
    for start in range(0, len(queries), _BLOCK):
        rows = queries[start : start + _BLOCK]
        rough = square - 2.0 * rows @ points.T  # less the same number for all: enough to choose
        chosen = np.argpartition(rough, k - 1, axis=1)[:, :k]
        exact = np.linalg.norm(rows[:, None] - points[chosen], axis=2)
        order = np.argsort(exact, axis=1, kind="stable")
        indices[start : start + _BLOCK] = np.take_along_axis(chosen, order, axis=1)
        distances[start : start + _BLOCK] = np.take_along_axis(exact, order, axis=1)
    return distances, indices


def neighbour_values(queries: Floats, points: Floats, values: Floats) -> Floats:
    """Predict at each query the value of its nearest point; shape (n_query,)."""
    return values[nearest(queries, points, k=1)[1][:, 0]]


def local_linear_values(queries: Floats, points: Floats, values: Floats, *, dimension: int) -> Floats:
    """Predict at each query by a plane through its neighbours, twice as many as a plane has coefficients.

    The plane lies in the ``dimension`` directions in which the neighbours spread most. Shape (n_query,).

    Raises
    ------
    ValueError
        If there are too few points.
    """
    require_count(dimension=dimension)
    _, indices = nearest(queries, points, k=2 * (dimension + 1))
    around = points[indices] - queries[:, None]
    centre = around.mean(axis=1, keepdims=True)
    directions = np.linalg.svd(around - centre, full_matrices=False)[2][:, :dimension]
    inside = around @ directions.transpose(0, 2, 1)
    design = np.concatenate([np.ones((*inside.shape[:2], 1)), inside], axis=2)
    plane = np.linalg.pinv(design) @ values[indices][:, :, None]
    found: Floats = plane[:, 0, 0]
    return found


def resolution_exponent(dimension: ArrayLike, *, order: int = 1) -> Floats:
    """Exponent of the squared error of pieces that follow a smooth function to an ``order``, by number.

    N pieces in d dimensions are N ** (-1/d) wide; a polynomial of order p misses by width ** (p + 1), which
    the loss squares: 2 (p + 1) / d. Constant pieces give 2/d, planes 4/d.

    Raises
    ------
    ValueError
        If a dimension is not positive or ``order`` is below 0.

    Source: Sharma and Kaplan 2022; Bahri et al. 2024.
    """
    sizes = np.asarray(dimension, dtype=np.float64)
    if not (np.isfinite(sizes).all() and (sizes > 0).all()):
        raise ValueError(f"dimension must be positive and finite; got {dimension!r}")
    if order < 0:
        raise ValueError(f"order must be 0 or more; got {order!r}")
    exponent: Floats = 2.0 * (order + 1) / sizes
    return exponent


def log_slope(sizes: ArrayLike, losses: ArrayLike) -> Floats:
    """Exponents of ``losses ~ sizes ** -exponent`` by least squares of the logarithms.

    Parameters
    ----------
    sizes : positive numbers, shape (n_size,)
    losses : positive numbers, shape (..., n_size)

    Returns
    -------
    array, shape (...)

    Raises
    ------
    ValueError
        If there are fewer than two sizes, or a number is not positive and finite.
    """
    x, y = np.asarray(sizes, dtype=np.float64), np.asarray(losses, dtype=np.float64)
    if x.ndim != 1 or x.size < 2 or y.shape[-1:] != x.shape:
        raise ValueError(f"sizes must be two or more, as many as losses; got {x.shape} and {y.shape}")
    for name, array in (("sizes", x), ("losses", y)):
        if not (np.isfinite(array).all() and (array > 0).all()):
            raise ValueError(f"{name} must be positive and finite")
    across = np.log(x) - np.log(x).mean()
    slope: Floats = -(np.log(y) @ across) / (across @ across)
    return slope
