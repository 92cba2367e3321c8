"""What intervals promise: quantiles known in closed form, repeatable draws, and the ends that were given."""

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scaling_transformers.footprint import default, rebound, training_footprint, with_interval
from scaling_transformers.footprint.intervals import quantile

KNOWN = {"flops": 1e23, "utilisation": 0.4, "pue": 1.2, "carbon_intensity": 400}


def without(*names):
    return {name: value for name, value in KNOWN.items() if name not in names}


def test_a_triangular_input_gives_the_triangular_quantiles():
    """Carbon is linear in the carbon intensity, so its quantiles are those of a triangle from 100 to 500."""
    run = with_interval(
        training_footprint,
        {"carbon_intensity": (100, 200, 500)},
        n_sample=20_000,
        level=0.9,
        **without("carbon_intensity"),
    )
    low, high = run.interval["co2e_kg"]
    kg = run.central.co2e_kg / 200
    assert low / kg == pytest.approx(100 + math.sqrt(0.05 * 400 * 100), abs=3)
    assert high / kg == pytest.approx(500 - math.sqrt(0.05 * 400 * 300), abs=5)


def test_two_ends_mean_uniform_in_the_logarithm():
    run = with_interval(
        training_footprint, {"carbon_intensity": (10, 1000)}, n_sample=20_000, **without("carbon_intensity")
    )
    kg = run.central.co2e_kg / 100  # the geometric mean
    low, high = run.interval["co2e_kg"]
    assert (low / kg, high / kg) == pytest.approx((10 * 100**0.05, 10 * 100**0.95), rel=0.03)


def test_every_output_has_an_interval_around_the_central_value():
    run = with_interval(
        training_footprint,
        {name: default(name).range for name in ("pue", "utilisation", "wue_l_per_kwh", "host_power_w")},
        **without("pue", "utilisation"),
    )
    assert len(run.interval) == 10
    for name, (low, high) in run.interval.items():
        assert low <= getattr(run.central, name) <= high
        assert len(run.samples[name]) == 2000
    assert run.interval["energy_kwh"][0] < run.interval["energy_kwh"][1]


def test_an_input_that_is_known_exactly_moves_nothing():
    run = with_interval(training_footprint, {"pue": (1.2, 1.2, 1.2)}, **without("pue"))
    assert run.interval["energy_kwh"] == pytest.approx((run.central.energy_kwh,) * 2)


def test_the_effect_of_each_input_alone_is_that_of_its_ends():
    run = with_interval(
        training_footprint,
        {"pue": (1.1, 1.2, 1.6), "carbon_intensity": (100, 400, 800)},
        **without("pue", "carbon_intensity"),
    )
    assert run.by_input["pue"]["energy_kwh"] == pytest.approx(
        tuple(training_footprint(**(KNOWN | {"pue": pue})).energy_kwh for pue in (1.1, 1.6))
    )
    assert run.by_input["carbon_intensity"]["energy_kwh"] == (run.central.energy_kwh,) * 2


def test_the_same_seed_draws_the_same_and_another_does_not():
    def draw(seed):
        return with_interval(
            training_footprint, {"pue": (1.1, 1.2, 1.6)}, seed=seed, **without("pue")
        ).interval

    assert draw(3) == draw(3) != draw(4)


def test_other_results_work_too():
    gain = with_interval(rebound, {"elasticity": (0.2, 0.5, 1.2)}, efficiency_gain=2.0)
    assert set(gain.interval) == {"energy_ratio", "use_ratio", "rebound"}
    square = with_interval(lambda *, x: x * x, {"x": (1.0, 2.0, 3.0)})
    assert square.central == 4.0
    assert 1 < square.interval["value"][0] < 4 < square.interval["value"][1] < 9


@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=30), st.floats(0, 1))
@settings(deadline=None, derandomize=True)
def test_quantiles_are_those_of_numpy(values, share):
    import numpy as np

    assert quantile(values, share) == pytest.approx(float(np.quantile(values, share)), rel=1e-9, abs=1e-6)


@pytest.mark.parametrize(
    ("ranges", "more", "message"),
    [
        ({"pue": (1.6, 1.2, 1.1)}, {}, "pue must rise"),
        ({"pue": 1.2}, {}, r"pue must be \(low, high\) or \(low, central, high\); got 1\.2"),
        ({"pue": (1.1,)}, {}, "pue must be"),
        ({"pue": "ab"}, {}, "pue must be"),
        ({"host_power_w": (0, 100)}, {}, "host_power_w must be positive where no central"),
        ({"pue": (0.9, 1.2, 1.5)}, {}, r"pue must .*at least 1.*got 0\.9"),
        ({"pue": (1.1, 1.2, 1.5)}, {"level": 1}, "level must .*below 1; got 1"),
        ({"pue": (1.1, 1.2, 1.5)}, {"n_sample": 10}, "n_sample must .*at least 100; got 10"),
        ({"utilisation": (0.1, 0.2)}, {}, "ranges must not hold .*'utilisation'"),
    ],
)
def test_a_range_that_is_none_is_an_error(ranges, more, message):
    fixed = without("pue") if "pue" in ranges else KNOWN
    with pytest.raises(ValueError, match=message):
        with_interval(training_footprint, ranges, **fixed, **more)
