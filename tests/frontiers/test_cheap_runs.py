"""Runs of the ways to save: that they spend what is declared and repeat; the shipped ones are whole."""

from __future__ import annotations

import numpy as np
import pytest

from scaling_transformers.frontiers import cheap_runs
from scaling_transformers.frontiers.cheap_counts import WAYS
from scaling_transformers.training import runs
from scaling_transformers.training.sweeps import read_sweep, run_key

TEXT = {
    "task": "text", "way": "dense", "d_model": 16, "n_layer": 1, "n_ctx": 32,
    "learning_rate": 4e-3, "seed": 0, "budget": 4e8,
}  # fmt: skip
RECALL = {
    "task": "recall", "way": "linear", "d_model": 16, "n_layer": 1, "n_ctx": 32,
    "learning_rate": 4e-3, "seed": 0, "n_step": 3, "batch": 2,
}  # fmt: skip


@pytest.fixture
def little(monkeypatch):
    monkeypatch.setattr(runs, "N_VALIDATION", 8)


@pytest.mark.parametrize("way", WAYS)
def test_every_way_spends_its_budget_to_the_nearest_batch(little, way):
    found = cheap_runs.train_run({**TEXT, "way": way})
    of_a_step = found["flops"] / found["n_step"]
    assert abs(found["flops"] - TEXT["budget"]) <= of_a_step / 2
    assert np.isfinite(found["loss"])
    assert ("loss_ternary" in found) == (way == "dense")


def test_a_run_repeats_and_rounding_it_afterwards_leaves_its_loss_alone(little):
    one, other = (cheap_runs.train_run(TEXT) for _ in range(2))
    assert one["loss"] == other["loss"]
    assert one["loss_ternary"] > one["loss_int4"] or one["loss_ternary"] != one["loss"]


def test_recall_is_measured_for_every_number_of_pairs(little):
    found = cheap_runs.train_run(RECALL)
    shares = [value for name, value in found.items() if name.startswith("recall_")]
    assert all(0 <= share <= 1 for share in shares)
    assert len(shares) == len([n for n in cheap_runs.PAIRS if 2 * n <= 32])


def test_what_is_declared_is_what_is_shipped():
    for name in cheap_runs.SWEEPS:
        declared = {run_key(one) for one in read_sweep(str(cheap_runs._DATA / f"{name}.toml"))}
        assert declared == set(cheap_runs.recorded(name)["key"].tolist())


def test_each_way_ran_with_the_rate_that_its_sweep_found():
    rates, text = cheap_runs.recorded("rates"), cheap_runs.recorded("text")
    for way in WAYS:
        mine = rates[rates["way"] == way]
        assert set(text["learning_rate"][text["way"] == way]) == {
            mine["learning_rate"][np.argmin(mine["loss"])]
        }


def test_shipped_runs_spent_equal_flops():
    text = cheap_runs.recorded("text")
    assert np.all(np.abs(text["flops"] / text["budget"] - 1) < 0.02)


def test_wrong_settings_are_refused(little):
    with pytest.raises(ValueError, match="task"):
        cheap_runs.train_run({**TEXT, "task": "music"})
    with pytest.raises(ValueError, match="budget"):
        cheap_runs.train_run({**TEXT, "budget": float("nan")})
    with pytest.raises(ValueError, match="way"):
        cheap_runs.train_run({**TEXT, "way": "none"})
    with pytest.raises(ValueError, match="name must be one of"):
        cheap_runs.recorded("music")
