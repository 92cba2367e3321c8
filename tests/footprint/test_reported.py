"""Predictions beside what published runs report: made by hand, close, and not made of the answer."""

import dataclasses
import math

import pytest

from scaling_transformers.footprint import compare_with_reported, predicted_energy, training_energy_runs

RUNS = {run.name: run for run in training_energy_runs()}


def test_every_run_of_the_table_says_where_it_comes_from():
    assert len(RUNS) == len(training_energy_runs()) > 20
    for run in RUNS.values():
        assert run.source
        assert run.device_hours or run.flops
        assert (run.energy_kwh is None) == (run.basis == "")


def test_the_prediction_of_gpt3_by_hand():
    """3,552,000 hours of a V100 of 300 W at a PUE of 1.1."""
    prediction = predicted_energy(RUNS["GPT-3 175B"])
    assert prediction.energy_kwh == pytest.approx(3_552_000 * 0.3 * 1.1)
    assert prediction.ratio == pytest.approx(3_552_000 * 0.3 * 1.1 / 1_287_000)
    assert prediction.co2e_kg == pytest.approx(3_552_000 * 0.3 * 1.1 * 0.429)
    assert prediction.hours_from == prediction.pue_from == "published"


def test_from_flops_the_hours_are_counted_and_said_to_be():
    prediction = predicted_energy(RUNS["GPT-3 175B"], from_flops=True)
    assert prediction.device_hours == pytest.approx(3.14e23 / (125e12 * 0.197) / 3600)
    assert prediction.hours_from == "FLOPs at published utilisation 0.197"
    assumed = predicted_energy(RUNS["LLaMA-65B"], from_flops=True)
    given = predicted_energy(RUNS["LLaMA-65B"], from_flops=True, utilisation=0.2)
    assert assumed.hours_from == "FLOPs at assumed utilisation 0.4"
    assert given.hours_from == "FLOPs at given utilisation 0.2"
    assert given.energy_kwh == pytest.approx(2 * assumed.energy_kwh)


def test_the_reported_energy_is_no_ingredient():
    for run in RUNS.values():
        if run.energy_kwh:
            doubled = dataclasses.replace(run, energy_kwh=2 * run.energy_kwh)
            assert predicted_energy(doubled).energy_kwh == predicted_energy(run).energy_kwh


def test_hours_times_rated_power_match_the_reports_that_did_the_same():
    """But for the assumed PUE, and for the 350 W to which the boards of one run were limited."""
    rated = compare_with_reported().on("rated")
    assert all(1 <= round(ratio, 2) <= 1.25 for ratio in rated.ratios)


@pytest.mark.parametrize("from_flops", [False, True])
def test_most_predictions_are_within_a_third_and_all_within_a_factor_of_three(from_flops):
    ratios = compare_with_reported(from_flops=from_flops).ratios
    assert sum(abs(math.log(ratio)) < math.log(4 / 3) for ratio in ratios) > len(ratios) / 2
    assert all(1 / 3 < ratio < 3 for ratio in ratios)


def test_median_and_worst_are_those_of_the_ratios():
    comparison = compare_with_reported().on("measured")
    ratios = sorted(comparison.ratios)
    middle = len(ratios) // 2
    assert comparison.median == pytest.approx((ratios[middle] + ratios[-middle - 1]) / 2)
    assert comparison.worst.ratio in (ratios[0], ratios[-1])
    assert {p.run.basis for p in comparison.predictions} == {"measured"}


def test_a_run_without_energy_is_predicted_but_not_compared():
    names = [p.run.name for p in compare_with_reported().predictions]
    assert "DeepSeek-V3" in RUNS
    assert "DeepSeek-V3" not in names


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: compare_with_reported([]), "runs must hold at least one that reports"),
        (lambda: compare_with_reported(power_fraction=1.5), "power_fraction must"),
        (lambda: compare_with_reported().on("guessed"), "basis must be one of .*got 'guessed'"),
        (lambda: predicted_energy(dataclasses.replace(RUNS["T5-11B"], device_hours=None, flops=None)),
         "run must have device_hours, or flops and a known accelerator; got T5-11B"),
        (lambda: predicted_energy(RUNS["DeepSeek-V3"]), "run must have a known accelerator or a power_w"),
    ],
)  # fmt: skip
def test_too_little_to_go_by_is_an_error(call, message):
    with pytest.raises(ValueError, match=message):
        call()
