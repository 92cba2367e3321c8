"""What the table of training runs and the fit of their growth promise."""

import csv
import datetime
import re
from importlib.resources import files
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scaling_transformers import preset
from scaling_transformers.accounting import (
    TrainingRun,
    count_parameters,
    exponential_growth,
    record_runs,
    training_runs,
)

RUNS = {run.name: run for run in training_runs()}
PETAFLOPS_DAY = 1e15 * 24 * 3600


def run_of(flops, month):
    return TrainingRun("run", datetime.date(2020, month, 1), None, None, None, flops, "published", "")


def test_the_runs_are_the_rows_of_the_table_each_under_its_own_name():
    text = (files("scaling_transformers") / "data" / "training_compute.csv").read_text(encoding="utf-8")
    rows = list(csv.DictReader(text.splitlines()))
    assert [row["name"] for row in rows] == list(RUNS)
    assert [row["date"] for row in rows] == [f"{run.date:%Y-%m}" for run in RUNS.values()]


def test_the_runs_lie_between_2017_and_2025_in_order():
    dates = [run.date for run in training_runs()]
    assert dates == sorted(dates)
    assert (dates[0].year, dates[-1].year) == (2017, 2025)


@pytest.mark.parametrize("run", training_runs(), ids=lambda run: run.name)
def test_every_run_has_a_source_and_figures_enough_for_its_flops(run):
    assert re.search(r"[A-Z][\w-]+ (et al\. )?20\d\d|OpenAI, |Epoch AI, |model card", run.source)
    assert run.kind in ("published", "estimate")
    assert 1e18 < run.flops < 1e27
    assert run.kind == "estimate" or run.n_params_active <= run.n_params


@pytest.mark.parametrize("run", training_runs(), ids=lambda run: run.name)
def test_only_what_the_makers_kept_to_themselves_is_an_estimate_and_its_author_is_named(run):
    assert (run.kind == "estimate") == (run.n_params is None and run.n_tokens is None)
    assert (run.kind == "estimate") == run.source.startswith("Epoch AI")


@pytest.mark.parametrize(
    ("run", "model"),
    [
        ("BERT-base", "bert-base"),
        ("BERT-large", "bert-large"),
        ("GPT-3 175B", "gpt3-175b"),
        ("LLaMA-7B", "llama-7b"),
        ("LLaMA-65B", "llama-65b"),
        ("Llama 2 7B", "llama-2-7b"),
        ("Llama 2 70B", "llama-2-70b"),
        ("Llama 3 8B", "llama-3-8b"),
        ("Llama 3 70B", "llama-3-70b"),
        ("Llama 3.1 405B", "llama-3-405b"),
    ],
)
def test_the_sizes_are_those_counted_from_the_config(run, model):
    assert RUNS[run].n_params == pytest.approx(count_parameters(preset(model)).total, rel=0.04)


def test_figures_given_in_other_units_were_converted():
    assert RUNS["GPT"].flops == pytest.approx(0.96 * PETAFLOPS_DAY, rel=1e-3)
    assert RUNS["Falcon-180B"].flops == pytest.approx(43_500 * PETAFLOPS_DAY, rel=1e-3)
    assert RUNS["BERT-large"].n_tokens == pytest.approx(1e6 * 256 * (0.9 * 128 + 0.1 * 512), rel=1e-3)
    assert RUNS["Megatron-LM 8.3B"].n_tokens == pytest.approx(300e3 * 512 * 1024, rel=3e-3)
    assert RUNS["LaMDA 137B"].flops == pytest.approx(0.565 * 123e12 * 1024 * 57.7 * 24 * 3600, rel=3e-3)


def test_flops_are_reported_or_6_nd_of_the_active_parameters():
    assert RUNS["PaLM 540B"].flops == 2.56e24
    assert RUNS["DeepSeek-V3"].flops == pytest.approx(6 * 37e9 * 14.8e12)
    assert RUNS["T5-11B"].flops == pytest.approx(3.30e22)  # Brown et al. 2020, table D.1


def test_reported_flops_are_6_nd_within_a_factor_of_1_7_and_half_of_them_within_3_per_cent():
    ratios = [run.reported_flops / run.six_nd for run in training_runs() if run.reported_flops and run.six_nd]
    assert len(ratios) == 9
    assert 0.97 < min(ratios) < max(ratios) < 1.7
    assert np.median(np.abs(np.log(ratios))) < 0.03


def test_a_run_without_figures_names_itself():
    with pytest.raises(ValueError, match="run has neither reported_flops nor"):
        _ = run_of(None, 1).flops


@given(st.lists(st.tuples(st.integers(1, 50), st.integers(1, 12)), min_size=1, max_size=12))
def test_a_record_is_larger_than_every_run_before_it(figures):
    runs = [run_of(float(flops), month) for flops, month in figures]
    records = record_runs(runs)
    assert max(run.flops for run in runs) in [run.flops for run in records]
    assert all(a.flops < b.flops and a.date <= b.date for a, b in pairwise(records))
    for run in runs:
        before = [other for other in records if other.date < run.date]
        assert run in records or any(other.flops >= run.flops for other in records if other.date <= run.date)
        assert run not in records or all(other.flops < run.flops for other in before)


@settings(deadline=None)
@given(
    st.floats(0.1, 20),
    st.lists(st.integers(0, 100), min_size=3, max_size=12, unique=True),
    st.floats(1e-3, 1e25),
)
def test_exact_exponential_growth_is_found_with_no_width(factor, months, start):
    years = 2017 + np.array(months) / 12
    growth = exponential_growth(years, start * factor ** (years - 2017), n_bootstrap=200)
    assert growth.factor == pytest.approx(factor, rel=1e-6)
    assert growth.interval == pytest.approx((factor, factor), rel=1e-6)


def test_the_fit_is_that_of_polyfit():
    rng = np.random.default_rng(1)
    years, values = 2018 + 7 * rng.random(20), 10 ** rng.normal(23, 1.5, 20)
    slope = np.polyfit(years, np.log10(values), 1)[0]
    assert exponential_growth(years, values).factor == pytest.approx(10**slope)


def test_the_interval_holds_the_true_growth_about_as_often_as_it_says():
    rng, years, hits = np.random.default_rng(2), np.linspace(2017, 2025, 30), 0
    for _ in range(200):
        values = np.exp(np.log(4) * (years - 2017) + rng.normal(0, 1, years.size))
        low, high = exponential_growth(years, values, n_bootstrap=400).interval
        hits += low < 4 < high
    assert 0.88 < hits / 200 < 0.98


def test_doubling_times_follow_from_the_factors():
    growth = exponential_growth([2020, 2021, 2022, 2023], [1.0, 5.0, 14.0, 70.0])
    assert growth.factor ** (growth.doubling_time / 12) == pytest.approx(2)
    assert growth.doubling_interval[0] < growth.doubling_time < growth.doubling_interval[1]
    assert growth.interval[1] ** (growth.doubling_interval[0] / 12) == pytest.approx(2)


def test_what_shrinks_never_doubles():
    assert exponential_growth([2020, 2021, 2022], [4.0, 2.0, 1.0]).doubling_time == float("inf")


def test_the_seed_decides_the_interval_alone():
    years, flops = zip(*[(run.year, run.flops) for run in training_runs()], strict=True)
    one, again, other = (exponential_growth(years, flops, seed=seed) for seed in (0, 0, 1))
    assert one == again
    assert one.factor == other.factor
    assert one.interval != other.interval
    assert one.interval == pytest.approx(other.interval, rel=0.05)


def test_compute_of_the_published_runs_grew_severalfold_a_year_and_the_records_faster():
    published = [run for run in training_runs() if run.kind == "published"]
    every, records = (
        exponential_growth([run.year for run in runs], [run.flops for run in runs])
        for runs in (published, record_runs(published))
    )
    assert 3 < every.interval[0] < every.factor < every.interval[1] < 8
    assert every.factor < records.factor


@pytest.mark.parametrize(
    ("years", "values", "changes", "name"),
    [
        ([2020, 2021], [1, 2], {}, "years and values"),
        ([2020, 2021, 2022], [1, 2], {}, "years and values"),
        ([2020, 2020, 2020], [1, 2, 3], {}, "years"),
        ([2020, 2021, float("nan")], [1, 2, 3], {}, "years"),
        ([2020, 2021, 2022], [1, 0, 3], {}, r"values .* 0\.0"),
        ([2020, 2021, 2022], [1, float("nan"), 3], {}, "values .* nan"),
        ([2020, 2021, 2022], [1, 2, 3], {"n_bootstrap": 10}, "n_bootstrap .* 10"),
    ],
)
def test_what_determines_no_line_is_refused_by_name(years, values, changes, name):
    with pytest.raises(ValueError, match=f"^{name}"):
        exponential_growth(years, values, **changes)
