"""What patterns promise: the pairs that their definitions name, counted and laid out without the matrix."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scaling_transformers.attention import causal_mask, window_mask
from scaling_transformers.sparsity import (
    BigBird,
    Blocks,
    Dilated,
    Fixed,
    Strided,
    TopK,
    Window,
    layers_apart,
    reach,
)

small = st.integers(1, 6)


@st.composite
def tables(draw, n_block):
    """A square table with True on its diagonal."""
    cells = draw(st.lists(st.booleans(), min_size=n_block**2, max_size=n_block**2))
    return np.array(cells).reshape(n_block, n_block) | np.eye(n_block, dtype=bool)


@st.composite
def patterns_and_lengths(draw):
    """Any pattern with tiles, and a length that its block divides."""
    causal, n_block, block = draw(st.booleans()), draw(st.integers(1, 7)), draw(small)
    options = {"causal": causal, "block": block}
    kind = draw(st.sampled_from([Window, Dilated, Strided, Fixed, BigBird, Blocks]))
    if kind is Blocks:
        pattern = Blocks(block, draw(tables(n_block)), causal=causal)
    elif kind is BigBird:
        n_window = 2 * draw(st.integers(0, 2)) + 1
        n_global, n_random, seed = (draw(st.integers(0, 3)) for _ in range(3))
        pattern = BigBird(
            block, n_window=n_window, n_global=n_global, n_random=n_random, seed=seed, causal=causal
        )
    elif kind is Dilated:
        pattern = Dilated(draw(small), draw(small), **options)
    elif kind is Fixed:
        stride = draw(small)
        pattern = Fixed(stride, draw(st.integers(1, stride)), **options)
    else:
        pattern = kind(draw(st.integers(1, 20)), **options)
    return pattern, n_block * block


@settings(deadline=None, max_examples=200, derandomize=True)
@given(drawn=patterns_and_lengths(), cut=st.integers(1, 42))
def test_counts_and_tiles_are_those_of_the_mask(drawn, cut):
    pattern, n = drawn
    mask, block = pattern.mask(n), pattern.block
    assert mask.dtype == bool
    assert mask.shape == (n, n)
    assert mask.diagonal().all()
    assert pattern.n_allowed(n) == mask.sum()
    tiles = mask.reshape(n // block, block, n // block, block).any(axis=(1, 3))
    np.testing.assert_array_equal(pattern.layout(n), tiles)
    assert pattern.n_computed(n) == tiles.sum() * block**2
    if pattern.causal:
        assert not np.triu(mask, 1).any()
        cut = min(cut, n)  # of any length, whole tiles or not
        np.testing.assert_array_equal(pattern.mask(cut), mask[:cut, :cut])
        assert pattern.n_allowed(cut) == mask[:cut, :cut].sum()


def by_definition(n, sees, causal):
    """The mask of a rule for one pair, pair by pair."""
    return [[(j <= i or not causal) and sees(i, j) for j in range(n)] for i in range(n)]


@pytest.mark.parametrize("causal", [True, False])
@pytest.mark.parametrize(
    ("pattern", "sees"),
    [
        (Window, lambda i, j: abs(i - j) <= 3),
        (Dilated, lambda i, j: abs(i - j) in (0, 3, 6, 9)),
        (Strided, lambda i, j: abs(i - j) <= 4 or (i - j) % 4 == 0),  # as printed, l + 1 in the window
        (Fixed, lambda i, j: j // 4 == i // 4 or j % 4 in (2, 3)),
    ],
)
def test_a_pair_is_allowed_as_the_papers_say(pattern, sees, causal):
    arguments = {Window: (4,), Dilated: (4, 3), Strided: (4,), Fixed: (4, 2)}[pattern]
    assert pattern(*arguments, causal=causal).mask(17).tolist() == by_definition(17, sees, causal)


def test_a_window_is_that_of_attention():
    np.testing.assert_array_equal(Window(5).mask(12), window_mask(12, window=5))
    np.testing.assert_array_equal(Window(12).mask(12), causal_mask(12))


def test_big_bird_has_its_three_kinds_of_blocks():
    tiles = BigBird(4, n_window=2, n_global=1, n_random=2, seed=3).layout(48)
    assert tiles[:, 0].all()
    assert tiles.diagonal().all()
    assert tiles.diagonal(-1).all()
    far = np.tril(tiles[:, 1:], -3)  # without the first column, the window starts one further left
    assert far.sum(axis=1).tolist() == [0, 0, 0, 1] + [2] * 8
    assert not np.triu(tiles, 1).any()


def test_big_bird_for_encoders_has_blocks_that_see_and_are_seen_by_all():
    tiles = BigBird(4, n_window=3, n_global=2, n_random=1, causal=False).layout(48)
    assert tiles[:2].all()
    assert tiles[:, :2].all()
    assert (tiles[2:].sum(axis=1) <= 2 + 3 + 1).all()
    assert np.triu(tiles[2:, 2:], 2).any()  # random blocks lie ahead as well


def test_the_seed_decides_the_random_blocks_and_a_longer_text_keeps_them():
    first, again, other = (BigBird(2, n_random=2, seed=seed) for seed in (0, 0, 1))
    assert (first.layout(64) == again.layout(64)).all()
    assert (first.layout(64) != other.layout(64)).any()
    assert (first.layout(64)[:16, :16] == first.layout(32)).all()


@pytest.mark.parametrize("causal", [True, False])
@pytest.mark.parametrize("k", [1, 3, 50])
def test_top_k_counts_what_it_keeps_and_computes_every_score(k, causal):
    pattern, n = TopK(k, causal=causal), 9
    candidates = pattern.mask(n)
    np.testing.assert_array_equal(candidates, causal_mask(n) if causal else np.ones((n, n)))
    assert pattern.n_allowed(n) == np.minimum(candidates.sum(axis=1), k).sum()
    assert pattern.n_computed(n) == pattern.layout(n).sum() == n * n


def test_patterns_are_keys_that_compare_by_value():
    table = np.tri(3, dtype=bool)
    equal = [
        (Window(4), Window(4, block=4)),
        (Blocks(2, table), Blocks(2, table.tolist())),
        (Blocks(2, table), Blocks(2, np.ones((3, 3)))),  # what is above the diagonal is passed over
        (BigBird(2), BigBird(2, n_window=3, n_global=1, n_random=1, seed=0)),
    ]
    for one, other in equal:
        assert one == other
        assert hash(one) == hash(other)
    different = [Window(4), Window(4, block=2), Window(4, causal=False), Strided(4), Fixed(4, 1), TopK(4)]
    assert len(set(different)) == len(different)


def by_matrix_powers(pattern, n):
    """Share of the pairs connected after each layer, by powers of the matrix with the residual stream."""
    step = (pattern.mask(n) | np.eye(n, dtype=bool)).astype(float)
    wanted = np.tri(n) if pattern.causal else np.ones((n, n))
    power, fractions = np.eye(n), []
    for _ in range(n + 1):
        power = np.minimum(step @ power, 1.0)
        fractions.append(power.sum() / wanted.sum())
    return np.array(fractions)


@settings(deadline=None, max_examples=60, derandomize=True)
@given(drawn=patterns_and_lengths())
def test_reach_is_what_matrix_powers_give(drawn):
    pattern, n = drawn
    found, fractions = reach(pattern, n), by_matrix_powers(pattern, n)
    np.testing.assert_allclose(found.fraction, fractions[: len(found.fraction)], rtol=1e-12)
    if found.n_layer is None:
        assert fractions[-1] == found.fraction[-1] < 1
        assert (np.diff(found.fraction[:-1]) > 0).all()  # only the last layer may have added nothing
    else:
        assert found.n_layer == len(found.fraction) == 1 + int(np.argmax(fractions > 1 - 1e-12))


@settings(deadline=None, max_examples=30, derandomize=True)
@given(drawn=patterns_and_lengths())
def test_layers_apart_is_the_first_power_of_the_matrix_that_connects_a_pair(drawn):
    pattern, n = drawn
    step = (pattern.mask(n) | np.eye(n, dtype=bool)).astype(float)
    power, first = np.eye(n), np.where(np.eye(n) > 0, 0, -1)
    for layer in range(1, n + 1):
        power = np.minimum(step @ power, 1.0)
        first[(first < 0) & (power > 0)] = layer
    np.testing.assert_array_equal(layers_apart(pattern, n), first)


@pytest.mark.parametrize(("n", "window"), [(2, 2), (64, 2), (65, 4), (200, 9)])
def test_a_window_goes_back_one_window_less_one_with_each_layer(n, window):
    assert reach(Window(window), n).n_layer == -(-(n - 1) // (window - 1))


@pytest.mark.parametrize(
    "pattern", [Strided(16, block=4), Fixed(16, 1, block=4)], ids=lambda pattern: type(pattern).__name__
)
def test_the_patterns_of_sparse_transformers_reach_all_in_two_layers(pattern):
    found = reach(pattern, 256)
    assert found.n_layer == 2
    assert pattern.n_allowed(256) < 0.25 * 256 * 257 / 2


@pytest.mark.parametrize("pattern", [Window(1), Dilated(3, 2), Blocks(4, np.eye(16))])
def test_a_pattern_that_never_reaches_says_so(pattern):
    found = reach(pattern, 64)
    assert found.n_layer is None
    assert 0 < found.fraction[-1] < 1


@pytest.mark.parametrize("pattern", [TopK(2), "window", None])
def test_reach_asks_for_a_pattern_that_no_text_changes(pattern):
    with pytest.raises(ValueError, match="pattern must be one of this package that does not depend on"):
        reach(pattern, 8)
    with pytest.raises(ValueError, match="pattern must be one of this package that does not depend on"):
        layers_apart(pattern, 8)


COUNTS = [
    lambda x: Window(x),
    lambda x: Window(4, block=x),
    lambda x: Dilated(x, 2),
    lambda x: Dilated(2, x),
    lambda x: Strided(x),
    lambda x: Fixed(x, 1),
    lambda x: Fixed(4, x),
    lambda x: BigBird(x),
    lambda x: BigBird(2, n_window=x),
    lambda x: Blocks(x, [[1]]),
    lambda x: TopK(x),
]


@pytest.mark.parametrize("make", COUNTS)
@pytest.mark.parametrize("value", [0, -1, 2.0, True, "4"])
def test_a_size_is_a_whole_number_of_at_least_one(make, value):
    with pytest.raises(ValueError, match="must be a whole number of at least 1; got "):
        make(value)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Fixed(4, 5), "n_summary must be at most stride=4; got 5"),
        (lambda: BigBird(2, n_global=-1), "n_global must be a whole number of at least 0; got -1"),
        (lambda: BigBird(2, seed=0.5), "seed must be a whole number of at least 0; got 0.5"),
        (lambda: BigBird(2, n_window=2, causal=False), "n_window must be odd with causal=False; got 2"),
        (lambda: Window(2, causal=1), "causal must be True or False; got 1"),
        (lambda: Blocks(2, [[1, 0]]), r"tiles must be a square table; got shape \(1, 2\)"),
        (lambda: Blocks(2, [[1], [1, 0]]), "tiles must be a square table"),
        (lambda: Blocks(2, []), "tiles must be a square table"),
        (lambda: Blocks(2, [[2]]), "tiles must hold True and False"),
        (lambda: Blocks(2, [[1, 0], [1, 0]]), "tiles must let each block see itself; block 1 does not"),
        (lambda: TopK(2, block=4), "block must be 1, for TopK skips no tile; got 4"),
        (lambda: Window(4).layout(10), "n must be a multiple of the pattern's block of 4 tokens; got 10"),
        (lambda: Window(4).n_computed(10), "n must be a multiple of the pattern's block of 4 tokens"),
        (lambda: BigBird(4).layout(10), "n must be a multiple of the pattern's block of 4 tokens; got 10"),
        (lambda: Window(4).mask(0), "n must be a whole number of at least 1; got 0"),
        (lambda: Blocks(2, np.ones((2, 2))).mask(5), "n must be at most 4, the tokens that the tiles cover"),
        (lambda: Blocks(2, np.ones((2, 2)), causal=False).mask(2), "n must be 4, the tokens"),
    ],
)
def test_what_no_pattern_can_be_is_named(make, message):
    with pytest.raises(ValueError, match=message):
        make()
