"""What the table of compute thresholds, and the chance to cross one, promise."""

import datetime
import math
import re
import subprocess
import sys
from importlib.resources import files

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scaling_transformers import preset
from scaling_transformers.accounting import TrainingRun, training_flops, training_runs
from scaling_transformers.society import (
    ALGORITHMIC_HALVING,
    STATED_INTERVALS,
    Spread,
    compute_needed,
    convention_factor,
    crosses,
    flops_of,
    planned_flops,
    threshold,
    thresholds,
    years_to_reach,
)
from scaling_transformers.society.thresholds import STATUSES

properly = settings(deadline=None, derandomize=True, max_examples=40)
RUNS = {run.name: run for run in training_runs()}


@pytest.mark.parametrize("row", thresholds(), ids=lambda row: row.name)
def test_every_threshold_names_the_text_that_sets_it(row):
    assert re.search(r"Regulation|Guidelines|Executive Order|Senate Bill", row.source)
    assert re.fullmatch(r"20\d\d-\d\d", row.date)
    assert row.status in STATUSES
    assert row.scope


def test_the_numbers_are_those_of_the_texts():
    by_name = {row.name: row for row in thresholds()}
    assert by_name["EU systemic risk"].flops == 1e25
    assert by_name["EU general-purpose"].flops == by_name["US order 14110 biology"].flops == 1e23
    assert {by_name[n].flops for n in ("US order 14110", "California SB 53", "New York RAISE")} == {1e26}
    assert by_name["US order 14110"].status == "revoked"
    assert by_name["California SB 1047"].status == "vetoed"


def test_a_threshold_is_found_by_its_name_and_another_is_refused():
    assert threshold("eu SYSTEMIC risk").flops == 1e25
    with pytest.raises(ValueError, match="did you mean 'California SB 53'"):
        threshold("California SB 52")


def test_an_estimate_on_the_threshold_crosses_it_with_probability_one_half():
    assert crosses(1e25, threshold=1e25, interval=(8e24, 4e25)) == pytest.approx(0.5)
    assert crosses(1e25, threshold=1e25, interval=7.0) == pytest.approx(0.5)


def test_an_end_of_the_interval_on_the_threshold_leaves_its_tail():
    assert crosses(3e25, threshold=1e25, interval=3.0) == pytest.approx(0.95)
    assert crosses(3e25, threshold=9e25, interval=3.0) == pytest.approx(0.05)
    assert crosses(3e25, threshold=1e25, interval=3.0, level=0.5) == pytest.approx(0.75)


def test_gpt_4_crosses_the_european_threshold_as_worked_out_by_hand():
    # ln(1e25 / 2.1e25) is -0.742; the low side's width is ln(2.1 / 0.82) / 1.645 = 0.572; Phi(1.297) = 0.903
    assert crosses(2.1e25, threshold=1e25, interval=(8.2e24, 4.4e25)) == pytest.approx(0.903, abs=1e-3)


@properly
@given(st.floats(1e20, 1e28), st.floats(1.01, 5), st.floats(1.05, 30))
def test_more_compute_is_never_less_likely_to_cross_nor_a_higher_threshold_more(flops, more, factor):
    here = crosses(flops, threshold=1e25, interval=factor)
    assert 0 <= here <= 1
    assert crosses(flops * more, threshold=1e25, interval=factor) >= here
    assert crosses(flops, threshold=1e25 * more, interval=factor) <= here


def test_an_interval_that_leaves_out_the_estimate_is_refused():
    with pytest.raises(ValueError, match="low, middle and high must rise"):
        crosses(1e25, threshold=1e25, interval=(2e25, 3e25))


def test_a_plan_is_six_n_d_or_what_its_config_counts():
    assert planned_flops(n_params=70e9, n_tokens=1.4e12) == 6 * 70e9 * 1.4e12
    config = preset("gpt2")
    counted = planned_flops(config=config, n_tokens=1e9, seq_len=1024)
    assert counted == training_flops(config, n_tokens=10**9, seq_len=1024)
    for bad in ({}, {"n_params": 1e9, "config": config}):
        with pytest.raises(ValueError, match="either n_params or config"):
            planned_flops(n_tokens=1e9, **bad)
    with pytest.raises(ValueError, match="n_tokens must be a positive"):
        planned_flops(n_params=1e9, n_tokens=-1.0)


def run_of(reported, n_params, *, year=2021):
    return TrainingRun("run", datetime.date(year, 1, 1), n_params, n_params, 10, reported, "published", "")


def test_the_width_is_the_root_mean_square_of_the_logarithms():
    runs = [run_of(60.0 * 2, 1), run_of(60.0 / 2, 1), run_of(60.0 * 2, 1), run_of(6e9, 1, year=2017)]
    # all three are off by a factor 2, so the width is ln 2, and 90 % go 1.645 widths
    assert convention_factor(runs) == pytest.approx(2**1.6449, rel=1e-4)
    assert convention_factor(runs, level=0.6827) == pytest.approx(2.0, rel=1e-3)


def test_runs_that_tell_no_width_are_refused():
    with pytest.raises(ValueError, match="runs must have 3 with both figures since 2020; got 2"):
        convention_factor([run_of(60.0, 1), run_of(70.0, 1)])
    with pytest.raises(ValueError, match="all agree exactly"):
        convention_factor([run_of(60.0, 1)] * 3)


@pytest.mark.parametrize("name", STATED_INTERVALS)
def test_the_stated_intervals_stand_in_the_source_of_the_run(name):
    run = RUNS[name]
    assert run.kind == "estimate"
    assert all(f"{end:.1e}".replace("e+", "e") in run.source for end in STATED_INTERVALS[name])
    assert (flops_of(run, factor=2.0).low, flops_of(run, factor=2.0).high) == STATED_INTERVALS[name]


def test_every_estimate_has_its_stated_interval_and_others_the_factor():
    assert set(STATED_INTERVALS) == {run.name for run in RUNS.values() if run.kind == "estimate"}
    run = RUNS["BLOOM 176B"]
    assert flops_of(run, factor=1.5) == Spread(run.flops, run.flops / 1.5, run.flops * 1.5)


def test_three_halvings_leave_an_eighth_and_a_slow_trend_gives_the_high_end():
    needed = compute_needed(1e25, years=2)
    assert needed.middle == pytest.approx(1.25e24)
    assert needed.high == pytest.approx(1e25 * 2 ** (-24 / 22))
    assert needed.low == pytest.approx(1e25 * 2 ** (-24 / 2))


def test_the_years_to_reach_a_target_are_those_after_which_it_is_needed():
    years = years_to_reach(1e26, target=1e25)
    assert years.middle == pytest.approx(math.log2(10) * 8 / 12)
    for months, end in ((2, years.low), (8, years.middle), (22, years.high)):
        halving = Spread.factor(months, 1.01)
        assert compute_needed(1e26, years=end, halving=halving).middle == pytest.approx(1e25)
    assert years_to_reach(1e24, target=1e25) is None


@properly
@given(st.floats(0.1, 10), st.floats(1.01, 3))
def test_the_longer_the_wait_the_less_is_needed(years, longer):
    assert compute_needed(1e25, years=years * longer).high < compute_needed(1e25, years=years).high
    assert ALGORITHMIC_HALVING.level == compute_needed(1e25, years=years).level


def test_the_package_is_imported_without_torch_and_its_scalar_parts_need_no_numpy():
    code = "import scaling_transformers.society as s; s.thresholds(); s.gini([1.0, 2.0])"
    done = subprocess.run(
        [sys.executable, "-c", f"{code}; import sys; print(*sys.modules)"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert not {"torch", "huggingface_hub"} & set(done.stdout.split())
    for module in ("spread", "thresholds", "affordability", "cards"):
        source = (files("scaling_transformers") / "society" / f"{module}.py").read_text("utf-8")
        assert "import numpy" not in source
