"""What the simulated reader and its fits promise: what was put in comes out, and nothing comes of nothing."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scaling_transformers.cognition.reading import (
    Reader,
    compare_forms,
    detection_rate,
    fit_reading,
    published_reader,
    published_reading,
    simulate_reading,
)

TEXT = np.random.default_rng(0).gamma(2.0, 4.0, size=400)  # surprisals, in bits


def test_without_noise_a_word_takes_what_the_formula_says():
    reader = Reader(300, (2.0, 1.0), per_letter=5, power=2.0)
    times = simulate_reading(reader, [1.0, 3.0, 0.0], n_reader=2, letters=[4, 1, 2])
    by_hand = [300 + 2 * 1 + 5 * 4, 300 + 2 * 9 + 1 * 1 + 5, 300 + 1 * 9 + 10]
    np.testing.assert_allclose(times, [by_hand, by_hand])


def test_the_spreads_are_those_of_the_times():
    reader = Reader(300, (0.0,), between=80, within=60)
    times = simulate_reading(reader, np.ones(500), n_reader=4000, seed=1)
    means = times.mean(axis=1)
    assert times.mean() == pytest.approx(300, rel=0.02)
    assert means.std() == pytest.approx(80, rel=0.05)
    assert (times - means[:, None]).std() == pytest.approx(60, rel=0.05)
    assert times.min() > 0


@given(st.floats(-3, 6), st.floats(-3, 6), st.integers(0, 50))
@settings(deadline=None, derandomize=True, max_examples=15)
def test_without_noise_the_fit_finds_the_slopes(first, second, seed):
    surprisal = np.random.default_rng(seed).uniform(0, 12, size=60)
    times = simulate_reading(Reader(400, (first, second)), surprisal, n_reader=2)
    fit = fit_reading(times, surprisal, n_spill=1, n_bootstrap=20)
    np.testing.assert_allclose(fit.slopes, [first, second], atol=1e-8)
    assert fit.slope == pytest.approx(first + second, abs=1e-8)


def test_the_interval_of_the_slope_holds_the_truth_about_as_often_as_it_says():
    reader = Reader(300, (3.0, 1.0), between=100, within=100, slopes_between=0.5)
    hits = 0
    for seed in range(100):
        times = simulate_reading(reader, TEXT[:100], n_reader=30, seed=seed)
        fit = fit_reading(times, TEXT[:100], n_spill=1, n_bootstrap=200, seed=seed)
        hits += fit.low < reader.total_slope < fit.high
    assert 85 <= hits <= 99


def test_missing_words_do_not_move_the_slope():
    times = simulate_reading(Reader(300, (2.0,)), TEXT, n_reader=3)
    times[np.random.default_rng(0).uniform(size=times.shape) < 0.3] = np.nan
    assert fit_reading(times, TEXT, n_spill=0, n_bootstrap=20).slope == pytest.approx(2.0)


def test_controls_take_what_is_theirs():
    letters = np.random.default_rng(1).integers(1, 12, size=len(TEXT)) + TEXT  # long words surprise more
    times = simulate_reading(Reader(300, (2.0,), per_letter=8), TEXT, n_reader=2, letters=letters)
    alone = fit_reading(times, TEXT, n_spill=0, n_bootstrap=20).slope
    controlled = fit_reading(times, TEXT, controls=letters, n_spill=0, n_bootstrap=20).slope
    assert alone > 5
    assert controlled == pytest.approx(2.0)


@pytest.mark.parametrize("power", [0.5, 1.0, 2.0])
def test_the_form_that_made_the_times_predicts_new_words_best(power):
    reader = Reader(300, (4.0 * 8 ** (1 - power),), power=power, within=60)
    times = simulate_reading(reader, TEXT, n_reader=60, seed=3)
    gains = compare_forms(times, TEXT, n_spill=0, powers=(0.5, 1.0, 2.0))
    assert max(gains, key=gains.get) == power
    assert gains[power] > 0


def test_surprisal_that_does_nothing_predicts_nothing():
    times = simulate_reading(Reader(300, (0.0,), within=60), TEXT, n_reader=60, seed=4)
    assert max(compare_forms(times, TEXT, n_spill=3).values()) < 0.01


def test_more_readers_find_the_slope_more_often_and_no_slope_is_seldom_found():
    few, many = (detection_rate(published_reader(), TEXT[:60], n_reader=n, n_simulation=30) for n in (5, 60))
    none = detection_rate(published_reader(slopes=(0.0,)), TEXT[:60], n_reader=60, n_simulation=30)
    assert none < 0.2 < many
    assert few < many


def test_the_published_reader_has_the_published_slope_and_spread():
    reader = published_reader()
    assert reader.total_slope == pytest.approx(published_reading("slope").value)
    spread = published_reading("spread of a word's times").value
    assert np.hypot(reader.between, reader.within) == pytest.approx(spread)
    assert all(published_reading(name).source for name in ("slope", "mean time", "agreement on grammar"))


@pytest.mark.parametrize(
    ("call", "match"),
    [
        (lambda: published_reading("speed"), "speed"),
        (lambda: Reader(0, (1.0,)), "base must"),
        (lambda: Reader(1, ()), "slopes must"),
        (lambda: Reader(1, (1.0,), within=-1), "within must"),
        (lambda: simulate_reading(Reader(1, (1.0,)), [-1.0], n_reader=1), "surprisal must"),
        (lambda: simulate_reading(Reader(1, (-1.0,)), [9.0], n_reader=1), "positive mean"),
        (lambda: simulate_reading(Reader(1, (1.0,)), [1.0], n_reader=1, letters=[1, 2]), "letters must"),
        (lambda: fit_reading(np.ones((1, 9)), np.ones(9)), "two readers"),
        (lambda: fit_reading(np.ones((2, 4)), np.ones(4)), "more than 5 words"),
        (lambda: compare_forms(np.ones((2, 9)), np.ones(9)), "at least"),
        (lambda: compare_forms(np.ones(9), np.ones(9)), "times must"),
    ],
)
def test_what_cannot_be_read_is_refused(call, match):
    with pytest.raises(ValueError, match=match):
        call()
