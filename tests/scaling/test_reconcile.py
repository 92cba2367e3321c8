"""What is promised of Chinchilla's law seen without the embedding."""

import numpy as np
import pytest

from scaling_transformers.scaling import (
    ChinchillaLaw,
    KaplanLaw,
    non_embedding_frontier,
    total_from_non_embedding,
)

REFIT = ChinchillaLaw(E=1.8172, A=482.01, B=2085.43, alpha=0.3478, beta=0.3658)  # Besiroglu et al. 2024
PUBLISHED = ChinchillaLaw(E=1.6934, A=406.4, B=410.7, alpha=0.3392, beta=0.2849)  # Hoffmann et al. 2022
SHAPE = {"vocab_size": 32_000, "aspect_ratio": 39.2}


def test_the_total_is_the_blocks_and_the_embedding_of_their_width():
    d_model, n_layer, vocab_size = 768, 12, 50_257
    blocks = 12 * n_layer * d_model**2
    total = total_from_non_embedding(blocks, vocab_size=vocab_size, aspect_ratio=d_model / n_layer)
    assert total == pytest.approx(blocks + vocab_size * d_model, rel=1e-12)


def test_the_published_omega_is_that_of_the_shapes_it_was_fitted_to():
    omega = total_from_non_embedding(1.0, **SHAPE) - 1
    assert omega == pytest.approx(47_491, rel=5e-4)


@pytest.mark.parametrize("law", [REFIT, PUBLISHED])
@pytest.mark.parametrize("n", [1e3, 1e5, 2e6, 1e8, 1e11])
def test_no_other_size_has_a_lower_loss_at_the_same_budget(law, n):
    best = non_embedding_frontier(law, n, **SHAPE)
    assert 6 * best.n_params * best.n_tokens == pytest.approx(best.flops, rel=1e-12)
    sizes = n * np.geomspace(1e-3, 1e3, 6001)
    total = sizes + 32_000 * np.cbrt(39.2 * sizes / 12)
    losses = law.loss(n_params=total, n_tokens=best.flops / 6 / sizes)
    assert losses.argmin() == 3000
    assert best.loss == pytest.approx(losses.min(), rel=1e-12)


@pytest.mark.parametrize("law", [REFIT, PUBLISHED])
def test_the_local_exponent_is_that_of_the_sizes_over_the_budgets(law):
    n = np.geomspace(1e2, 1e13, 40)
    up, down = (non_embedding_frontier(law, n * np.exp(sign * 1e-5), **SHAPE).flops for sign in (1, -1))
    np.testing.assert_allclose(
        non_embedding_frontier(law, n, **SHAPE).exponent, 2e-5 / np.log(up / down), rtol=1e-6
    )


def test_the_exponent_goes_from_that_of_an_embedding_alone_to_that_of_chinchilla():
    low, high = non_embedding_frontier(REFIT, [1e-6, 1e20], **SHAPE).exponent
    assert low == pytest.approx(0.3658 / (0.3658 + 0.3478 / 3), rel=1e-4)
    assert high == pytest.approx(0.3658 / (0.3658 + 0.3478), rel=1e-4)
    large = non_embedding_frontier(REFIT, 1e20, **SHAPE)
    assert REFIT.optimal(flops=large.flops).n_params == pytest.approx(1e20, rel=1e-3)


@pytest.mark.parametrize(("law", "exponent"), [(REFIT, 0.78), (PUBLISHED, 0.74)])
def test_a_line_through_the_budgets_of_kaplan_has_the_exponent_that_was_simulated(law, exponent):
    """Pearce & Song 2024: 0.78 and 0.74, by search over 20 sizes at 100 budgets of these ranges."""
    sizes, log_c = np.logspace(2.9, 9.2, 20), np.linspace(12.95, 20.7, 100) * np.log(10)
    total = sizes + 32_000 * np.cbrt(39.2 * sizes / 12)
    losses = law.loss(n_params=total, n_tokens=np.exp(log_c[:, None]) / 6 / sizes)
    searched = np.polyfit(log_c, np.log(sizes[losses.argmin(axis=1)]), 1)[0]
    assert round(searched, 2) == exponent
    found = non_embedding_frontier(law, np.logspace(2.9, 9.2, 2000), **SHAPE)
    log_n = np.interp(log_c, np.log(found.flops), np.log(found.n_params))
    assert np.polyfit(log_c, log_n, 1)[0] == pytest.approx(searched, abs=0.003)


def test_laws_of_arrays_broadcast_and_single_numbers_stay_floats():
    laws = ChinchillaLaw(E=1.7, A=400.0, B=410.0, alpha=[[0.34], [0.36]], beta=[[0.28], [0.3]])
    many = non_embedding_frontier(laws, [1e6, 1e8, 1e10], **SHAPE)
    assert many.exponent.shape == many.flops.shape == many.loss.shape == (2, 3)
    one = ChinchillaLaw(E=1.7, A=400.0, B=410.0, alpha=0.36, beta=0.3)
    alone = non_embedding_frontier(one, 1e8, **SHAPE)
    assert isinstance(alone.exponent, float)
    assert alone.flops == pytest.approx(many.flops[1, 1], rel=1e-12)


def test_what_cannot_be_is_named():
    for wrong in (0.0, -1.0, np.nan, np.inf):
        with pytest.raises(ValueError, match=r"^n_non_embedding must be"):
            total_from_non_embedding(wrong, **SHAPE)
        with pytest.raises(ValueError, match=r"^n_non_embedding must be"):
            non_embedding_frontier(REFIT, wrong, **SHAPE)
        for name in SHAPE:
            with pytest.raises(ValueError, match=f"^{name} must be"):
                total_from_non_embedding(1e6, **{**SHAPE, name: wrong})
    with pytest.raises(ValueError, match=r"^law must be a ChinchillaLaw; got KaplanLaw"):
        non_embedding_frontier(KaplanLaw.published(), 1e6, **SHAPE)


def test_a_law_too_flat_to_have_one_best_size_is_refused_at_every_size():
    flat = ChinchillaLaw(E=1.0, A=10.0, B=10.0, alpha=0.1, beta=0.1)
    for n in (1e2, 1e6, 1e12):
        with pytest.raises(
            ValueError, match=r"larger sizes best for larger budgets; with alpha 0.1 and beta"
        ):
            non_embedding_frontier(flat, n, **SHAPE)
