"""What the laws of scale and their best splits promise."""

import dataclasses

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from scaling_transformers.scaling import BrokenPowerLaw, ChinchillaLaw, DataConstrainedLaw, KaplanLaw

CHINCHILLA = ChinchillaLaw(E=1.69, A=406.4, B=410.7, alpha=0.34, beta=0.28)  # Hoffmann et al. 2022, D.3
LAWS = (CHINCHILLA, KaplanLaw.published())
BUDGETS = st.floats(1e17, 1e27)


@given(n=st.floats(1e5, 1e13), d=st.floats(1e6, 1e14))
def test_the_loss_is_the_sum_of_a_floor_and_two_powers(n, d):
    expected = 1.69 + np.exp(np.log(406.4) - 0.34 * np.log(n)) + np.exp(np.log(410.7) - 0.28 * np.log(d))
    assert CHINCHILLA.loss(n_params=n, n_tokens=d) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("law", LAWS, ids=lambda law: type(law).__name__)
@given(flops=BUDGETS)
def test_no_other_split_of_a_budget_has_a_lower_loss(law, flops):
    best = law.optimal(flops=flops)
    assert 6 * best.n_params * best.n_tokens == pytest.approx(flops, rel=1e-9)
    sizes = best.n_params * np.geomspace(0.01, 100, 401)
    losses = law.loss(n_params=sizes, n_tokens=flops / 6 / sizes)
    assert losses.argmin() == 200
    assert best.loss == pytest.approx(losses.min(), rel=1e-12)


def test_kaplan_law_in_its_limits_is_a_power_of_one_of_the_two():
    law = KaplanLaw.published()
    assert law.loss(n_params=1e8, n_tokens=1e60) == pytest.approx((6.4e13 / 1e8) ** 0.076, rel=1e-9)
    assert law.loss(n_params=1e60, n_tokens=1e9) == pytest.approx((1.8e13 / 1e9) ** 0.103, rel=1e-9)


@pytest.mark.parametrize("law", LAWS, ids=lambda law: type(law).__name__)
def test_arrays_broadcast_and_single_numbers_stay_floats(law):
    n, d = np.geomspace(1e7, 1e10, 4)[:, None], np.geomspace(1e9, 1e12, 5)
    table = law.loss(n_params=n, n_tokens=d)
    assert table.shape == (4, 5)
    assert table[2, 3] == law.loss(n_params=float(n[2, 0]), n_tokens=float(d[3]))
    assert isinstance(law.loss(n_params=1e8, n_tokens=10**10), float)
    many, one = law.optimal(flops=np.array([1e20, 1e22])), law.optimal(flops=1e22)
    assert isinstance(one.n_params, float)
    assert many.n_tokens[1] == one.n_tokens
    assert many.tokens_per_parameter.tolist() == (many.n_tokens / many.n_params).tolist()


def test_a_law_of_arrays_is_as_many_laws():
    laws = ChinchillaLaw(E=1.7, A=400.0, B=410.0, alpha=np.array([0.3, 0.34]), beta=0.28)
    alone = [ChinchillaLaw(E=1.7, A=400, B=410, alpha=alpha, beta=0.28) for alpha in (0.3, 0.34)]
    assert laws.loss(n_params=1e9, n_tokens=2e10).tolist() == [
        law.loss(n_params=1e9, n_tokens=2e10) for law in alone
    ]
    assert laws.optimal(flops=1e22).n_params.tolist() == [law.optimal(flops=1e22).n_params for law in alone]


def test_a_law_without_a_floor_is_a_law():
    assert ChinchillaLaw(E=0, A=1, B=1, alpha=1, beta=1).loss(n_params=4, n_tokens=2) == 0.75


@pytest.mark.parametrize("law", LAWS, ids=lambda law: type(law).__name__)
@pytest.mark.parametrize("wrong", [0, -1.0, float("nan"), float("inf"), "1e9", None, [], True])
@pytest.mark.parametrize("name", ["n_params", "n_tokens", "flops"])
def test_a_number_that_is_not_positive_is_named(law, name, wrong):
    ask, given = (law.optimal, {}) if name == "flops" else (law.loss, {"n_params": 1e9, "n_tokens": 1e10})
    with pytest.raises(ValueError, match=f"^{name} must be"):
        ask(**{**given, name: wrong})


def test_shapes_that_do_not_broadcast_are_named():
    with pytest.raises(ValueError, match=r"n_params and n_tokens must broadcast.*\(2,\).*\(3,\)"):
        CHINCHILLA.loss(n_params=[1e8, 1e9], n_tokens=[1e9, 1e10, 1e11])


@pytest.mark.parametrize("law", LAWS, ids=lambda law: type(law).__name__)
@pytest.mark.parametrize("wrong", [0, -0.1, float("nan"), float("inf"), "a"])
def test_a_parameter_that_is_no_law_is_named(law, wrong):
    for field in dataclasses.fields(law):
        if field.name == "E" and wrong == 0:
            continue
        with pytest.raises(ValueError, match=f"^{field.name} must be"):
            dataclasses.replace(law, **{field.name: wrong})


@given(n=st.floats(1e5, 1e13), d=st.floats(1e6, 1e14))
def test_the_slopes_are_those_of_the_log_of_the_loss(n, d):
    def fall(n_factor, d_factor):
        up, down = (
            np.log(CHINCHILLA.loss(n_params=n * n_factor**sign, n_tokens=d * d_factor**sign))
            for sign in (1, -1)
        )
        return -(up - down) / 2e-4

    step = np.exp(1e-4)
    by_params, by_tokens = CHINCHILLA.slopes(n_params=n, n_tokens=d)
    assert by_params == pytest.approx(fall(step, 1), rel=1e-5, abs=1e-9)
    assert by_tokens == pytest.approx(fall(1, step), rel=1e-5, abs=1e-9)


def test_at_the_best_split_both_slopes_are_the_exponent_over_the_budget():
    flops = np.geomspace(1e18, 1e26, 30)
    best = CHINCHILLA.optimal(flops=flops)
    by_params, by_tokens = CHINCHILLA.slopes(n_params=best.n_params, n_tokens=best.n_tokens)
    np.testing.assert_allclose(by_params, by_tokens, rtol=1e-12)
    up, down = (np.log(CHINCHILLA.optimal(flops=flops * np.exp(sign * 1e-4)).loss) for sign in (1, -1))
    np.testing.assert_allclose(by_params, -(up - down) / 2e-4, rtol=1e-6)
    above = 0.34 * 0.28 / (0.34 + 0.28)
    np.testing.assert_allclose(by_params, above * (1 - 1.69 / best.loss), rtol=1e-12)
    np.testing.assert_allclose(np.diff(np.log(best.loss - 1.69)) / np.diff(np.log(flops)), -above, rtol=1e-9)


def test_the_size_that_is_enough_for_some_tokens_is_that_whose_best_tokens_they_are():
    best = CHINCHILLA.optimal(flops=np.geomspace(1e18, 1e26, 5))
    np.testing.assert_allclose(CHINCHILLA.enough_params(n_tokens=best.n_tokens), best.n_params, rtol=1e-9)
    with pytest.raises(ValueError, match=r"^n_tokens must be positive"):
        CHINCHILLA.enough_params(n_tokens=0)


@given(extra=st.floats(0.01, 3), used=st.one_of(st.just(0.0), st.floats(1e6, 1e16)))
def test_no_other_size_reaches_a_loss_for_fewer_flops_over_a_life(extra, used):
    best = CHINCHILLA.cheapest(loss=1.69 + extra, n_inference_tokens=used)
    assert best.loss == pytest.approx(1.69 + extra, rel=1e-9)
    sizes = best.n_params * np.geomspace(0.9, 1.1, 201)
    left = extra - 406.4 / sizes**0.34
    sizes, left = sizes[left > 0], left[left > 0]
    tokens = (410.7 / left) ** (1 / 0.28)
    flops = 6 * sizes * tokens + 2 * sizes * used
    assert 6 * best.n_params * best.n_tokens + 2 * best.n_params * used <= flops.min() * (1 + 1e-9)


def test_a_model_that_is_never_used_is_best_at_the_chinchilla_split_and_use_makes_it_smaller():
    best = CHINCHILLA.optimal(flops=1e22)
    alone = CHINCHILLA.cheapest(loss=best.loss)
    assert (alone.n_params, alone.n_tokens) == pytest.approx((best.n_params, best.n_tokens), rel=1e-9)
    used = CHINCHILLA.cheapest(loss=best.loss, n_inference_tokens=np.array([0, 1e11, 1e13, 1e15]))
    assert (np.diff(used.n_params) < 0).all()
    assert (np.diff(used.n_tokens) > 0).all()
    assert used.n_params[0] == alone.n_params


def test_a_loss_below_the_floor_or_a_negative_use_is_named():
    with pytest.raises(ValueError, match=r"loss must be above E = 1.69"):
        CHINCHILLA.cheapest(loss=1.69, n_inference_tokens=1e9)
    for wrong in (-1.0, np.nan, np.inf, "a"):
        with pytest.raises(ValueError, match=r"n_inference_tokens must be finite and not negative"):
            CHINCHILLA.cheapest(loss=2.0, n_inference_tokens=wrong)
    with pytest.raises(ValueError, match=r"must broadcast together; got \(2,\) and \(3,\)"):
        CHINCHILLA.cheapest(loss=[2.0, 2.1], n_inference_tokens=[1.0, 2.0, 3.0])


def test_data_seen_once_by_a_model_of_its_size_follows_the_law_of_fresh_data():
    repeated = DataConstrainedLaw.published()
    best = repeated.law.optimal(flops=1e21)
    fresh = {"n_params": best.n_params * np.array([0.1, 0.5, 1.0]), "n_tokens": best.n_tokens}
    loss = repeated.loss(**fresh, n_unique_tokens=1e15)
    np.testing.assert_allclose(loss, repeated.law.loss(**fresh), rtol=1e-12)


def test_what_a_repeat_adds_decays_by_e_over_the_decay_and_adds_up_to_a_ceiling():
    law = DataConstrainedLaw.published()
    worth = law.effective_tokens(n_tokens=1e9 * np.arange(1, 2000), n_unique_tokens=1e9)
    np.testing.assert_allclose(
        np.diff(worth[:40], n=2) / np.diff(worth[:39]), np.expm1(-1 / 15.387756), rtol=1e-6
    )
    assert worth[0] == 1e9
    assert worth[-1] == pytest.approx(1e9 * (1 + 15.387756))


def test_the_constants_of_repeated_data_are_the_published_ones_as_printed():
    """Muennighoff et al. 2023, equation 17: 521, 1488, 1.87, exponents 0.35, and 0.051 parameters a token."""
    law = DataConstrainedLaw.published().law
    assert (round(law.A), round(law.B), round(law.E, 2), round(law.alpha, 2)) == (521, 1488, 1.87, 0.35)
    assert 1 / law.optimal(flops=1e20).tokens_per_parameter == pytest.approx(0.051, abs=5e-4)


def test_parameters_in_excess_of_the_unique_data_are_worth_less():
    repeated = DataConstrainedLaw.published()
    large = {"n_params": 1e10, "n_tokens": 1e9}
    assert repeated.loss(**large, n_unique_tokens=1e9) > repeated.law.loss(**large)
    ceiling = repeated.loss(n_params=1e20, n_tokens=1e9, n_unique_tokens=1e9)
    size = 0.0509 * 1e9 * (1 + 5.309743)
    assert ceiling == pytest.approx(repeated.law.loss(n_params=size, n_tokens=1e9), rel=1e-3)


def test_a_power_law_without_breaks_saturates_at_its_floor():
    law = BrokenPowerLaw(floor=1.5, scale=10.0, exponent=0.25)
    x = np.geomspace(1, 1e12, 50)
    np.testing.assert_allclose(law.value(x=x), 1.5 + 10 / x**0.25, rtol=1e-12)


@given(width=st.floats(1e-3, 2), change=st.floats(-1, 1))
def test_the_local_exponent_is_the_slope_of_the_curve_and_changes_across_a_break(width, change):
    law = BrokenPowerLaw(floor=0.0, scale=3.0, exponent=0.2, breaks=((1e6, change, width),))
    x = 1e6 * np.exp(width * np.array([-50.0, -1.0, 0.0, 1.0, 50.0]))
    up, down = (np.log(law.value(x=x * np.exp(sign * 1e-5 * width))) for sign in (1, -1))
    np.testing.assert_allclose(law.slope(x=x), -(up - down) / (2e-5 * width), atol=1e-6)
    assert law.slope(x=x)[[0, 2, 4]] == pytest.approx([0.2, 0.2 + change / 2, 0.2 + change])


def test_a_break_is_the_published_product():
    """Caballero et al. 2023, equation 1, written out."""
    law = BrokenPowerLaw(floor=0.3, scale=5.0, exponent=0.1, breaks=((1e3, 0.4, 0.5), (1e6, -0.2, 1.5)))
    x = np.geomspace(1, 1e9, 30)
    first, second = (1 + (x / 1e3) ** 2) ** -0.2, (1 + (x / 1e6) ** (1 / 1.5)) ** 0.3
    np.testing.assert_allclose(law.value(x=x), 0.3 + 5 * x**-0.1 * first * second, rtol=1e-12)


def test_a_broken_or_repeated_law_out_of_range_names_the_number():
    good = {"floor": 1.0, "scale": 1.0, "exponent": 0.5}
    for name, wrong in (("floor", np.nan), ("scale", 0.0), ("exponent", np.inf)):
        with pytest.raises(ValueError, match=f"^{name} must be"):
            BrokenPowerLaw(**{**good, name: wrong})
    for name, wrong in (("at", (0.0, 1.0, 1.0)), ("change", (1.0, np.nan, 1.0)), ("width", (1.0, 1.0, -1.0))):
        with pytest.raises(ValueError, match=f"^{name} must be"):
            BrokenPowerLaw(**good, breaks=(wrong,))
    with pytest.raises(ValueError, match=r"^x must be positive"):
        BrokenPowerLaw(**good).value(x=[1.0, 0.0])
    with pytest.raises(ValueError, match=r"^token_decay must be"):
        DataConstrainedLaw(CHINCHILLA, token_decay=0.0, param_decay=5.0)
    with pytest.raises(ValueError, match=r"^law must be a ChinchillaLaw; got KaplanLaw"):
        DataConstrainedLaw(KaplanLaw.published(), token_decay=15.0, param_decay=5.0)
    with pytest.raises(ValueError, match=r"^n_unique_tokens must be"):
        DataConstrainedLaw.published().loss(n_params=1e9, n_tokens=1e10, n_unique_tokens=0)
