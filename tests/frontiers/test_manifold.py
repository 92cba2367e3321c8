"""Known manifolds have the dimension they should, and predictors on them the rates that theory gives."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scaling_transformers.frontiers.manifold import (
    local_linear_values,
    log_slope,
    nearest,
    neighbour_values,
    resolution_exponent,
    teacher,
    torus,
    two_nearest_dimension,
)


@settings(deadline=None, derandomize=True, max_examples=10)
@given(st.integers(1, 4), st.integers(0, 5), st.integers(0, 1000))
def test_points_of_a_torus_have_length_one_and_fill_two_directions_a_circle(dimension, more, seed):
    points = torus(dimension=dimension, n_ambient=2 * dimension + more, n_sample=50, seed=seed)
    np.testing.assert_allclose(np.linalg.norm(points, axis=1), 1.0)
    assert np.linalg.matrix_rank(points, tol=1e-9) == 2 * dimension


def test_two_samples_lie_on_the_same_torus():
    one, other = (torus(dimension=2, n_ambient=8, n_sample=300, seed=seed) for seed in (0, 1))
    assert np.linalg.matrix_rank(np.concatenate([one, other]), tol=1e-9) == 4
    assert nearest(one, other, k=1)[0].max() < 0.5
    assert not np.allclose(one, other)


@settings(deadline=None, derandomize=True, max_examples=10)
@given(st.integers(0, 1000), st.integers(1, 6))
def test_the_nearest_are_those_of_a_full_sort(seed, k):
    rng = np.random.default_rng(seed)
    queries, points = rng.standard_normal((7, 3)), rng.standard_normal((20, 3))
    all_distances = np.sqrt(((queries[:, None] - points) ** 2).sum(axis=2))
    distances, indices = nearest(queries, points, k=k)
    np.testing.assert_array_equal(indices, np.argsort(all_distances, axis=1)[:, :k])
    np.testing.assert_allclose(distances, np.sort(all_distances, axis=1)[:, :k])


@pytest.mark.parametrize("dimension", [1, 2, 4])
def test_the_estimate_finds_the_dimension_of_a_cube_in_a_larger_space(dimension):
    rng = np.random.default_rng(dimension)
    points = rng.random((3000, dimension)) @ rng.standard_normal((dimension, 9))
    found = two_nearest_dimension(points)
    assert found.value == pytest.approx(dimension, rel=0.1)
    assert found.low < found.value < found.high
    assert two_nearest_dimension(points, discard=0.1).value == pytest.approx(dimension, rel=0.1)


def test_the_estimate_ignores_copies_turns_and_units():
    points = torus(dimension=2, n_ambient=4, n_sample=400, seed=0)
    base = two_nearest_dimension(points).value
    turn = np.linalg.qr(np.random.default_rng(0).standard_normal((4, 4)))[0]
    assert two_nearest_dimension(7.0 * points @ turn + 3.0).value == pytest.approx(base, rel=1e-4)
    assert two_nearest_dimension(np.concatenate([points, points])).value == base


def test_nearest_values_and_planes_have_their_exponents_on_a_torus():
    master, sizes = teacher(n_ambient=4, seed=1), [256, 1024, 4096]
    queries = torus(dimension=2, n_ambient=4, n_sample=400, seed=9)
    truth, errors = master(queries), []
    for n in sizes:
        points = torus(dimension=2, n_ambient=4, n_sample=n, seed=3)
        said = (
            neighbour_values(queries, points, master(points)),
            local_linear_values(queries, points, master(points), dimension=2),
        )
        errors.append([((values - truth) ** 2).mean() for values in said])
    found = log_slope(sizes, np.transpose(errors))
    np.testing.assert_allclose(found, [1.0, 2.0], rtol=0.2)


def test_planes_are_exact_where_the_function_is_linear():
    rng = np.random.default_rng(0)
    points, queries = rng.random((60, 2)), rng.random((5, 2))
    values = points @ [2.0, -1.0] + 3.0
    found = local_linear_values(queries, points, values, dimension=2)
    np.testing.assert_allclose(found, queries @ [2.0, -1.0] + 3.0)


@settings(deadline=None, derandomize=True)
@given(st.floats(0.1, 3.0), st.floats(0.01, 100.0))
def test_the_slope_of_a_power_is_its_exponent(exponent, scale):
    sizes = np.array([10.0, 20.0, 70.0])
    assert log_slope(sizes, scale * sizes**-exponent) == pytest.approx(exponent)


def test_the_rule_is_two_over_d_for_constants_and_four_over_d_for_planes():
    np.testing.assert_allclose(resolution_exponent([2, 8], order=0), [1.0, 0.25])
    np.testing.assert_allclose(resolution_exponent([2, 8]), [2.0, 0.5])


@pytest.mark.parametrize(
    ("call", "what"),
    [
        (lambda: torus(dimension=3, n_ambient=5, n_sample=2, seed=0), "n_ambient"),
        (lambda: torus(dimension=0, n_ambient=5, n_sample=2, seed=0), "dimension"),
        (lambda: two_nearest_dimension(np.zeros((5, 2))), "points"),
        (lambda: two_nearest_dimension(np.eye(4), discard=1.0), "discard"),
        (lambda: nearest(np.eye(2), np.eye(2), k=3), "k"),
        (lambda: resolution_exponent(0.0), "dimension"),
        (lambda: resolution_exponent(2.0, order=-1), "order"),
        (lambda: log_slope([1.0], [1.0]), "sizes"),
        (lambda: log_slope([1.0, 2.0], [1.0, 0.0]), "losses"),
    ],
)
def test_what_cannot_be_is_refused_by_name(call, what):
    with pytest.raises(ValueError, match=f"^{what} must"):
        call()
