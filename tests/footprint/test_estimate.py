"""What footprints promise: figures worked out by hand or published, straight lines, plain errors."""

import subprocess
import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scaling_transformers import preset
from scaling_transformers.accounting import accelerator, kv_cache_bytes
from scaling_transformers.footprint import (
    break_even_days,
    default,
    device_footprint,
    inference_footprint,
    query_seconds,
    training_footprint,
)

HOUR = {"flops": 312e12 * 0.5 * 3600, "utilisation": 0.5, "pue": 1.25, "carbon_intensity": 400}
"""One hour of an A100."""
EXPLICIT = {
    "embodied_kg_per_device": 876.6,
    "device_life_years": 5,
    "device_use": 0.5,
    "wue_l_per_kwh": 2.0,
    "grid_water_l_per_kwh": 3.0,
    "usd_per_device_hour": 1.5,
}
OUTPUTS = (
    "device_hours",
    "energy_kwh",
    "it_energy_kwh",
    "co2e_kg",
    "embodied_co2e_kg",
    "on_site_water_l",
    "off_site_water_l",
    "cost",
    "total_co2e_kg",
    "water_l",
)


def outputs(footprint):
    return {name: getattr(footprint, name) for name in OUTPUTS}


def test_one_hour_of_an_a100_by_hand():
    hour = training_footprint(**HOUR, **EXPLICIT)
    assert outputs(hour) == pytest.approx(
        {
            "device_hours": 1.0,
            "it_energy_kwh": 0.4,
            "energy_kwh": 0.5,
            "co2e_kg": 0.2,
            "embodied_co2e_kg": 0.04,  # 876.6 kg over 5 x 8766 h, half of them used
            "total_co2e_kg": 0.24,
            "on_site_water_l": 0.8,
            "off_site_water_l": 1.5,
            "water_l": 2.3,
            "cost": 1.5,
        }
    )


def test_power_is_a_fraction_of_the_board_plus_the_host():
    hour = training_footprint(**HOUR, power_fraction=0.75, host_power_w=100.0)
    assert hour.energy_kwh == pytest.approx(1.25 * (0.75 * 400 + 100) / 1000)


@pytest.mark.parametrize(
    ("days", "chips", "watts", "pue", "grams", "mwh", "tonnes"),
    [(20, 512, 310, 1.12, 545, 85.7, 46.7), (30, 1024, 289, 1.09, 415, 232, 96.4)],
    ids=["T5", "Meena"],
)
def test_published_runs_follow_from_their_hours_and_measured_power(
    days, chips, watts, pue, grams, mwh, tonnes
):
    """Patterson et al. 2021, table 4."""
    run = device_footprint(
        device_hours=days * 24 * chips, power_w=watts, pue=pue, carbon_intensity=grams, accelerator="TPU v4"
    )
    assert run.energy_kwh / 1000 == pytest.approx(mwh, rel=0.005)
    assert run.co2e_kg / 1000 == pytest.approx(tonnes, rel=0.005)


def test_the_embodied_carbon_of_bloom_is_the_published_one():
    """Luccioni et al. 2023: 11.2 t for 1,082,990 hours of a GPU, from which our defaults come."""
    bloom = device_footprint(device_hours=1_082_990, pue=1.0, carbon_intensity=57)
    assert bloom.embodied_co2e_kg == pytest.approx(11_200, rel=0.005)
    assert bloom.energy_kwh == pytest.approx(433_196)
    assert bloom.co2e_kg == pytest.approx(24_690, rel=0.001)


def test_what_is_not_given_is_the_default_of_the_table():
    given_all = {name: default(name).value for name in EXPLICIT}
    assert training_footprint(**HOUR) == training_footprint(**HOUR, **given_all)


@given(st.floats(1e15, 1e27), st.floats(1.5, 1e4))
@settings(deadline=None, derandomize=True)
def test_every_output_is_linear_in_flops(flops, factor):
    where = {"utilisation": 0.4, "pue": 1.2, "carbon_intensity": 300, "host_power_w": 50.0}
    once, often = training_footprint(flops=flops, **where), training_footprint(flops=flops * factor, **where)
    assert outputs(often) == pytest.approx({name: factor * v for name, v in outputs(once).items()})


@given(
    st.sampled_from(
        [
            ("pue", 1.0, 5.0, ("energy_kwh", "co2e_kg", "off_site_water_l")),
            ("carbon_intensity", 1.0, 2000.0, ("co2e_kg",)),
            ("host_power_w", 0.0, 1000.0, ("it_energy_kwh", "energy_kwh", "co2e_kg", "on_site_water_l")),
            ("power_fraction", 0.01, 1.0, ("it_energy_kwh", "energy_kwh", "co2e_kg")),
            ("power_w", 1.0, 2000.0, ("it_energy_kwh", "energy_kwh", "co2e_kg")),
            ("embodied_kg_per_device", 0.0, 5000.0, ("embodied_co2e_kg",)),
            ("wue_l_per_kwh", 0.0, 10.0, ("on_site_water_l",)),
            ("grid_water_l_per_kwh", 0.0, 10.0, ("off_site_water_l",)),
            ("usd_per_device_hour", 0.0, 50.0, ("cost",)),
            ("utilisation", 1.0, 0.01, ("device_hours", "energy_kwh", "embodied_co2e_kg", "cost")),
            ("device_life_years", 20.0, 0.5, ("embodied_co2e_kg",)),
            ("device_use", 1.0, 0.05, ("embodied_co2e_kg",)),
        ]
    ),
    st.floats(0, 1),
    st.floats(0, 1),
)
@settings(deadline=None, derandomize=True)
def test_every_input_moves_its_outputs_one_way_and_no_other(case, first, second):
    """From the first end of the range to the second the named outputs rise."""
    name, start, end, rising = case
    low, high = (start + share * (end - start) for share in sorted((first, second)))
    before, after = (outputs(training_footprint(**(HOUR | {name: value}))) for value in (low, high))
    for output in OUTPUTS:
        assert after[output] >= before[output] * (1 - 1e-12)
    if abs(high - low) > 1e-6 * abs(end - start):
        assert all(after[output] > before[output] for output in rising)


def test_footprints_add_up_output_by_output():
    hour = training_footprint(**HOUR)
    assert outputs(hour + hour) == pytest.approx({name: 2 * v for name, v in outputs(hour).items()})


def test_an_accelerator_may_be_given_itself():
    assert training_footprint(**HOUR, accelerator=accelerator("A100")) == training_footprint(**HOUR)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"utilisation": 1.1}, r"utilisation must .*above 0 and at most 1; got 1\.1"),
        ({"utilisation": 40}, "utilisation must .*at most 1; got 40"),
        ({"utilisation": 0}, "utilisation must .*above 0"),
        ({"utilisation": None}, "utilisation must .*got None"),
        ({"power_fraction": 1.2}, r"power_fraction must .*at most 1; got 1\.2"),
        ({"power_fraction": -0.1}, "power_fraction must .*above 0"),
        ({"pue": 0.9}, r"pue must .*at least 1 and at most 5.*got 0\.9"),
        ({"pue": 110}, "pue must .*at most 5.*got 110"),
        ({"carbon_intensity": 2001}, "carbon_intensity must .*at most 2000 g CO2e per kWh; got 2001"),
        ({"carbon_intensity": 0.4}, r"carbon_intensity must be in grams.*got 0\.4.*kilograms: 400 g"),
        ({"carbon_intensity": -1}, "carbon_intensity must .*at least 0"),
        ({"flops": 0}, "flops must .*above 0 FLOPs; got 0"),
        ({"flops": float("inf")}, "flops must be a finite number.*got inf"),
        ({"flops": float("nan")}, "flops must be a finite number.*got nan"),
        ({"flops": "1e20"}, "flops must .*got '1e20'"),
        ({"flops": True}, "flops must .*got True"),
        ({"host_power_w": -1}, "host_power_w must .*at least 0"),
        ({"power_w": 0.4}, r"power_w must .*at least 1 .*watts; got 0\.4"),
        ({"wue_l_per_kwh": -1}, "wue_l_per_kwh must .*at least 0"),
        ({"device_life_years": 0}, "device_life_years must .*above 0 years"),
        ({"device_use": 2}, "device_use must .*at most 1"),
        ({"accelerator": "A10"}, "name must be that of an accelerator; got 'A10'; did you mean .*'A100'"),
        ({"accelerator": "TPU v5p"}, "power_w must be given for the TPU v5p"),
    ],
)
def test_wrong_input_is_told_by_name_value_and_what_is_allowed(wrong, message):
    with pytest.raises(ValueError, match=message):
        training_footprint(**(HOUR | wrong))


def test_a_chip_without_published_power_works_with_a_given_one():
    run = training_footprint(
        flops=459e12 * 3600, accelerator="TPU v5p", utilisation=1.0, pue=1.0, carbon_intensity=0, power_w=250
    )
    assert run.energy_kwh == pytest.approx(0.25)


def test_use_is_queries_times_seconds_of_a_device():
    use = inference_footprint(
        queries_per_day=1800, days=10, seconds_per_query=2.0, pue=1.0, carbon_intensity=500
    )
    assert use.device_hours == pytest.approx(10)
    assert use.co2e_kg == pytest.approx(10 * 0.4 * 0.5)


def test_use_by_flops_is_training_of_as_many_flops():
    where = {"utilisation": 0.3, "pue": 1.1, "carbon_intensity": 200, "host_power_w": 30.0}
    use = inference_footprint(queries_per_day=1e6, days=365, flops_per_query=1e13, **where)
    assert outputs(use) == pytest.approx(outputs(training_footprint(flops=365e6 * 1e13, **where)))


@pytest.mark.parametrize(
    ("how", "message"),
    [
        ({}, "flops_per_query or seconds_per_query must be given.*None and None"),
        ({"flops_per_query": 1e9, "seconds_per_query": 1.0}, "only one of them"),
        ({"seconds_per_query": 1.0, "utilisation": 0.5}, "utilisation must be None with seconds_per_query"),
        ({"flops_per_query": 1e9}, "utilisation must .*got None"),
        ({"seconds_per_query": 1.0, "days": 0}, "days must .*above 0"),
        ({"seconds_per_query": 1.0, "queries_per_day": -5}, "queries_per_day must .*above 0"),
    ],
)
def test_use_needs_exactly_one_way_to_tell_its_time(how, message):
    with pytest.raises(ValueError, match=message):
        inference_footprint(**({"queries_per_day": 1, "days": 1, "pue": 1.1, "carbon_intensity": 100} | how))


def test_writing_one_query_takes_as_long_as_reading_weights_and_cache_over_and_over():
    """At batch 1 every step moves each weight once and the keys and values so far; the logits are small."""
    config = preset("llama-2-7b")
    matrices = 32 * (4 * 4096**2 + 3 * 4096 * 11008) + 32000 * 4096
    written = [query_seconds(config, tokens_in=1000, tokens_out=n) for n in (1, 101)]
    cache = sum(kv_cache_bytes(config, batch=1, seq_len=1000 + step) for step in range(1, 101))
    assert written[1] - written[0] == pytest.approx((100 * 2 * matrices + cache) / 2039e9, rel=0.01)


def test_a_batch_shares_the_weights_and_utilisation_stretches_time():
    config = preset("llama-2-7b")
    alone, together, slow = (
        query_seconds(config, tokens_in=100, tokens_out=100, **more)
        for more in ({}, {"batch": 16}, {"utilisation": 0.5})
    )
    assert alone / 16 < together < alone / 4
    assert slow == pytest.approx(2 * alone)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"tokens_in": 0}, "tokens_in must be a whole number of at least 1; got 0"),
        ({"tokens_out": 1.5}, r"tokens_out must be a whole number.*got 1\.5"),
        ({"utilisation": 2}, "utilisation must"),
        ({"tokens_in": 4096}, "seq_len must be at most n_ctx"),
    ],
)
def test_a_query_must_fit_the_model(wrong, message):
    with pytest.raises(ValueError, match=message):
        query_seconds(preset("llama-2-7b"), **({"tokens_in": 10, "tokens_out": 10} | wrong))


def test_use_breaks_even_when_it_has_taken_as_much_as_training():
    training = device_footprint(device_hours=1000, pue=1.1, carbon_intensity=100)
    month = device_footprint(device_hours=100, pue=1.1, carbon_intensity=100)
    assert break_even_days(training=training, inference=month, days=30) == pytest.approx(300)


def test_no_numpy_and_no_torch_are_needed():
    """As in a browser's kernel, where NumPy may not be there."""
    code = """
import sys
sys.modules["numpy"] = sys.modules["torch"] = sys.modules["codecarbon"] = None
from scaling_transformers.footprint import compare_with_reported, households, rebound, training_footprint
from scaling_transformers.footprint import operation, with_interval
run = with_interval(training_footprint, {"pue": (1.0, 1.1, 1.5)}, flops=1e20, utilisation=0.4,
                    carbon_intensity=100)
print(run.interval["energy_kwh"], households(1e6), rebound(efficiency_gain=2, elasticity=0.5).energy_ratio,
      compare_with_reported().median, operation("add float32").picojoule)
"""
    subprocess.run([sys.executable, "-c", code], check=True)
