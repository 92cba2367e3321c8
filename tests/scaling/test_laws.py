"""What the laws of scale and their best splits promise."""

import dataclasses

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from scaling_transformers.scaling import ChinchillaLaw, KaplanLaw

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
