"""What costs, budgets and the spread of compute promise."""

import itertools
import math
import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scaling_transformers.accounting import training_runs
from scaling_transformers.society import (
    PRICE_HALVING,
    UTILISATION,
    Interval,
    Spread,
    accelerator_hours,
    budget,
    budgets,
    cost_of_run,
    gini,
    gini_interval,
    lorenz,
    price_of,
    prices,
    utilisation_of,
    years_until,
)

properly = settings(deadline=None, derandomize=True, max_examples=30)
holdings = st.lists(st.floats(1e-3, 1e6), min_size=1, max_size=12)
RUNS = {run.name: run for run in training_runs()}
PEAK = 989.4e12  # of an H100, from its white paper


# --- inequality -----------------------------------------------------------------------------------------


@properly
@given(st.integers(1, 40), st.floats(1e-3, 1e6))
def test_gini_is_zero_if_all_hold_the_same(n, value):
    assert gini([value] * n) == pytest.approx(0.0, abs=1e-12)


@properly
@given(st.integers(1, 40))
def test_gini_is_one_less_one_over_n_if_one_owner_holds_everything(n):
    assert gini([0.0] * (n - 1) + [5.0]) == pytest.approx((n - 1) / n)


@properly
@given(holdings, st.floats(1e-3, 1e3))
def test_gini_does_not_depend_on_the_unit_nor_on_the_order(values, factor):
    assert gini([factor * value for value in reversed(values)]) == pytest.approx(gini(values), abs=1e-9)


@properly
@given(holdings)
def test_gini_is_half_the_mean_difference_of_all_pairs_over_the_mean(values):
    pairs = [abs(a - b) for a, b in itertools.product(values, values)]
    expected = sum(pairs) / (2 * len(values) ** 2 * np.mean(values))
    assert gini(values) == pytest.approx(expected, abs=1e-9)


@properly
@given(holdings)
def test_gini_is_twice_the_area_between_the_lorenz_curve_and_its_diagonal(values):
    owners, held = lorenz(values)
    assert gini(values) == pytest.approx(1 - 2 * np.trapezoid(held, owners), abs=1e-9)


@properly
@given(holdings)
def test_the_lorenz_curve_rises_ever_more_steeply_and_stays_below_the_diagonal(values):
    owners, held = lorenz(values)
    steps = np.diff(held)
    assert (held[0], held[-1], owners[-1]) == (0.0, 1.0, 1.0)
    assert (np.diff(steps) > -1e-9).all()
    assert all(h <= o + 1e-9 for o, h in zip(owners, held, strict=True))


def test_gini_of_one_two_three_four_is_a_quarter():
    # by hand: (-3*1 - 1*2 + 1*3 + 3*4) / (4 * 10)
    assert gini([4.0, 2.0, 1.0, 3.0]) == pytest.approx(0.25)


def test_the_interval_holds_the_middle_of_ginis_of_other_draws_and_the_seed_repeats_it():
    values = list(np.random.default_rng(1).lognormal(0, 1, 60))
    first, again = gini_interval(values, seed=3), gini_interval(values, seed=3)
    assert first == again
    assert first.low < first.middle == gini(values) < first.high
    rng = np.random.default_rng(2)
    redrawn = [gini(rng.choice(values, 60)) for _ in range(2000)]
    assert (first.low, first.high) == pytest.approx(np.quantile(redrawn, [0.025, 0.975]), abs=0.02)


@pytest.mark.parametrize("bad", [[], [0.0, 0.0], [1.0, -1.0], [1.0, math.inf], [math.nan]])
def test_what_nobody_can_hold_is_refused(bad):
    with pytest.raises(ValueError, match="values must be one or more finite numbers"):
        gini(bad)


# --- cost -----------------------------------------------------------------------------------------------


def test_a_run_at_known_rate_and_price_costs_its_hours():
    cost = cost_of_run(PEAK * 3600 * 1000, price=2.0, utilisation=0.5)
    assert (cost.low, cost.middle, cost.high) == pytest.approx((4000.0,) * 3)


@pytest.mark.parametrize("name", accelerator_hours())
def test_published_hours_lie_in_the_interval_of_those_that_the_cost_assumes(name):
    chip, hours = accelerator_hours()[name]
    cost = cost_of_run(RUNS[name].flops, accelerator=chip, price=1.0)
    assert cost.low * 0.97 < hours < cost.high * 1.03
    assert utilisation_of(RUNS[name].flops, accelerator=chip, hours=hours) >= UTILISATION.low


def test_deepseek_v3_costs_what_its_report_says_at_its_price_and_hours():
    chip, hours = accelerator_hours()["DeepSeek-V3"]
    flops = RUNS["DeepSeek-V3"].flops
    share = utilisation_of(flops, accelerator=chip, hours=hours)
    cost = cost_of_run(flops, price=2.0, utilisation=share)
    assert cost.middle == pytest.approx(5.576e6, rel=1e-6)  # DeepSeek-AI 2024b, table 1


@properly
@given(st.floats(1e18, 1e27), st.floats(1.1, 100))
def test_cost_is_in_proportion_to_the_compute(flops, factor):
    here, there = cost_of_run(flops, n_draw=100), cost_of_run(flops * factor, n_draw=100)
    assert there.middle == pytest.approx(here.middle * factor)


def test_the_interval_is_that_of_the_exact_product_of_log_normals():
    cost = cost_of_run(
        Spread.factor(1e24, 2.0),
        price=Spread.factor(3.0, 1.5),
        utilisation=Spread.factor(0.2, 1.2),
        n_draw=20_000,
    )
    middle = 1e24 / (0.2 * PEAK * 3600) * 3.0
    factor = math.exp(math.sqrt(sum(math.log(f) ** 2 for f in (2.0, 1.5, 1.2))))
    assert cost.middle == pytest.approx(middle, rel=0.02)
    assert cost.high / cost.low == pytest.approx(factor**2, rel=0.05)


def test_the_seed_decides_the_draws():
    assert cost_of_run(1e24, seed=1) == cost_of_run(1e24, seed=1) != cost_of_run(1e24, seed=2)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"utilisation": 1.2}, "utilisation must be at most 1"),
        ({"utilisation": Spread.factor(1.1, 1.2)}, "utilisation must be at most 1"),
        ({"price": 0.0}, "price must be a positive"),
        ({"flops": -1e20}, "flops must be a positive"),
        ({"accelerator": "V100"}, "two prices or more in the table, else give price; got 'V100'"),
        ({"accelerator": "H10", "price": 2.0}, "did you mean"),
        ({"n_draw": 10}, "n_draw must be a whole number of at least 100"),
    ],
)
def test_what_has_no_cost_is_refused_by_name(arguments, message):
    with pytest.raises(ValueError, match=message):
        cost_of_run(**{"flops": 1e20, **arguments})


def test_more_than_the_peak_is_no_utilisation():
    with pytest.raises(ValueError, match=r"at most what the hours allow; got 1\.5 of the peak"):
        utilisation_of(1.5 * PEAK * 3600, accelerator="H100", hours=1.0)


# --- tables ---------------------------------------------------------------------------------------------


def test_the_price_of_an_accelerator_spans_the_table():
    found = sorted(price.usd_per_hour for price in prices() if price.accelerator == "H100")
    assert (price_of("H100").low, price_of("H100").high) == (found[0], found[-1]) == (2.0, 4.916)


@pytest.mark.parametrize("row", [*prices(), *budgets()], ids=lambda row: row.name)
def test_every_price_and_budget_has_a_source_with_its_year(row):
    assert len(row.source) > 40
    assert re.search(r"20\d\d", row.source)


def test_budgets_cover_a_lab_a_university_a_firm_and_a_state():
    assert {row.kind for row in budgets()} == {"a lab", "a university", "a firm", "a state"}
    grant = budget("ERC starting grant")
    assert grant.usd_per_year == pytest.approx(300_000 * grant.usd_per_unit)
    with pytest.raises(ValueError, match="a budget"):
        budget("a friend")


# --- waiting --------------------------------------------------------------------------------------------


def test_three_halvings_of_two_years_take_six_years():
    sure = Spread.factor(2.0, 1.0001)
    assert years_until(8e6, budget=1e6, price_halving=sure).middle == pytest.approx(6.0, rel=1e-3)


def test_two_trends_add_their_rates():
    two_years, eight_months = Spread.factor(2.0, 1.0001), Spread.factor(8.0, 1.0001)
    found = years_until(4e6, budget=1e6, price_halving=two_years, algorithmic_halving=eight_months)
    assert found.middle == pytest.approx(2 / (1 / 2 + 12 / 8), rel=1e-3)


def test_with_a_known_cost_the_interval_is_that_of_the_trend():
    found = years_until(2e6, budget=1e6, n_draw=20_000, level=PRICE_HALVING.level)
    assert found.middle == pytest.approx(PRICE_HALVING.middle, rel=0.01)
    assert found.low == pytest.approx(PRICE_HALVING.low, rel=0.03)
    assert found.high == pytest.approx(PRICE_HALVING.high, rel=0.03)


def test_what_fits_already_needs_no_waiting():
    assert years_until(1.0, budget=2.0) == Interval(0.0, 0.0, 0.0)


@properly
@given(st.floats(1e4, 1e10), st.floats(1.1, 50))
def test_a_larger_budget_never_waits_longer(cost, factor):
    here = years_until(cost, budget=1e4, n_draw=100)
    there = years_until(cost, budget=1e4 * factor, n_draw=100)
    assert there.high <= here.high


def test_an_uncertain_cost_makes_the_wait_more_uncertain():
    sure = years_until(1e8, budget=1e6)
    unsure = years_until(Spread.factor(1e8, 5.0), budget=1e6)
    assert unsure.high - unsure.low > sure.high - sure.low
    given_as_interval = years_until(Interval(1e8, 2e7, 5e8), budget=1e6)
    assert given_as_interval.middle == pytest.approx(unsure.middle)
